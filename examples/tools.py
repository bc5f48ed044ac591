"""Tools in Python, for ``tools.yaml``: what they are called and do, the model reads from names, docstrings and types.

``get_time`` and ``get_weather`` need nothing but what is in this file; ``cancel_order`` is asked about before it runs.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from sipagent import CallInfo, ToolError, tool

ZONES = {"london": "Europe/London", "berlin": "Europe/Berlin", "new york": "America/New_York", "tokyo": "Asia/Tokyo"}
WEATHER = {"london": "rain and 11 degrees", "berlin": "clouds and 9 degrees", "new york": "sun and 16 degrees"}

City = Literal["london", "berlin", "new york", "tokyo"]


@tool
def get_time(city: City) -> str:
    """Tell what time it is in a city."""
    now = datetime.now(ZoneInfo(ZONES[city]))  # noqa: TID251 - a tool is asked for the time of day
    return f"In {city.title()} it is {now:%H:%M}."


@tool(timeout_s=5)
async def get_weather(city: City) -> str:
    """Tell the weather forecast for a city.

    Args:
        city: Where the caller wants to know it.
    """
    await asyncio.sleep(0)  # here a weather service would be asked
    if city not in WEATHER:
        raise ToolError(f"There is no forecast for {city.title()} today.")
    return f"The forecast for {city.title()} is {WEATHER[city]}."


@tool(needs_approval=True)
def cancel_order(number: int) -> str:
    """Cancel an order."""
    return f"Order {number} is cancelled."


async def approve(name: str, arguments: Mapping[str, object], call: CallInfo) -> bool | str:
    """Say whether a tool may run that needs approval: yes, or a text for no and why."""
    if name == "cancel_order" and not call.is_vouched_for:
        return f"nobody vouches for the number that asks to cancel order {arguments['number']}"
    return True
