"""A session description (:rfc:`8866`): frozen values; ``parse`` and ``bytes`` are inverses.

What decides a call is typed (``o= s= c= m= a=``); every other line is kept as it came. Reading forgives what is common
on the wire: bare LF, a last line without its end, blank lines, a missing ``s=`` or ``t=``, lines out of order. Text is
UTF-8 where it can be; other bytes pass through unharmed. All work is linear in the bytes, and the bytes are bounded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sipagent.errors import LocalProtocolError, RemoteProtocolError

MAX_BYTES = 65_536
"""One description; as long as a UDP datagram may be."""
MAX_LINE_BYTES = 8_192
"""One line; ICE and SDES attributes of real phones stay below 1 KiB."""
MAX_LINES = 2_048
"""All lines; an offer of a large WebRTC conference has about half of that, a telephone's thirty."""
MAX_MEDIA = 64
"""Media lines; a telephone offers one to three, a WebRTC conference a few dozen."""
MAX_PAYLOAD_TYPE = 127
"""The RTP header has seven bits for it (:rfc:`3550#section-5.1`)."""

SECRETS = ("crypto", "ice-pwd")
"""Attributes whose values are never shown but on the wire."""

BEFORE_CONNECTION = "iuep"
"""The optional lines whose place is between ``s=`` and ``c=`` (:rfc:`8866#section-5`); other lines follow ``c=``."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that nobody here reads: its type letter and its value."""

    letter: str
    value: str


@dataclass(frozen=True, slots=True)
class Origin:
    """``o=``: who described the session, and which version this is (:rfc:`8866#section-5.2`).

    The numbers stay text: peers send more digits than any integer type of theirs holds.
    """

    username: str
    session_id: str
    version: str
    address: str
    address_type: str = "IP4"
    network_type: str = "IN"

    def __str__(self) -> str:
        where = f"{self.network_type} {self.address_type} {self.address}"
        return f"{self.username} {self.session_id} {self.version} {where}"


@dataclass(frozen=True, slots=True)
class Connection:
    """``c=``: the address media is to be sent to (:rfc:`8866#section-5.7`)."""

    address: str
    """As written, so with the ``/ttl`` of a multicast address."""
    address_type: str = "IP4"
    network_type: str = "IN"

    def __str__(self) -> str:
        return f"{self.network_type} {self.address_type} {self.address}"


@dataclass(frozen=True, slots=True)
class Attribute:
    """``a=name`` or ``a=name:value`` (:rfc:`8866#section-5.13`)."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"

    def __repr__(self) -> str:
        value = "<secret>" if self.name in SECRETS else self.value
        return f"Attribute({self.name!r}, {value!r})"


@dataclass(frozen=True, slots=True)
class RtpMap:
    """What a payload type stands for (:rfc:`8866#section-6.6`)."""

    payload_type: int
    encoding: str
    clock_rate: int
    """Hz."""
    channels: int = 1

    def __str__(self) -> str:
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.payload_type} {self.encoding}/{self.clock_rate}{channels}"


@dataclass(frozen=True, slots=True)
class Media:
    """One ``m=`` line and the lines that belong to it (:rfc:`8866#section-5.14`)."""

    kind: str
    """``audio``, ``video``, ``image``..."""
    port: int
    """0 means that the stream is rejected or disabled."""
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    others: tuple[Line, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the first value of attribute ``name``, empty for a flag, ``None`` where there is no such attribute."""
        return next(_values(self.attributes, name), None)

    def get_all(self, name: str) -> list[str]:
        """Return all values of attribute ``name``."""
        return list(_values(self.attributes, name))

    def rtpmaps(self) -> dict[int, RtpMap]:
        """Return what each mapped payload type stands for; a malformed map is no map."""
        maps = map(_parse_rtpmap, _values(self.attributes, "rtpmap"))
        return {entry.payload_type: entry for entry in maps if entry}

    def payload_types(self) -> list[int]:
        """Return the formats that are RTP payload types, in the order of preference, each once."""
        numbers = (parse_number(text, MAX_PAYLOAD_TYPE) for text in self.formats)
        return list(dict.fromkeys(number for number in numbers if number is not None))

    def lines(self) -> Iterator[tuple[str, object]]:
        """Yield type letter and value of each line, in the order of the grammar."""
        port = f"{self.port}/{self.port_count}" if self.port_count > 1 else str(self.port)
        yield "m", " ".join((self.kind, port, self.protocol, *self.formats))
        yield from _body_lines(self.connection, self.attributes, self.others)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()
    others: tuple[Line, ...] = (Line("t", "0 0"),)

    def get(self, name: str) -> str | None:
        """Return the first value of session attribute ``name``, as :meth:`Media.get` does."""
        return next(_values(self.attributes, name), None)

    def __bytes__(self) -> bytes:
        """Write it down.

        :raises LocalProtocolError: where a value holds CR, LF or NUL
        """
        lines = [f"{letter}={value}" for letter, value in self._lines()]
        text = "".join(lines)
        if "\r" in text or "\n" in text or "\0" in text:
            raise LocalProtocolError("a line of a session description holds CR, LF or NUL")
        return "\r\n".join([*lines, ""]).encode("utf-8", "surrogateescape")

    def _lines(self) -> Iterator[tuple[str, object]]:
        yield "v", 0
        yield "o", self.origin
        yield "s", self.name
        yield from _body_lines(self.connection, self.attributes, self.others)
        for media in self.media:
            yield from media.lines()


