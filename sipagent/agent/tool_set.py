"""The tools of an agent: its own, and those of servers, which may come and go and be called like others."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, Protocol

from sipagent.agent.tools import Tool

MAX_TOOLS: Final = 128
"""The Realtime API takes no more."""

MAX_NAME: Final = 64
"""Characters of a tool's name."""


class ToolSource(Protocol):
    """A server with tools."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those it has now."""


def gather(own: Iterable[Tool], sources: Iterable[ToolSource]) -> tuple[Tool, ...]:
    """Return all tools, each with a name of its own.

    A tool of a server that is called like another tool gets the server's name in front. Where that does not help, and
    beyond :data:`MAX_TOOLS`, it is left out.
    """
    tools = {tool.name: tool for tool in own}
    taken = frozenset(tools)
    offered = [(source.name, tool) for source in sources for tool in source.tools]
    count = Counter(tool.name for _, tool in offered)
    for server, tool in offered:
        is_alone = count[tool.name] == 1 and tool.name not in taken
        name = tool.name if is_alone else f"{server}_{tool.name}"[:MAX_NAME]
        if name not in tools and len(tools) < MAX_TOOLS:
            tools[name] = replace(tool, name=name)
    return tuple(tools.values())
