"""A tool for the receptionist of ``config.yaml``: copy it, and make it look into your own calendar.

Dial the agent and ask when the office is open. What a tool is called and told, the model reads from the function's
name, its docstring and its types.
"""

from typing import Literal

from sipagent import tool

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@tool
def opening_hours(day: Day) -> str:
    """Tell when the office is open.

    :param day: The day of the week that the caller asks about.
    """
    match day:
        case "saturday":
            return "On Saturday we are open from ten to two."
        case "sunday":
            return "On Sunday we are closed."
        case _:
            return f"On {day.capitalize()} we are open from nine to six."
