"""A SIP message (:rfc:`3261#section-7`): a start line, header fields, a body.

``parse_message`` judges the whole of it at once: a message that it returns has every mandatory field, once, and its
typed properties don't raise. What it refuses comes as a :class:`MessageError` with the status that the sender
deserves and as much of the request as a reply needs. Typed properties are read once, and again after a change.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.headers import MAGIC_COOKIE, CSeq, Headers, NameAddr, Via, check_text
from sipagent.sip.multipart import find_part, is_optional, media_type
from sipagent.sip.uri import Uri

HEAD_MAX = 65_536
"""Octets of start line and header fields: as much as a datagram can bring."""

LINE_MAX = 8_192
"""Octets of one header field, continuation lines included; a signed Identity takes less than 2,000."""

FIELDS_MAX = 256
"""Header fields in a message; a call over a dozen proxies has fewer than 60."""

MAX_FORWARDS_MAX = 255

REASONS: Mapping[int, str] = MappingProxyType(
    {
        100: "Trying",
        180: "Ringing",
        181: "Call Is Being Forwarded",
        182: "Queued",
        183: "Session Progress",
        200: "OK",
        202: "Accepted",
        300: "Multiple Choices",
        301: "Moved Permanently",
        302: "Moved Temporarily",
        305: "Use Proxy",
        380: "Alternative Service",
        400: "Bad Request",
        401: "Unauthorized",
        402: "Payment Required",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        407: "Proxy Authentication Required",
        408: "Request Timeout",
        410: "Gone",
        413: "Request Entity Too Large",
        414: "Request-URI Too Long",
        415: "Unsupported Media Type",
        416: "Unsupported URI Scheme",
        420: "Bad Extension",
        421: "Extension Required",
        422: "Session Interval Too Small",
        423: "Interval Too Brief",
        480: "Temporarily Unavailable",
        481: "Call/Transaction Does Not Exist",
        482: "Loop Detected",
        483: "Too Many Hops",
        484: "Address Incomplete",
        485: "Ambiguous",
        486: "Busy Here",
        487: "Request Terminated",
        488: "Not Acceptable Here",
        489: "Bad Event",
        491: "Request Pending",
        493: "Undecipherable",
        500: "Server Internal Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Server Time-out",
        505: "Version Not Supported",
        513: "Message Too Large",
        600: "Busy Everywhere",
        603: "Decline",
        604: "Does Not Exist Anywhere",
        606: "Not Acceptable",
    }
)
"""The reason phrase of each status (:rfc:`3261#section-21` and later RFCs)."""

MANDATORY = ("Via", "From", "To", "Call-ID", "CSeq")
"""What every message has (:rfc:`3261#section-8.1.1`); Max-Forwards too, but :rfc:`2543` did not know it."""

SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type")
"""What may come once only, because two would say two things."""

_REQUEST_LINE = re.compile(rf"({grammar.TOKEN}) ([^ ]++) SIP/2\.0", re.IGNORECASE | re.ASCII)
_OTHER_VERSION = re.compile(r"SIP/(?!2\.0\Z)[0-9]++\.[0-9]++", re.IGNORECASE | re.ASCII)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*+))?", re.IGNORECASE | re.ASCII)
_FOLD = re.compile(r"\r\n[ \t]++")
_CALL_ID = re.compile(grammar.CALL_ID)


class Message:
    """What requests and responses share: header fields as typed values, and the body."""

    __slots__ = ()

    headers: Headers
    body: bytes

    @property
    def via(self) -> Via:
        """The topmost Via."""
        return self.headers.derive("Via", _top_via)

    @property
    def vias(self) -> list[Via]:
        """All hops, the last one first."""
        return self.headers.derive("Via", _vias)

    @property
    def from_(self) -> NameAddr:
        """Who asks."""
        return self.headers.derive("From", _from)

    @property
    def to(self) -> NameAddr:
        """Who is asked."""
        return self.headers.derive("To", _to)

    @property
    def call_id(self) -> str:
        """What all messages of a dialog share."""
        return self.headers.derive("Call-ID", _call_id)

    @property
    def cseq(self) -> CSeq:
        """The request's place in the dialog."""
        return self.headers.derive("CSeq", _cseq)

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; ``None`` also for ``*``."""
        contacts = self.contacts
        return contacts[0] if contacts else None

    @property
    def contacts(self) -> list[NameAddr]:
        """All Contacts; none for ``*``."""
        return self.headers.derive("Contact", _contacts)

    @property
    def record_route(self) -> list[NameAddr]:
        """The proxies that want to stay on the way, as listed."""
        return self.headers.derive("Record-Route", _record_route)

    @property
    def max_forwards(self) -> int | None:
        """Hops left, at most 255."""
        return self.headers.derive("Max-Forwards", _max_forwards)

    @property
    def content_type(self) -> str | None:
        """``type/subtype`` in lower case, without parameters."""
        value = self.headers.get("Content-Type")
        return None if value is None else media_type(value)

    @property
    def require(self) -> list[str]:
        """The option tags the peer insists on."""
        return _tokens(self.headers, "Require")

    @property
    def supported(self) -> list[str]:
        """The option tags the peer knows."""
        return _tokens(self.headers, "Supported")

    @property
    def allow(self) -> list[str]:
        """The methods the peer takes."""
        return _tokens(self.headers, "Allow")

    def content(self, content_type: str) -> bytes | None:
        """Return the body, or the first part of a multipart body, that is of this type.

        :return: empty when there is no body, or another that need not be understood (``handling=optional``); ``None``
            when there is one, but of no type (or of an encoding) that serves. A body without Content-Type is taken
            to be what was wanted.
        """
        if not self.body:
            return b""
        value = self.headers.get("Content-Type")
        other = b"" if is_optional(self.headers.get("Content-Disposition", "")) else None
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            return other
        if value is None or media_type(value) == content_type:
            return self.body
        part = find_part(self.body, value, content_type) if media_type(value).startswith("multipart/") else None
        return other if part is None else part

    def _serialise(self, start_line: str) -> bytes:
        lines = [check_text(start_line)]
        lines += [f"{name}: {value}" for name, value in self.headers.items() if name != "Content-Length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True, slots=True)
class Request(Message):
    """A request (:rfc:`3261#section-7.1`)."""

    method: str
    uri: Uri
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __bytes__(self) -> bytes:
        """Serialise, always with the Content-Length that is true.

        :raises LocalProtocolError: when method or URI hold CR, LF or NUL.
        """
        return self._serialise(f"{self.method} {self.uri} SIP/2.0")


@dataclass(frozen=True, slots=True)
class Response(Message):
    """A response (:rfc:`3261#section-7.2`)."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __bytes__(self) -> bytes:
        """Serialise, always with the Content-Length that is true.

        :raises LocalProtocolError: when the reason holds CR, LF or NUL.
        """
        return self._serialise(f"SIP/2.0 {self.status} {self.reason}")


