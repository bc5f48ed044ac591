"""A SIP and RTP endpoint for voice models: a telephone rings, and a model talks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sipagent.agent.agent import Agent
from sipagent.agent.quotation import quote_text
from sipagent.agent.tools import CallInfo, Tool, ToolError, tool

if TYPE_CHECKING:
    from sipagent.serving import serve

__all__ = ["Agent", "CallInfo", "Tool", "ToolError", "quote_text", "serve", "tool"]


def __getattr__(name: str) -> Any:
    """Import the service only for who starts one: a file with tools needs nothing of it."""
    if name == "serve":
        return import_module("sipagent.serving").serve
    raise AttributeError(f"module {__name__} has no attribute {name}")
