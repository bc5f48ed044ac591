"""A model: where it is, and how we prove who we are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ssl import SSLContext

from sipagent.aio.breaker import Breaker
from sipagent.aio.websocket import WebSocket


@dataclass(frozen=True, slots=True)
class Engine:
    """Where the model is."""

    url: str = field(repr=False)  # the key may be in it, as in the headers
    headers: Mapping[str, str] = field(repr=False)
    connect_timeout_s: float = 5.0
    tls: SSLContext | None = None
    breaker: Breaker = field(default_factory=Breaker, compare=False, repr=False)
    """Whether it may be used at all."""

    async def open(self, socket: WebSocket) -> None:
        """Connect; what comes of it is told by the socket."""
        await socket.connect(self.url, self.headers, timeout_s=self.connect_timeout_s, tls=self.tls)