def parse(data: bytes) -> SessionDescription:
    """Read a description.

    :raises RemoteProtocolError: 400, when it is none, or goes beyond a limit
    """
    lines = _read_lines(data)
    if next(lines, None) != Line("v", "0"):
        raise RemoteProtocolError("a session description begins with v=0")
    session = _Section()
    sections: list[_Section] = []
    for line in lines:
        if line.letter == "m":
            if len(sections) == MAX_MEDIA:
                raise RemoteProtocolError(f"more than {MAX_MEDIA} media lines")
            sections.append(_Section(line.value))
        else:
            (sections[-1] if sections else session).add(line)
    return session.to_description(tuple(section.to_media() for section in sections))


def parse_number(text: str, maximum: int) -> int | None:
    """Return the decimal number ``text``, ``None`` when it is none or above ``maximum``."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(maximum))):
        return None
    number = int(text)
    return number if number <= maximum else None


@dataclass(slots=True)
class _Section:
    """The lines read so far of the session (``media_line`` is empty) or of one medium."""

    media_line: str = ""
    connection: Connection | None = None
    attributes: list[Attribute] = field(default_factory=list)
    before_connection: list[Line] = field(default_factory=list)
    after_connection: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        if line.letter == "a":
            self.attributes.append(_parse_attribute(line.value))
        elif line.letter == "c" and self.connection is None:
            self.connection = _parse_connection(line.value)
        elif line.letter in BEFORE_CONNECTION:
            self.before_connection.append(line)
        else:
            self.after_connection.append(line)

    @property
    def others(self) -> tuple[Line, ...]:
        return (*self.before_connection, *self.after_connection)

    def to_media(self) -> Media:
        fields = self.media_line.split()
        if len(fields) < 3:
            raise RemoteProtocolError("m= has a medium, a port and a protocol at least")
        kind, ports, protocol, *formats = fields
        port_text, _, count_text = ports.partition("/")
        port, count = parse_number(port_text, 65_535), parse_number(count_text or "1", 65_535)
        if port is None or not count:
            raise RemoteProtocolError("m= has a bad port")
        return Media(kind, port, protocol, tuple(formats), count, self.connection, tuple(self.attributes), self.others)

    def to_description(self, media: tuple[Media, ...]) -> SessionDescription:
        origin, name = _parse_origin(self._take("o", "")), self._take("s", "-")
        return SessionDescription(origin, name, self.connection, tuple(self.attributes), media, self.others)

    def _take(self, letter: str, default: str) -> str:
        """Remove the only line of this letter, and return its value."""
        found = [line for line in self.after_connection if line.letter == letter]
        if len(found) > 1:
            raise RemoteProtocolError(f"more than one {letter}= line")
        self.after_connection = [line for line in self.after_connection if line.letter != letter]
        return found[0].value if found else default


def _read_lines(data: bytes) -> Iterator[Line]:
    if len(data) > MAX_BYTES:
        raise RemoteProtocolError(f"a session description of more than {MAX_BYTES} bytes")
    lines = data.split(b"\n")
    if len(lines) > MAX_LINES:
        raise RemoteProtocolError(f"a session description of more than {MAX_LINES} lines")
    for raw in filter(None, (line.removesuffix(b"\r") for line in lines)):
        if len(raw) > MAX_LINE_BYTES:
            raise RemoteProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes")
        text = raw.decode("utf-8", "surrogateescape")
        if text[1:2] != "=" or not (text[0].isascii() and text[0].isalpha()) or "\r" in text or "\0" in text:
            raise RemoteProtocolError("a line of a session description is <letter>=<value>")
        yield Line(text[0], text[2:])


def _parse_attribute(value: str) -> Attribute:
    name, colon, rest = value.partition(":")
    return Attribute(name.strip(), rest if colon else None)


def _parse_connection(value: str) -> Connection:
    fields = value.split()
    if len(fields) != 3:
        raise RemoteProtocolError("c= has a network type, an address type and an address")
    return Connection(fields[2], fields[1], fields[0])


def _parse_origin(value: str) -> Origin:
    fields = value.rsplit(maxsplit=5)  # from the right: some phones put a name with spaces first
    if len(fields) != 6:
        raise RemoteProtocolError("o= has six fields")
    username, session_id, version, network_type, address_type, address = fields
    return Origin(username, session_id, version, address, address_type, network_type)


def _parse_rtpmap(value: str) -> RtpMap | None:
    payload_text, _, mapping = value.strip().partition(" ")
    encoding, *numbers = mapping.strip().split("/")
    payload_type = parse_number(payload_text, MAX_PAYLOAD_TYPE)
    clock_rate, channels = (parse_number(text, 1_000_000) for text in (*numbers, "1", "1")[:2])
    if payload_type is None or not encoding or not numbers or not clock_rate or not channels:
        return None
    return RtpMap(payload_type, encoding, clock_rate, channels)


def _values(attributes: Iterable[Attribute], name: str) -> Iterator[str]:
    return (attribute.value or "" for attribute in attributes if attribute.name == name)


def _body_lines(
    connection: Connection | None, attributes: Iterable[Attribute], others: Iterable[Line]
) -> Iterator[tuple[str, object]]:
    """Yield the lines that a session and a medium have in common, in the order of the grammar."""
    others = list(others)
    yield from ((line.letter, line.value) for line in others if line.letter in BEFORE_CONNECTION)
    if connection:
        yield "c", connection
    yield from ((line.letter, line.value) for line in others if line.letter not in BEFORE_CONNECTION)
    yield from (("a", attribute) for attribute in attributes)
