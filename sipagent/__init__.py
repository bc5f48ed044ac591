"""A SIP and RTP endpoint for voice models: a telephone rings, and a model talks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sipagent.agent.agent import Agent
from sipagent.agent.quotation import quote_text
from sipagent.agent.tools import CallInfo, Tool, ToolError, tool

if TYPE_CHECKING:
    from sipagent.aio.call_handle import CallHandle
    from sipagent.call.feed import CallEvent
    from sipagent.serving import serve

__all__ = ["Agent", "CallEvent", "CallHandle", "CallInfo", "Tool", "ToolError", "quote_text", "serve", "tool"]

OF_THE_SERVICE = {
    "CallEvent": "sipagent.call.feed",
    "CallHandle": "sipagent.aio.call_handle",
    "serve": "sipagent.serving",
}


def __getattr__(name: str) -> Any:
    """Import the service only for who starts one: a file with tools needs nothing of it."""
    if name in OF_THE_SERVICE:
        return getattr(import_module(OF_THE_SERVICE[name]), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
