"""How messages lie in the octets of a connection: one after another (TCP, TLS), or each in a WebSocket message."""

from enum import Enum
from typing import Protocol

from sipagent.sip.framing import PING, StreamFramer


class Stage(Enum):
    """What a peer has begun and not finished."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"


class Framing(Protocol):
    """One end of a connection; nothing here touches a socket."""

    reason: str
    """Why it can't go on, if it can't and the peer did not say goodbye."""

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be expected of the peer."""

    @property
    def stage(self) -> Stage:
        """What the peer has begun."""

    def start(self) -> None:
        """The layers below are there."""

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take octets, and return the messages that are now whole; call again, with none, until nothing comes.

        :raises MessageError: when nothing says where the next message begins.
        """

    def pop_output(self) -> bytes:
        """Return what is to be sent."""

    def send(self, message: bytes) -> None:
        """Frame a message."""

    def ping(self) -> None:
        """Ask for a sign of life."""

    def pop_ponged(self) -> bool:
        """Return whether one came since the last call."""

    def close(self) -> None:
        """Say goodbye, where that is the custom."""


class StreamFraming:
    """Messages one after another, each as long as its Content-Length says; CRLFs keep the connection alive."""

    def __init__(self) -> None:
        self._framer = StreamFramer()
        self._output = bytearray()
        self.is_open = False
        self.is_over = False
        self.reason = ""

    @property
    def stage(self) -> Stage:
        """What the peer has begun."""
        if self._framer.is_in_body:
            return Stage.BODY
        return Stage.HEAD if self._framer.is_incomplete else Stage.IDLE

    def start(self) -> None:
        """Messages may go at once."""
        self.is_open = True

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take octets; see :class:`Framing`."""
        messages = self._framer.receive_data(data)
        self._output += self._framer.pop_pong() or b""
        return messages

    def pop_output(self) -> bytes:
        """Return what is to be sent."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def send(self, message: bytes) -> None:
        """Send a message as it is."""
        self._output += message

    def ping(self) -> None:
        """Send a double CRLF (:rfc:`5626#section-3.5.1`)."""
        self._output += PING
        self._framer.expect_pong()

    def pop_ponged(self) -> bool:
        """Return whether a single one came since the last call."""
        return self._framer.pop_ponged()

    def close(self) -> None:
        """There is no such custom."""
