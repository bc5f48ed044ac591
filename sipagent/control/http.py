"""The control port: is it alive, may it be sent calls, and how is it doing.

``/health`` answers as long as the event loop turns. ``/ready`` is 503, with the reasons, when no new call would be
taken. The server knows nothing of calls: it is given callables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

CLOSE_TIMEOUT_S = 1.0
"""Every answer takes far less; a client that dawdles is not waited for."""


@dataclass(frozen=True, slots=True)
class Page:
    """A body and what it is."""

    body: bytes
    content_type: str


class ControlServer:
    """An HTTP server.

    :param reasons: why new calls would be refused at present; empty when they would not.
    :param metrics: the page for Prometheus.
    """

    def __init__(self, *, reasons: Callable[[], Sequence[str]], metrics: Callable[[], Page]) -> None:
        self._reasons = reasons
        self._metrics = metrics
        application = web.Application()
        application.add_routes(
            [
                web.get("/health", self._get_health),
                web.get("/ready", self._get_ready),
                web.get("/metrics", self._get_metrics),
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
        return web.json_response({"status": "ok"})

    async def _get_ready(self, _request: web.Request) -> web.Response:
        reasons = list(self._reasons())
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        page = self._metrics()
        return web.Response(body=page.body, headers={"Content-Type": page.content_type})
