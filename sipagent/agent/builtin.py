"""The tool that every agent may have: to end the call. What it does to the call is done by the call itself."""

from typing import Annotated, Final

from sipagent.agent.tools import tool


@tool
def hang_up(reason: Annotated[str, "Why the call ends, in a few words, for the log."] = "") -> str:  # noqa: ARG001
    """End the phone call.

    Use it when the caller has said goodbye or has no more to ask. Say goodbye yourself before you use it: what you have
    said is played to its end, and nothing can be said after it.
    """
    return "The call ends after your last word."


HANG_UP: Final = hang_up
