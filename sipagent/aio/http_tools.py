"""Tools that are HTTP requests, sent by one session for the whole process.

Nothing is kept between two requests: no cookies, of one caller's for the next. A redirect is followed on the same
server only, for the headers may hold a key. What goes wrong is told without the address, which may hold one too.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from sipagent.agent.http_tool import MAX_ANSWER_BYTES, HttpRequest, HttpToolSettings, make_request, read_answer
from sipagent.agent.json_schema import SchemaArguments
from sipagent.agent.tools import CallInfo, Tool, ToolError

MAX_CONNECTIONS: Final = 64
"""To all services together: as many as tools may run at once."""

MAX_REDIRECTS: Final = 3

KEEPS_METHOD: Final = frozenset({307, 308})
REDIRECTS: Final = frozenset({301, 302, 303}) | KEEPS_METHOD

CALL: Final = "__call__"
"""The parameter in which a tool is given the call; no model's argument is called so."""


class HttpTools:
    """Makes them, and sends what they send."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    def make(
        self,
        settings: HttpToolSettings,
        *,
        description: str,
        parameters: Mapping[str, Any],
        timeout_s: float,
        needs_approval: bool = False,
    ) -> Tool:
        """Make a tool.

        :param parameters: its JSON Schema.
        :raises TypeError: when that is none that a model can fill in.
        """
        arguments = SchemaArguments(parameters, injected_name=CALL)
        function = partial(self._call, settings)
        return Tool(settings.name, description, function, arguments, timeout_s, needs_approval)

    async def close(self) -> None:
        """Let the connections go."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _call(self, settings: HttpToolSettings, /, **values: Any) -> str:
        call = values.pop(CALL, None) or CallInfo("")
        request = make_request(settings, values, call)
        try:
            status, body = await self._send(request)
        except (ClientError, OSError, ValueError) as error:
            raise ToolError(f"The service {settings.name} could not be reached ({type(error).__name__}).") from None
        return read_answer(settings, status, body)

    async def _send(self, request: HttpRequest) -> tuple[int, bytes]:
        method, url, body = request.method, request.url, request.body
        for _ in range(MAX_REDIRECTS + 1):
            async with self._open().request(
                method, URL(url, encoded=True), headers=request.headers, data=body, allow_redirects=False
            ) as answer:
                target = urljoin(url, answer.headers.get("Location", ""))
                if answer.status not in REDIRECTS or _origin(target) != _origin(url):
                    return answer.status, await _read(answer)
            url = target
            if answer.status not in KEEPS_METHOD:
                method, body = "GET", None
        raise ClientError("too many redirects")

    def _open(self) -> ClientSession:
        if self._session is None:
            connector = TCPConnector(limit=MAX_CONNECTIONS)
            unlimited = ClientTimeout(total=None)  # whoever runs the tool has a limit for it
            self._session = ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=unlimited)
        return self._session


async def _read(answer: ClientResponse) -> bytes:
    """Read an answer, no more of it than anybody needs."""
    data = bytearray()
    try:
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > MAX_ANSWER_BYTES:
                raise ToolError("The service sent far more than an answer.")
    except asyncio.IncompleteReadError as error:
        raise ClientError("the answer ended early") from error
    return bytes(data)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
