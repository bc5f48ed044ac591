"""SIP over WebSockets (:rfc:`7118`): one message a WebSocket message, text or binary, in the subprotocol ``sip``.

The handshake and the frames are the business of websockets' machines, which do no I/O. What a peer may make us keep is
bounded: a head of HTTP while the handshake lasts, then one message. Of the CRLFs that keep a TCP connection alive the
RFC says nothing here, but some clients send them all the same; they get their answer.
"""

import re
from collections.abc import Iterable

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import WebSocketURI

from sipagent.aio.framing import Stage
from sipagent.sip.framing import BODY_MAX, PING, PONG
from sipagent.sip.message import HEAD_MAX

SIP = Subprotocol("sip")

PATH = "/ws"
"""What we ask for: Asterisk wants it so, and Kamailio takes what comes."""

MESSAGE_MAX = HEAD_MAX + BODY_MAX

HANDSHAKE_MAX = 16 * 1024
"""Octets of a request or response of HTTP; browsers with all their cookies stay below."""

GOING_AWAY = 1001

DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class WebSocketFraming:
    """The messages of one WebSocket.

    :param protocol: one end of it, by :func:`serve` or :func:`connect`.
    """

    def __init__(self, protocol: ServerProtocol | ClientProtocol) -> None:
        self._protocol = protocol
        self._handshake_size = 0
        self._message: bytearray | None = None
        self._is_incomplete = False
        self._ponged = False
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done."""
        return self._protocol.state is State.OPEN

    @property
    def is_over(self) -> bool:
        """Whether the handshake failed, the peer has said goodbye, or has broken the protocol."""
        return bool(self.reason) or self._protocol.state in (State.CLOSING, State.CLOSED)

    @property
    def stage(self) -> Stage:
        """A message in pieces has as long as a body."""
        return Stage.BODY if self._message is not None or self._is_incomplete else Stage.IDLE

    def start(self) -> None:
        """Ask for the handshake, where we are the client."""
        if isinstance(self._protocol, ClientProtocol):
            self._protocol.send_request(self._protocol.connect())

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take what the connection brought, and return the messages that are now whole."""
        if self.is_over or not data:
            return []
        if not self.is_open and not self._has_room(len(data)):
            return []
        is_upgrade = isinstance(self._protocol, ServerProtocol) and not self.is_open
        self._protocol.receive_data(data)
        events = self._protocol.events_received()
        if is_upgrade and len(events) > 1:
            self.reason = "it did not wait for the handshake"
            return []
        self._is_incomplete = not events
        messages = [message for event in events if (message := self._on_event(event))]
        self._note_fault()
        return messages

    def pop_output(self) -> bytes:
        """Return what is to be sent: handshake, frames, pongs."""
        return b"".join(self._protocol.data_to_send())

    def send(self, message: bytes) -> None:
        """Frame a message, as text where it is that; to who has said goodbye there is nothing more to say."""
        if not self.is_open:
            return
        try:
            message.decode()
        except UnicodeDecodeError:
            self._protocol.send_binary(message)
        else:
            self._protocol.send_text(message)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._protocol.send_ping(b"")

    def pop_ponged(self) -> bool:
        """Return whether a sign of life came since the last call."""
        ponged, self._ponged = self._ponged, False
        return ponged

    def close(self) -> None:
        """Say goodbye."""
        if self.is_open:
            self._protocol.send_close(GOING_AWAY)

    def _has_room(self, size: int) -> bool:
        self._handshake_size += size
        if self._handshake_size > HANDSHAKE_MAX:
            self.reason = "its handshake has no end"
        return not self.reason

    def _on_event(self, event: Request | Response | Frame) -> bytes | None:
        match event:
            case Request():
                self._answer(event)
            case Response():
                self._judge()
            case Frame(opcode=Opcode.PONG):
                self._ponged = True
            case Frame() if event.opcode in DATA:
                return self._gather(event)
        return None

    def _answer(self, request: Request) -> None:
        """Take a client that speaks SIP."""
        if isinstance(self._protocol, ServerProtocol):
            self._protocol.send_response(self._protocol.accept(request))

    def _judge(self) -> None:
        """See whether the server that takes us speaks SIP."""
        if self.is_open and self._protocol.subprotocol != SIP:
            self.reason = "it does not speak SIP"

    def _note_fault(self) -> None:
        match self._protocol.handshake_exc or self._protocol.parser_exc:
            case None:
                return
            case InvalidStatus(response=response):
                self.reason = f"it answers {response.status_code} {response.reason_phrase}"
            case error:
                self.reason = f"no WebSocket: {error}"

    def _gather(self, frame: Frame) -> bytes | None:
        if frame.opcode is not Opcode.CONT or self._message is None:
            self._message = bytearray()
        self._message += frame.data
        if not frame.fin:
            return None
        message, self._message = bytes(self._message), None
        if message.strip(b"\r\n\0"):
            return message
        if message == PING:
            self._protocol.send_text(PONG)
        else:
            self._ponged = True
        return None


def serve(origins: Iterable[str] = ()) -> WebSocketFraming:
    """Make the end of a server.

    :param origins: the web pages whose scripts may connect, such as ``https://phone.example.com``; none given, all.
        What is no browser names no page, and may always.
    """
    allowed: list[Origin | re.Pattern[str] | None] = [Origin(origin) for origin in origins]
    return WebSocketFraming(
        ServerProtocol(
            subprotocols=[SIP], origins=[*allowed, None] if allowed else None, max_size=MESSAGE_MAX
        )
    )


def connect(host: str, port: int, *, secure: bool) -> WebSocketFraming:
    """Make the end of a client.

    :param host: the name or the numeric address by which the server is known.
    """
    uri = WebSocketURI(secure, host, port, PATH, "")
    return WebSocketFraming(ClientProtocol(uri, subprotocols=[SIP], max_size=MESSAGE_MAX))
