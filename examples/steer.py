"""A program that follows its calls and has a say in them. Start it with ``python examples/steer.py CONFIG``.

It tells each caller something that nobody can interrupt, writes down what was said, and ends the call when the caller
presses the star key. ``examples/extension.yaml`` will do as the configuration, and so will any other.
"""

import asyncio
import sys

from sipagent import CallHandle, serve
from sipagent.call.events import AgentSaid, CallerSaid, DigitPressed

NOTICE = "This call is written down."
LIMIT_S = 600.0


async def on_call(call: CallHandle) -> None:
    """Follow one call, from its answer to its end."""
    await call.say(NOTICE, verbatim=True, interruptible=False)
    try:
        async with asyncio.timeout(LIMIT_S):
            await follow(call)
    except TimeoutError:
        await call.hang_up("too_long", says_goodbye=True)


async def follow(call: CallHandle) -> None:
    """Write down what is said, until the star key."""
    async for event in call.events():
        match event.fact:
            case CallerSaid(text):
                print(f"{event.at:.1f} {call.id} caller: {text}", flush=True)  # noqa: T201 - it is a program
            case AgentSaid(text):
                print(f"{event.at:.1f} {call.id} agent: {text}", flush=True)  # noqa: T201
            case DigitPressed("*"):
                await call.interrupt()
                await call.hang_up("star_key", says_goodbye=True)


if __name__ == "__main__":
    serve(config=sys.argv[1] if len(sys.argv) > 1 else "config.yaml", on_call=on_call)
