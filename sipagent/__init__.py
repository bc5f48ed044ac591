"""A SIP and RTP endpoint for voice models: a telephone rings, and a model talks."""

from sipagent.agent.tools import CallInfo, Tool, tool

__all__ = ["CallInfo", "Tool", "tool"]
