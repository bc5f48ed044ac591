"""MCP servers that we connect ourselves: their tools are ours, and they are brought back when they die.

Each has a task that connects, asks for its tools, and asks again now and then, which is how a dead one is noticed; a
call that fails has it look at once. While a server is away its tools stay, and answer with a sentence.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Final

from sipagent.agent.json_schema import SchemaArguments
from sipagent.agent.tools import NAME, Tool, ToolError
from sipagent.aio.time_limit import TimeLimit

CLIENT: Final = "sipagent.aio.mcp_client"
"""Imported for the first server that is started, for it takes a second or two, and most have none."""

LOOK_S: Final = 10.0
"""How often a server is asked for its tools."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
"""How long is waited before a server is started again: twice as long each time."""

START_S: Final = 15.0
"""How long our own start waits for the servers; who is later has no tools in the first calls."""

MAX_TOOLS: Final = 64
"""Of one server; a model chooses badly among more."""

MAX_PAGES: Final = 16
"""Of a server's list."""

MAX_DESCRIPTION: Final = 1_024
"""Characters of a tool's description; the model reads all of them before each answer."""

Report = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True)
class McpSettings:
    """A server, and which of its tools are ours."""

    name: str
    command: tuple[str, ...] = ()
    """The program and its arguments; empty for one that is reached by ``url``."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """In addition to a harmless few of our own variables."""
    folder: Path | None = None
    """Where the program runs."""
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    allow: tuple[str, ...] = ()
    """Patterns of names; empty for all."""
    needs_approval: tuple[str, ...] = ()
    """Patterns of names."""
    timeout_s: float = 10.0


class McpServer:
    """A :class:`~sipagent.agent.tool_set.ToolSource`.

    :param report: is told of what went wrong, once each time the server is lost or can't be reached.
    """

    def __init__(self, settings: McpSettings, *, random: Random, report: Report) -> None:
        self._settings = settings
        self._random = random
        self._report = report
        self._client: Any = None
        self._tools: tuple[Tool, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._has_failed = False
        self._listed = asyncio.Event()
        self._look = asyncio.Event()

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        return self._settings.name

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Those it had when it was asked last."""
        return self._tools

    @property
    def is_up(self) -> bool:
        """Whether it is there."""
        return self._client is not None

    def start(self) -> None:
        """Begin to connect."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"MCP server {self.name}")

    async def listed(self, *, within_s: float) -> None:
        """Wait until its tools are known; of a server that is still silent then, and said nothing else, it is told."""
        try:
            async with TimeLimit(within_s):
                await self._listed.wait()
        except TimeoutError:
            if not self._has_failed:
                words = f"no word of its tools in {within_s:g} s; calls begin without them"
                self._report(self.name, TimeoutError(words))

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        attempt = 0
        while True:
            try:
                attempt = await self._serve(attempt)
            except Exception as error:  # noqa: BLE001 - whatever a server does to its client, it is tried again
                self._has_failed = True
                if attempt == 0:
                    self._report(self.name, error)
            finally:
                self._client = None
            attempt += 1
            wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempt - 1, 10))
            await asyncio.sleep(wait_s * self._random.uniform(0.75, 1.25))

    async def _serve(self, attempt: int) -> int:
        """Connect, and stay until it fails; a server that was there begins anew with the waiting."""
        async with AsyncExitStack() as stack:
            async with TimeLimit(self._settings.timeout_s):
                client = await import_module(CLIENT).connect(self._settings, stack)
                await self._list(client)
            self._client = client
            attempt = 0
            try:
                while True:
                    await self._pause()
                    async with TimeLimit(self._settings.timeout_s):
                        await self._list(client)
            except Exception as error:  # noqa: BLE001 - it is gone, in one way or another
                self._client = None
                self._report(self.name, error)
        return attempt

    async def _pause(self) -> None:
        """Wait for so long, or until somebody wants it sooner."""
        alarm = asyncio.get_running_loop().call_later(LOOK_S, self._look.set)
        try:
            await self._look.wait()
        finally:
            alarm.cancel()
        self._look.clear()

    async def _list(self, client: Any) -> None:
        found: list[Any] = []
        cursor = None
        for _ in range(MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) > MAX_TOOLS:
                break
        self._tools = tuple(self._make_tools(found))
        self._listed.set()

    def _make_tools(self, found: Iterable[Any]) -> list[Tool]:
        made = []
        for each in found:
            if not NAME.fullmatch(each.name) or not _fits(each.name, self._settings.allow or ("*",)):
                continue
            try:
                arguments = SchemaArguments(each.input_schema)
            except TypeError as error:
                self._report(f"{self.name}.{each.name}", error)
                continue
            made.append(
                Tool(
                    each.name,
                    (each.description or "")[:MAX_DESCRIPTION],
                    partial(self._call, each.name),
                    arguments,
                    self._settings.timeout_s,
                    _fits(each.name, self._settings.needs_approval),
                )
            )
        return made[:MAX_TOOLS]

    async def _call(self, tool: str, /, **arguments: Any) -> str:
        client = self._client
        if client is None:
            raise ToolError(f"The tool {tool} is not there at the moment: its server is being started again.")
        try:
            result = await client.call_tool(tool, arguments)
        except Exception:
            self._look.set()
            raise
        text = "\n".join(_text_of(block) for block in result.content) or "Done."
        if result.is_error:
            raise ToolError(text)
        return text


async def open_servers(servers: Iterable[McpServer]) -> None:
    """Start servers, and wait a while until their tools are known."""
    started = list(servers)
    for server in started:
        server.start()
    await asyncio.gather(*(server.listed(within_s=START_S) for server in started))


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _text_of(block: Any) -> str:
    """What a piece of a result says; a picture is nothing for the telephone."""
    text = getattr(block, "text", None)
    return text if isinstance(text, str) else f"({getattr(block, 'type', 'something')})"