class MessageError(RemoteProtocolError):
    """A message that may not be processed.

    :param partial: of a request, what could be read, for :func:`make_response`; ``None`` when nothing may be sent
        back: a response, an ACK, or a request without a Via to answer to. Its typed properties may raise,
        but ``via`` doesn't; a Request-URI that could not be read has an empty scheme and is opaque.
    """

    def __init__(self, message: str, *, status: int = 400, partial: Request | None = None) -> None:
        super().__init__(message, status=status)
        self.partial = partial


def parse_message(data: bytes) -> Request | Response:
    """Read one whole message, a datagram's or one that a stream framer cut out.

    What follows the body that Content-Length announces is ignored (:rfc:`3261#section-18.3`); without one the body
    runs to the end. CRLFs before the start line are skipped (:rfc:`3261#section-7.5`).

    :raises MessageError: 505 for another version, 513 beyond a limit, 400 for any other fault.
    """
    head = read_head(data)
    if head.start_line[:4].upper() == "SIP/":
        return _parse_response(head, data)
    return _parse_request(head, data)


def make_response(request: Request, status: int, *, reason: str | None = None, to_tag: str | None = None) -> Response:
    """Build a response to ``request``, which may be a partial one (:rfc:`3261#section-8.2.6.2`).

    Via, From, To, Call-ID and CSeq come back as they were written, and Timestamp in a 100.

    :param to_tag: added to To, unless it has a tag.
    """
    headers = Headers()
    headers.take(request.headers, "Via")
    for name in ("From", "To", "Call-ID", "CSeq"):
        headers.take(request.headers, name, most=1)
    to = headers.get("To")
    if to is not None and to_tag is not None and not _has_to_tag(request):
        headers.set("To", f"{to};tag={to_tag}")
    if status == 100:
        headers.take(request.headers, "Timestamp", most=1)
    return Response(status, REASONS.get(status, "Unknown") if reason is None else reason, headers)


