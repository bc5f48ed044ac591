"""A whole program: an agent in Python, with a tool. Start it, and dial sip:agent@THIS-MACHINE.

``python examples/agent.py`` needs nothing else; ``sipagent run examples/agent.py:agent --config FILE`` takes lines,
ports and engines from a file. With a key in OPENAI_API_KEY a real model answers, without one the embedded one.
"""

from sipagent import Agent, CallInfo, serve, tool

PRICES = {"mainspring": 80, "glass": 30, "cleaning": 60}


@tool
def repair_price(part: str) -> str:
    """Tell what a repair costs: mainspring, glass or cleaning."""
    return f"{PRICES[part]} euros" if part in PRICES else f"Nobody knows what {part} costs."


def instruct(call: CallInfo) -> str:
    """Say how this very call is to be dealt with."""
    greeting = "Good morning" if call.time and call.time.hour < 12 else "Good day"
    return f"You are the workshop of the Harbour Clock Company. Begin with {greeting}. Be brief."


agent = Agent(
    instructions=instruct,
    greeting="Greet the caller on behalf of the Harbour Clock Company.",
    tools=[repair_price, "hang_up"],
)

if __name__ == "__main__":
    serve(agent)
