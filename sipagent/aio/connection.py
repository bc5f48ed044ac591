"""One connection of SIP, whatever it is made of: a socket, TLS or none, and how messages lie in it.

Slowness is not a way to fill our memory: each thing that a peer can begin has a time to be finished in, from its first
octet on, however many more trickle in.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol, cast

from sipagent.aio.framing import Framing, Stage
from sipagent.aio.tls import TlsLayer, explain
from sipagent.errors import SipagentError
from sipagent.sip.events import Flow
from sipagent.sip.message import MessageError

HANDSHAKE_S = 10.0
"""For TLS and for the upgrade to a WebSocket together."""

HEAD_S = 10.0
BODY_S = 20.0
"""A message that has begun is complete by then, or the connection is closed."""

IDLE_S = 180.0
"""A phone that keeps its connection sends a CRLF far more often (:rfc:`5626#section-4.4.1`)."""

TALKED_IDLE_S = 7200.0
"""A connection over which a message came may carry a call, whose next message is its BYE."""

LINGER_S = 5.0
"""For a peer to take what was sent before we closed."""

MAX_UNSENT = 1024 * 1024
"""A peer that does not read what we send is cut off at that many octets."""


class Owner(Protocol):
    """Whoever keeps the connections."""

    def admit(self, connection: "Connection") -> bool:
        """Take in one that came, unless there are too many."""

    def receive(self, message: bytes, flow: Flow) -> None:
        """A message."""

    def receive_malformed(self, error: MessageError, flow: Flow) -> None:
        """A fault that ends a connection; there may be a response to it."""

    def receive_pong(self, flow: Flow) -> None:
        """A sign of life that was asked for."""

    def retire(self, connection: "Connection") -> None:
        """Nothing more can be sent by this connection."""

    def forget(self, connection: "Connection") -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """A connection that comes in, or one that goes out.

    :param flow: where it goes, or only by what transport it comes.
    :param framing: how messages lie in it.
    :param secure: makes its TLS, if it has any.
    """

    def __init__(
        self, owner: Owner, flow: Flow, framing: Framing, secure: Callable[[], TlsLayer] | None, *, is_ours: bool
    ) -> None:
        self.flow = flow
        self.is_ours = is_ours
        """We opened it."""
        self.reason = ""
        """Why it could not be opened, or had to be closed."""
        self._owner = owner
        self._framing = framing
        self._secure = secure
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._tls: TlsLayer | None = None
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stage = Stage.IDLE
        self._idle_s = IDLE_S
        self._waiting: list[bytes] = []
        self.is_open = False
        """Messages could be sent, from the end of the handshakes on."""
        self._is_closing = False

    @property
    def is_connected(self) -> bool:
        """Whether there is, or was, a socket."""
        return self._transport is not None

    async def wait_open(self) -> bool:
        """Wait until messages can be sent; ``False`` when that will never be."""
        return await self._opened

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note whose connection it is, and begin what comes before the messages."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being called one
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if self._is_closing or local is None or remote is None:  # it was reset before we looked
            self.abort("")
            return
        if self.is_ours:
            self.flow = Flow(self.flow.transport, self.flow.remote, (local[0], local[1]), self.flow.name)
        else:
            self.flow = Flow(self.flow.transport, (remote[0], remote[1]), (local[0], local[1]))
            if not self._owner.admit(self):
                self.abort("")
                return
            self._set_deadline(HANDSHAKE_S, lambda: self.abort("its handshake has no end"))
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._is_closing:
            return
        plain = data if self._tls is None else self._decrypt(self._tls, data)
        if plain is not None:
            self._take(plain)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is gone."""
        self._stop("" if exc is None else str(exc))
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.forget(self)

    # What the owner calls

    def send(self, message: bytes) -> None:
        """Send a message, as soon as it can be."""
        if self._is_closing:
            return
        if self.is_open:
            self._framing.send(message)
            self._flush()
        elif sum(map(len, self._waiting)) + len(message) > MAX_UNSENT:
            self.abort("too much waits for it to open")
        else:
            self._waiting.append(message)

    def ping(self) -> None:
        """Ask for a sign of life, if it is open yet."""
        if self.is_open and not self._is_closing:
            self._framing.ping()
            self._flush()

    def close(self, reason: str = "") -> None:
        """Close it once what was sent has gone, or does not go."""
        if self._transport is None or self._is_closing:
            self._stop(reason)
            return
        self._framing.close()
        self._flush()
        self._stop(reason)
        if self._tls is not None:
            self._tls.close()
            self._transport.write(self._tls.pop_output())
        self._transport.close()
        self._set_deadline(LINGER_S, self._transport.abort)

    def drop(self) -> None:
        """Close it now; what the kernel has not taken is lost, for a peer that does not read must not keep us."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.abort("")
        else:
            self.close()

    def abort(self, reason: str) -> None:
        """Break it off."""
        self._stop(reason)
        if self._transport is not None:
            self._transport.abort()

    # The layers

    def _begin(self) -> None:
        """Start TLS, or, without any, the framing."""
        if self._secure is None:
            self._framing.start()
            self._after()
            return
        try:
            self._tls = self._secure()
        except (OSError, SipagentError) as error:
            self.abort(str(error))
            return
        self._decrypt(self._tls, b"")

    def _decrypt(self, tls: TlsLayer, data: bytes) -> bytes | None:
        """Return what was meant; ``None`` as long as, or because, there is no connection."""
        was_open = tls.is_open
        try:
            plain = tls.receive_data(data)
        except ssl.SSLError as error:
            self._write(tls.pop_output())  # the alert, which tells the peer why
            self.close(explain(error))
            return None
        self._write(tls.pop_output())
        if tls.is_open and not was_open:
            self._framing.start()
            self._after()
        return plain if tls.is_open else None

    def _take(self, data: bytes) -> None:
        """Frame what came."""
        try:
            while messages := self._framing.receive_data(data):
                self._stage, self._idle_s = Stage.IDLE, TALKED_IDLE_S
                for message in messages:
                    self._owner.receive(message, self.flow)
                data = b""  # what came before a fault is handed up first; the next call raises it
        except MessageError as error:
            self._owner.receive_malformed(error, self.flow)
            self.close()
            return
        self._after()

    def _after(self) -> None:
        """Send what the framing has to say, and see how far we are."""
        if self._is_closing:
            return
        self._flush()
        if self._framing.is_open and not self.is_open:
            self._open()
        if self._framing.pop_ponged():
            self._owner.receive_pong(self.flow)
        if self._framing.is_over or (self._tls is not None and self._tls.is_over):
            self.close(self._framing.reason)
        elif self.is_open and not self._is_closing:
            self._watch()

    def _open(self) -> None:
        self.is_open = True
        if not self._opened.done():
            self._opened.set_result(True)
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.send(message)

    def _flush(self) -> None:
        output = self._framing.pop_output()
        if not output or self._is_closing:
            return
        if self._tls is None:
            self._write(output)
            return
        try:
            self._tls.send(output)
        except ssl.SSLError as error:
            self.abort(explain(error))
        else:
            self._write(self._tls.pop_output())

    def _write(self, data: bytes) -> None:
        if not data or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self.abort("it does not read")

    # Time

    def _watch(self) -> None:
        """Move the deadline: however many octets trickle in, a message has as long as from its first."""
        stage, before = self._framing.stage, self._stage
        self._stage = stage
        if stage is Stage.IDLE:
            self._set_deadline(self._idle_s, self.close)
        elif stage is not before:
            self._set_deadline(HEAD_S if stage is Stage.HEAD else BODY_S, self.close)

    def _set_deadline(self, seconds: float, act: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, act)

    def _stop(self, reason: str) -> None:
        """Send nothing more; whoever needs this peer opens another one."""
        if not self._is_closing:
            self._is_closing = True
            self.reason = reason
            if not self._opened.done():
                self._opened.set_result(False)
            self._owner.retire(self)
