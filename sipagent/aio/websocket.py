"""The WebSocket to the model: picows behind a small seam, so that a send costs microseconds and no await."""

import ssl
from collections.abc import Callable, Mapping
from functools import partial

from picows import (
    WSAutoPingStrategy,
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from sipagent.aio.tcp import connect
from sipagent.aio.time_limit import TimeLimit

MAX_FRAME = 16 * 1024 * 1024
"""An append may carry 15 MiB; nothing that the model sends us comes near."""

FIRST_BUFFER = 5 * 1024
"""What is read at once, at first. It doubles as often as that is too little, and never shrinks: a second of telephone
speech with its words fits after two times, and with little to spare."""

MAX_UNSENT = 512 * 1024
"""Half a minute of audio that a stalled model did not take: the connection is as good as lost."""

PING_S = 4.0
"""A server of which nothing comes is asked for a sign of life, and given up when there is none: its caller waits."""

TEXT = WSMsgType.TEXT  # to look a member up in its enumeration takes longer than to frame the message

NO_ANSWER = 0
"""The code of a connection that never was, and that nobody refused."""

NO_CODE = 1005
"""The code of a close frame that holds none (:rfc:`6455#section-7.4.1`)."""

MAX_BODY = 500
"""So much of the body of a refusal is told: it says what is wrong with the key or the account."""


class WebSocket(WSListener):
    """One connection; every frame goes to ``received`` in the stack in which it was read.

    :param opened: is told that the handshake is done; the model's first message may come in the same read.
    :param lost: is told, once, the close code and the reason: 1006 when the connection broke, below 1000 the HTTP
        status that refused it, and 0 when it could not be opened at all.
    """

    def __init__(
        self, *, opened: Callable[[], None], received: Callable[[bytes], None], lost: Callable[[int, str], None]
    ) -> None:
        self._opened = opened
        self._received = received
        self._lost = lost
        self._transport: WSTransport | None = None
        self.send: Callable[[bytes], None] = _nothing_sent
        """Sends a text frame, by the transport itself, for it does so often; what can't be sent is dropped."""
        self._fragments = b""
        self._close = (WSCloseCode.ABNORMAL_CLOSURE.value, "connection broke")
        self._is_closed = False

    async def connect(
        self, url: str, headers: Mapping[str, str], *, timeout_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        """Open the connection; that it can't be opened, too, is told to ``lost``.

        :param tls: for ``wss:``. To make one takes 20 ms, so it is made once, not here.
        """
        try:
            async with TimeLimit(timeout_s):
                await self._connect(url, headers, timeout_s, tls)
        except WSHandshakeError as error:
            self._lose(*_refusal(error))
        except TimeoutError:
            self._lose(NO_ANSWER, f"no answer within {timeout_s:g} s")
        except (OSError, WSError, ValueError) as error:  # ValueError: a host or a header that can't be
            self._lose(NO_ANSWER, f"{type(error).__name__}: {error}")
        else:
            if self._transport is None:
                self._lose(NO_ANSWER, "it hung up without an answer")

    async def _connect(
        self, url: str, headers: Mapping[str, str], timeout_s: float, tls: ssl.SSLContext | None
    ) -> None:
        await ws_connect(
            lambda: self,
            url,
            extra_headers=dict(headers),
            socket_factory=lambda where: connect(where.host, where.port),
            max_redirects=0,  # the key is for this host and no other
            websocket_handshake_timeout=timeout_s,
            ssl_context=tls,
            max_frame_size=MAX_FRAME,
            read_buffer_init_size=FIRST_BUFFER,
            enable_auto_ping=True,
            auto_ping_idle_timeout=PING_S,
            auto_ping_reply_timeout=PING_S,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
        )

    def refuse(self, code: int, reason: str) -> None:
        """Tell at once that it can't be opened; nothing was tried."""
        self._lose(code, reason)

    def close(self) -> None:
        """Close; nothing more is received, and whoever received is let go of."""
        self._is_closed = True
        self._let_go()
        if self._transport is not None:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    # What picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport, unless nobody waits for it any more."""
        if self._is_closed:
            transport.disconnect(graceful=False)
            return
        self._transport = transport
        self.send = partial(transport.send, TEXT)
        transport.underlying_transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Hand a whole message up."""
        if self._is_closed:
            return
        kind = frame.msg_type
        if kind is TEXT and frame.fin:
            self._received(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            self._close = (int(frame.get_close_code().value) or NO_CODE, frame.get_close_reason() or "")
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            self._gather(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell that it is gone, unless we closed it."""
        self._lose(*self._close)
        self._transport = None

    def pause_writing(self) -> None:
        """The model does not read: give it up."""
        self._close = (WSCloseCode.ABNORMAL_CLOSURE.value, "the model stopped reading")
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _lose(self, code: int, reason: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            lost = self._lost
            self._let_go()
            lost(code, reason)

    def _let_go(self) -> None:
        """Hold nobody any more who may hold us, and send no more."""
        self.send = _nothing_sent
        self._opened = _nothing_opened
        self._received = _nothing_received
        self._lost = _nothing_lost

    def _gather(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            self._fragments = b""
        self._fragments += frame.get_payload_as_bytes()
        if len(self._fragments) > MAX_FRAME:
            transport.disconnect(graceful=False)
        elif frame.fin:
            message, self._fragments = self._fragments, b""
            self._received(message)


def _nothing_sent(_data: bytes) -> None:
    """Nothing can be sent."""


def _nothing_opened() -> None:
    """Nobody waits."""


def _nothing_received(_data: bytes) -> None:
    """Nobody receives."""


def _nothing_lost(_code: int, _reason: str) -> None:
    """Nobody misses it."""


def _refusal(error: WSHandshakeError) -> tuple[int, str]:
    """The HTTP status of an answer that is no WebSocket's, and what it said."""
    status = error.response.status if error.response is not None else NO_ANSWER
    body = (error.raw_body or b"")[:MAX_BODY].decode(errors="replace")
    return int(status), " ".join(body.split()) or str(error)
