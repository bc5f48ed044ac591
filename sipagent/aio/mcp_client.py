"""A connection to an MCP server by the official client: to a program that we start, or over HTTP."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TextIO

import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from sipagent.aio.mcp_servers import McpSettings

MAX_ANSWER_BYTES: Final = 1 << 20
"""Of an answer over HTTP, which is held in memory whole; those of a stream are bounded by the client itself."""


async def connect(settings: McpSettings, stack: AsyncExitStack) -> Client:
    """Connect; the connection ends with ``stack``."""
    if settings.command:
        program, *arguments = settings.command
        where = StdioServerParameters(command=program, args=arguments, env=dict(settings.env), cwd=settings.folder)
        transport: Any = stdio_client(where, errlog=_open_nothing(stack))
    else:
        headers, hooks = dict(settings.headers), {"response": [_bound]}
        client = httpx2.AsyncClient(headers=headers, timeout=settings.timeout_s, event_hooks=hooks)
        http = await stack.enter_async_context(client)
        transport = streamable_http_client(settings.url, http_client=http)
    return await stack.enter_async_context(Client(transport, cache=None))


class _Bounded(httpx2.AsyncByteStream):
    """An answer, up to a length."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > MAX_ANSWER_BYTES:
                raise httpx2.ReadError("the server sent far more than an answer")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(answer: httpx2.Response) -> None:
    is_stream = answer.headers.get("Content-Type", "").startswith("text/event-stream")
    if not is_stream and isinstance(answer.stream, httpx2.AsyncByteStream):
        answer.stream = _Bounded(answer.stream)


def _open_nothing(stack: AsyncExitStack) -> TextIO:
    """Where a program's errors go: our log is no place for what it writes."""
    return stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
