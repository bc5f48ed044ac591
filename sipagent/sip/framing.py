"""Messages out of a stream (:rfc:`3261#section-18.3`): Content-Length says where each ends.

Between messages CRLFs are skipped. A double one is a ping that deserves a pong, a single one
(:rfc:`5626#section-3.5.1`). Memory is bounded by one head and one body. After a fault nothing says where the next
message begins, and the stream is lost.
"""

from sipagent.errors import RemoteProtocolError
from sipagent.sip.message import HEAD_MAX, MessageError, partial_request, read_content_length, read_head

BODY_MAX = 65_536
"""Octets of a body; a datagram cannot bring more either."""

PING = b"\r\n\r\n"
PONG = b"\r\n"

_HEAD_END = b"\r\n\r\n"


class StreamFramer:
    """Cuts the octets of one connection into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._length: int | None = None
        self._pinged = False
        self._ponged = False
        self._awaits_pong = False
        self._fault: MessageError | None = None

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take what the connection brought, and return the messages that are now whole.

        Messages before a fault are returned first and the fault is raised by the next call: so call again, with
        ``b""``, until nothing comes.

        :raises MessageError: when the stream is lost: 400 for a Content-Length that is missing, double or no number,
            513 beyond a limit. Its ``partial`` is the request to answer before the connection closes, if any.
        """
        if self._fault is not None:
            raise self._fault
        self._buffer += data
        messages: list[bytes] = []
        try:
            while (message := self._next_message()) is not None:
                messages.append(message)
        except MessageError as fault:
            self._fault = fault
            self._buffer.clear()
            if not messages:
                raise
        return messages

    def pop_pong(self) -> bytes | None:
        """Return what answers the pings since the last call, one answer for all of them, or ``None``."""
        pinged, self._pinged = self._pinged, False
        return PONG if pinged else None

    def expect_pong(self) -> None:
        """A ping of ours is on its way: the next CRLF that comes alone answers it, and is no half of theirs."""
        self._awaits_pong = True

    def pop_ponged(self) -> bool:
        """Return whether a ping of ours was answered since the last call."""
        ponged, self._ponged = self._ponged, False
        return ponged

    @property
    def is_incomplete(self) -> bool:
        """Whether a message has begun and is not whole, so that a deadline should run."""
        return bool(self._buffer) and not self._buffer.startswith(b"\r")

    @property
    def is_in_body(self) -> bool:
        """Whether the head of the message that has begun is whole, and its body is not."""
        return self._length is not None

    def _next_message(self) -> bytes | None:
        if self._length is None:
            self._length = self._measure()
        if self._length is None or len(self._buffer) < self._length:
            return None
        message = bytes(self._buffer[: self._length])
        del self._buffer[: self._length]
        self._length = None
        return message

    def _measure(self) -> int | None:
        """Return the length of the message at the front, or ``None`` while its head is not whole."""
        self._skip_keepalives()
        end = self._buffer.find(_HEAD_END, self._searched)
        if end < 0:
            if len(self._buffer) > HEAD_MAX:
                raise MessageError("head too long", status=513)
            self._searched = max(0, len(self._buffer) - len(_HEAD_END) + 1)
            return None
        self._searched = 0
        end += len(_HEAD_END)
        return end + _measure_body(bytes(self._buffer[:end]))

    def _skip_keepalives(self) -> None:
        while self._buffer.startswith(PONG):
            if self._buffer.startswith(PING):
                self._pinged = True
                del self._buffer[: len(PING)]
            elif self._awaits_pong:
                self._awaits_pong, self._ponged = False, True
                del self._buffer[: len(PONG)]
            elif PING.startswith(self._buffer):
                return
            else:
                del self._buffer[: len(PONG)]


def _measure_body(data: bytes) -> int:
    head = read_head(data)
    try:
        length = read_content_length(head.headers, BODY_MAX + 1)
        if length is None:
            raise head.fault or RemoteProtocolError("no Content-Length")
        if length > BODY_MAX:
            raise RemoteProtocolError("body too long", status=513)
    except RemoteProtocolError as error:
        raise MessageError(str(error), status=error.status, partial=partial_request(head)) from error
    return length