def _has_to_tag(request: Request) -> bool:
    try:
        return request.to.tag is not None
    except RemoteProtocolError:
        return False


class Head(NamedTuple):
    """Start line and header fields of a message, as far as they can be read."""

    start_line: str
    headers: Headers
    fault: RemoteProtocolError | None
    """The first thing that is wrong with the lines as such."""
    body_at: int
    """Where in the data the body begins."""


def read_head(data: bytes) -> Head:
    """Read everything up to the empty line, or to the end of the data where there is none.

    :raises MessageError: when a CR or LF stands alone, so that nobody can say what is a line.
    """
    start = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in (b"\r", b"\n") else 0
    end = data.find(b"\r\n\r\n", start)
    fault = None
    if end < 0:
        end = max(start, len(data) - 2) if data.endswith(b"\r\n") else len(data)
        fault = None if data.endswith(b"\r\n") else RemoteProtocolError("the head is cut off")
    if end - start > HEAD_MAX:
        raise MessageError("head too long", status=513)
    text = data[start:end].decode("utf-8", "surrogateescape").replace("\0", "\ufffd")
    if not text.count("\r\n") == text.count("\r") == text.count("\n"):
        raise MessageError("a CR or LF stands alone")
    lines = _FOLD.sub(" ", text).split("\r\n")
    if len(lines) > FIELDS_MAX + 1:
        fault = RemoteProtocolError("too many header fields", status=513)
    elif max(map(len, lines)) > LINE_MAX:
        fault = RemoteProtocolError("header field too long", status=513)
    headers, problem = Headers.read(lines[1 : FIELDS_MAX + 1])
    if problem:
        fault = fault or RemoteProtocolError(problem)
    return Head(lines[0], headers, fault, end + 4)


def read_content_length(headers: Headers, limit: int) -> int | None:
    """Return Content-Length, at most ``limit``, or ``None`` where there is none.

    :raises RemoteProtocolError: when there is more than one, or it is no number.
    """
    fields = headers.get_fields("Content-Length")
    if not fields:
        return None
    if len(fields) > 1:
        raise RemoteProtocolError("more than one Content-Length")
    try:
        return grammar.parse_number(fields[0], limit)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"Content-Length: {error}") from error


def _parse_request(head: Head, data: bytes) -> Request:
    try:
        method, uri = _parse_request_line(head.start_line)
        _check(head)
        if head.headers.derive("CSeq", _cseq).method != method:
            raise RemoteProtocolError("CSeq counts another method")
        return Request(method, uri, head.headers, _cut_body(head, data))
    except RemoteProtocolError as error:
        raise MessageError(str(error), status=error.status, partial=partial_request(head)) from error


def _parse_response(head: Head, data: bytes) -> Response:
    match = _STATUS_LINE.fullmatch(head.start_line)
    if match is None:
        raise MessageError("malformed status line")
    try:
        _check(head)
        return Response(int(match[1]), match[2] or "", head.headers, _cut_body(head, data))
    except RemoteProtocolError as error:
        raise MessageError(str(error), status=error.status) from error


