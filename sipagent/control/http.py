"""The control port: is it alive, may it be sent calls, how is it doing; and have it call somebody.

``/health`` is 503 when the event loop of the calls does not turn. ``/ready`` is 503, with the reasons, when no new call
would be taken. ``POST /calls`` with ``{"line": "main", "to": "200"}`` has an agent call, and answers with its id;
``"headers": {"X-Order": "17"}`` puts fields of one's own into the INVITE. ``POST /calls/ID/recording`` with
``{"action": "pause"}`` or ``"resume"`` stops and continues the recording of one.
The server knows nothing of calls: it is given callables, which ask on the calls' own loop.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from aiohttp import web

from sipagent.aio.time_limit import TimeLimit
from sipagent.errors import SipagentError
from sipagent.sip.core import HeaderList

T = TypeVar("T")

BODY_MAX = 4096
"""Bytes; an order for a call has a hundred."""

CLOSE_TIMEOUT_S = 1.0
"""Every answer takes far less; a client that dawdles is not waited for."""


ALIVE_S = 2.0
"""Calls that were not served for so long are over for whoever is in them."""

Dial: TypeAlias = Callable[[str, str, HeaderList], Coroutine[Any, Any, str]]
"""Makes a call by a line to somebody, with header fields of the user's, and returns its id."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call that is to be made."""

    line: str
    to: str
    headers: dict[str, str] = {}


class RecordingOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to become of a recording."""

    action: Literal["pause", "resume"]


@dataclass(frozen=True, slots=True)
class Page:
    """A body and what it is."""

    body: bytes
    content_type: str


class ControlServer:
    """An HTTP server.

    :param reasons: why new calls would be refused at present; empty when they would not.
    :param metrics: the page for Prometheus.
    :param alive_s: how long the calls' loop may take to answer before it counts as stuck.
    :param pause_recording: has the recording of a call, by its id, pause or go on.
    """

    def __init__(
        self,
        *,
        reasons: Callable[[], Awaitable[Sequence[str]]],
        metrics: Callable[[], Awaitable[Page]],
        dial: Dial,
        pause_recording: Callable[[str, bool], Awaitable[None]],
        alive_s: float = ALIVE_S,
    ) -> None:
        self._reasons = reasons
        self._metrics = metrics
        self._dial = dial
        self._pause_recording = pause_recording
        self._alive_s = alive_s
        application = web.Application(client_max_size=BODY_MAX)
        application.add_routes(
            [
                web.get("/health", self._get_health),
                web.get("/ready", self._get_ready),
                web.get("/metrics", self._get_metrics),
                web.post("/calls", self._post_calls),
                web.post("/calls/{id}/recording", self._post_recording),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return the address; port 0 leaves the choice to the system.

        :raises OSError: when somebody else has the port.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        address = self._runner.addresses[0]
        return address[0], address[1]

    async def close(self) -> None:
        """Stop listening and close what is open; to do so twice is no error."""
        await self._runner.cleanup()

    async def _get_health(self, _request: web.Request) -> web.Response:
        try:
            async with TimeLimit(self._alive_s):
                await self._reasons()
        except TimeoutError:
            return web.json_response({"status": "stuck"}, status=503)
        return web.json_response({"status": "ok"})

    async def _get_ready(self, _request: web.Request) -> web.Response:
        reasons = list(await self._reasons())
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _post_calls(self, request: web.Request) -> web.Response:
        """Have somebody called."""
        try:
            order = await _read(request, Order)
            call_id = await self._dial(order.line, order.to, tuple(order.headers.items()))
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        except SipagentError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response({"id": call_id}, status=202)

    async def _post_recording(self, request: web.Request) -> web.Response:
        """Have a recording pause or go on; to ask twice is no error."""
        try:
            order = await _read(request, RecordingOrder)
            await self._pause_recording(request.match_info["id"], order.action == "pause")
        except msgspec.DecodeError as error:
            return web.json_response({"error": str(error)}, status=400)
        except SipagentError as error:
            return web.json_response({"error": str(error)}, status=409)
        return web.json_response({"recording": "paused" if order.action == "pause" else "on"})

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        page = await self._metrics()
        return web.Response(body=page.body, headers={"Content-Type": page.content_type})


async def _read(request: web.Request, kind: type[T]) -> T:
    """Read an order; a page of another site in a browser can't give one, for it may not send JSON.

    :raises web.HTTPUnsupportedMediaType: for anything but JSON.
    :raises msgspec.DecodeError: for JSON that is no such order.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="expected application/json\n")
    return msgspec.json.decode(await request.read(), type=kind)