def partial_request(head: Head) -> Request | None:
    """Return what a reply to this request needs, or ``None`` when it may have none."""
    method, _, rest = head.start_line.partition(" ")
    if not grammar.is_token(method) or method == "ACK":
        return None
    try:
        head.headers.derive("Via", _top_via)
    except RemoteProtocolError:
        return None
    target = rest.partition(" ")[0]
    try:
        uri = Uri.parse(target)
    except RemoteProtocolError:
        uri = Uri("", opaque=target)
    return Request(method, uri, head.headers)


def _parse_request_line(line: str) -> tuple[str, Uri]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        if _OTHER_VERSION.fullmatch(line.rpartition(" ")[2]):
            raise RemoteProtocolError("not SIP/2.0", status=505)
        raise RemoteProtocolError("malformed request line")
    uri = Uri.parse(match[2])
    if uri.headers:
        raise RemoteProtocolError("a Request-URI has no headers")
    return match[1], uri


def _check(head: Head) -> None:
    """Raise the first fault of the header fields, reading every value that has a typed property."""
    if head.fault is not None:
        raise head.fault
    headers = head.headers
    for name in MANDATORY:
        if name not in headers:
            raise RemoteProtocolError(f"no {name}")
    for name in SINGLE:
        if len(headers.get_fields(name)) > 1:
            raise RemoteProtocolError(f"more than one {name}")
    for name, read in _TYPED:
        try:
            headers.derive(name, read)
        except RemoteProtocolError as error:
            raise RemoteProtocolError(f"{name}: {error}") from error
    branch = headers.derive("Via", _top_via).branch
    if branch is not None and branch.lower() == MAGIC_COOKIE.lower():
        raise RemoteProtocolError("a branch of nothing but its magic cookie")


def _cut_body(head: Head, data: bytes) -> bytes:
    body = data[head.body_at :]
    length = read_content_length(head.headers, len(body) + 1)
    if length is None:
        return body
    if length > len(body):
        raise RemoteProtocolError("Content-Length exceeds the body")
    return body[:length]


def _mandatory(headers: Headers, name: str) -> str:
    value = headers.get(name)
    if value is None:
        raise RemoteProtocolError(f"no {name}")
    return value


def _top_via(headers: Headers) -> Via:
    values = grammar.split_list(_mandatory(headers, "Via"))
    return Via.parse(values[0] if values else "")


def _vias(headers: Headers) -> list[Via]:
    return [headers.derive("Via", _top_via), *map(Via.parse, headers.get_all("Via")[1:])]


def _from(headers: Headers) -> NameAddr:
    return NameAddr.parse(_mandatory(headers, "From"))


def _to(headers: Headers) -> NameAddr:
    return NameAddr.parse(_mandatory(headers, "To"))


def _call_id(headers: Headers) -> str:
    value = _mandatory(headers, "Call-ID")
    if not _CALL_ID.fullmatch(value):
        raise RemoteProtocolError("malformed Call-ID")
    return value


def _cseq(headers: Headers) -> CSeq:
    return CSeq.parse(_mandatory(headers, "CSeq"))


def _contacts(headers: Headers) -> list[NameAddr]:
    values = headers.get_all("Contact")
    return [] if values == ["*"] else [NameAddr.parse(value) for value in values]


def _record_route(headers: Headers) -> list[NameAddr]:
    return [NameAddr.parse(value) for value in headers.get_all("Record-Route")]


def _max_forwards(headers: Headers) -> int | None:
    value = headers.get("Max-Forwards")
    return None if value is None else grammar.parse_number(value, MAX_FORWARDS_MAX)


def _tokens(headers: Headers, name: str) -> list[str]:
    return [value for value in headers.get_all(name) if value]


_TYPED: tuple[tuple[str, Callable[[Headers], object]], ...] = (
    ("Via", _vias),
    ("From", _from),
    ("To", _to),
    ("Call-ID", _call_id),
    ("CSeq", _cseq),
    ("Contact", _contacts),
    ("Record-Route", _record_route),
    ("Max-Forwards", _max_forwards),
)
