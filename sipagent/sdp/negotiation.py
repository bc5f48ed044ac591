"""The offer/answer exchange of one leg (:rfc:`3264`): one audio stream of G.711 and keypad events over RTP/AVP.

The rules, each of which some peer breaks when we do:

- An answer has the offer's media lines in the offer's order; the first audio we can do is served, the rest get port 0.
- An answer speaks in the offer's payload types, and names at least one codec of *that* offer.
- The version in ``o=`` goes up when, and only when, our description changes. The peer's version proves nothing.
- Hold is an attribute, ``c=0.0.0.0`` (:rfc:`2543`) or port 0; we understand all of them and say the attribute only.
- An exchange that fails leaves everything as it was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal, TypeAlias

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sdp.description import (
    MAX_PAYLOAD_TYPE,
    Attribute,
    Connection,
    Media,
    Origin,
    RtpMap,
    SessionDescription,
    parse,
    parse_number,
)

Address: TypeAlias = tuple[str, int]
Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

STATIC_PAYLOAD_TYPES: Final = {"PCMU": 0, "PCMA": 8}
"""The codecs we know, and the payload types they have without a map (:rfc:`3551#section-6`)."""
TELEPHONE_EVENT: Final = "telephone-event"
TELEPHONE_EVENT_PAYLOAD_TYPES: Final = (101, *range(96, MAX_PAYLOAD_TYPE + 1))
"""What we offer keypad events at: nearly every telephone says 101; else the first dynamic type that is free."""
CLOCK_RATE: Final = 8_000
PLAIN_RTP: Final = "RTP/AVP"
MAX_PORT: Final = 65_535

DEFAULT_PTIME_MS: Final = 20
MIN_PTIME_MS: Final = 10
MAX_PTIME_MS: Final = 60
"""Shorter packets are mostly headers, longer ones are all delay."""
PTIME_STEP_MS: Final = 10

NOT_ACCEPTABLE: Final = 488
"""Not Acceptable Here (:rfc:`3261#section-21.4.26`)."""

DIRECTIONS: Final[Mapping[Direction, tuple[bool, bool]]] = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
"""Whether the one who says it sends, and whether he receives (:rfc:`3264#section-5.1`)."""
UNHEARING: Final[Mapping[Direction, Direction]] = {
    "sendrecv": "sendonly",
    "sendonly": "sendonly",
    "recvonly": "inactive",
    "inactive": "inactive",
}
"""What is left of a direction when its speaker has no address to receive at."""


@dataclass(frozen=True, slots=True)
class MediaParameters:
    """What an exchange agreed on, seen from our side."""

    codec: str
    """What we send, ``PCMU`` or ``PCMA``."""
    payload_type: int
    """What we send it as."""
    receive_payload_types: Mapping[int, str]
    """The codec of each payload type the peer may send."""
    remote: Address | None
    """Where the peer wants its media: an IP address and a port.

    ``None`` when the peer is on hold by address or port.
    """
    remote_rtcp: Address | None
    rtcp_mux: bool
    """RTP and RTCP share a port (:rfc:`5761`)."""
    telephone_event_payload_type: int | None
    """What to send keypad events as (:rfc:`4733`); ``None`` when the peer takes none."""
    receive_telephone_event: frozenset[int]
    ptime_ms: int
    """How much audio the peer would like in a packet: 10 to 60, in tens. We send 20, and our description says so."""
    direction: Direction
    """Ours: ``sendonly`` means that we send."""

    @property
    def sends(self) -> bool:
        """Whether our audio may go out."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the peer's audio is expected."""
        return self.direction in ("sendrecv", "recvonly")


class Negotiation:
    """Our half of every exchange of one leg.

    Set :attr:`direction` to ``sendonly`` or ``inactive`` to put the peer on hold with the next offer or answer.
    """

    def __init__(self, *, address: str, port: int, codecs: tuple[str, ...] = ("PCMU", "PCMA"), session_id: int) -> None:
        """Describe media at ``address`` (our IP address, as the peer sees it) and ``port``, ``codecs`` best first.

        :raises LocalProtocolError: for a codec we do not have
        """
        if not codecs or not set(codecs) <= STATIC_PAYLOAD_TYPES.keys():
            raise LocalProtocolError(f"codecs are among {', '.join(STATIC_PAYLOAD_TYPES)}, not {codecs}")
        self.direction: Direction = "sendrecv"
        self._codecs = codecs
        self._port = port
        self._connection = Connection(address, "IP6" if ":" in address else "IP4")
        self._session_id = session_id
        self._version = 0
        self._media: tuple[Media, ...] = ()
        self._index = 0
        self._numbers = dict(STATIC_PAYLOAD_TYPES)
        self._foreign_numbers: set[int] = set()
        self._offered: Media | None = None
        self._ours: Media | None = None
        self._parameters: MediaParameters | None = None

    @property
    def parameters(self) -> MediaParameters | None:
        """What the last finished exchange agreed on."""
        return self._parameters

    def answer(self, offer: bytes) -> tuple[bytes, MediaParameters]:
        """Answer an offer (:rfc:`3264#section-6`); return our description and what it agrees on.

        :raises RemoteProtocolError: 400 when the offer cannot be read, 488 when it has nothing for us
        """
        description = parse(offer)
        audio = self._choose(description)
        if audio.media.port:
            parameters = audio.agree(self.direction)
            ours = self._describe(audio.maps, parameters.direction, parameters)
            self._learn(audio)
        elif self._parameters:
            parameters = replace(self._parameters, remote=None, remote_rtcp=None, direction="inactive")
            ours = _reject(audio.media)
        else:
            raise RemoteProtocolError("the audio offered is disabled", status=NOT_ACCEPTABLE)
        self._index, self._offered, self._ours, self._parameters = audio.index, None, ours, parameters
        return self._publish(ours, description.media), parameters

    def offer(self) -> bytes:
        """Offer all we can do, in the stream we have, if any (:rfc:`3264#section-8`), with the codec in use first."""
        current = self._parameters.codec if self._parameters else None
        codecs = sorted(self._codecs, key=lambda codec: codec != current)
        numbers = [self._numbers[codec] for codec in codecs]
        names = (*codecs, TELEPHONE_EVENT)
        maps = [RtpMap(n, name, CLOCK_RATE) for n, name in zip((*numbers, self._event_number()), names, strict=True)]
        self._offered = self._describe(maps, self.direction, self._parameters)
        return self._publish(self._offered, self._media)

    def receive_answer(self, answer: bytes) -> MediaParameters:
        """Take the peer's answer to our last offer; of several (early media, a forked call) the last one holds.

        :raises RemoteProtocolError: 400 when it cannot be read or does not fit the offer, 488 when it rejects the audio
        :raises LocalProtocolError: when the last exchange began with the peer's offer
        """
        if self._offered is None:
            raise LocalProtocolError("an answer, but no offer of ours")
        description = parse(answer)
        if len(description.media) != len(self._media):
            raise RemoteProtocolError("the answer has not the media lines of the offer")
        audio = _RemoteAudio(description, self._index, self._codecs)
        if not audio.media.port:
            raise RemoteProtocolError("the answer rejects the audio", status=NOT_ACCEPTABLE)
        agreed = audio.agree(_direction_of(self._offered) or "sendrecv")
        self._ours, self._parameters = self._offered, _hear_as_offered(agreed, self._offered)
        return self._parameters

    def receive_refresh(self, answer: bytes) -> MediaParameters:
        """Take the peer's answer to our last description, which was offered again as it was (:rfc:`4028#section-7.4`).

        :raises RemoteProtocolError: as :meth:`receive_answer`
        :raises LocalProtocolError: when we never described anything
        """
        if self._ours is None or self._parameters is None:
            raise LocalProtocolError("nothing was agreed on yet")
        if not self._ours.port:
            return self._parameters
        next_offer, self._offered = self._offered, self._ours
        try:
            return self.receive_answer(answer)
        finally:
            self._offered = next_offer

    def _choose(self, description: SessionDescription) -> "_RemoteAudio":
        """Return the first audio we can do, else our own stream when the peer disables it, and offers nothing else."""
        for index, media in enumerate(description.media):
            if media.port and _is_plain_audio(media):
                audio = _RemoteAudio(description, index, self._codecs)
                if audio.maps:
                    return audio
        if self._index < len(description.media) and not any(media.port for media in description.media):
            return _RemoteAudio(description, self._index, self._codecs)
        raise RemoteProtocolError("no audio that we can do", status=NOT_ACCEPTABLE)

    def _learn(self, audio: "_RemoteAudio") -> None:
        """Remember what each number means: it keeps its meaning throughout a session (:rfc:`3264#section-8.3.2`)."""
        for entry in reversed(audio.maps):
            self._numbers[entry.encoding] = entry.payload_type
        self._foreign_numbers |= set(audio.media.payload_types()) - set(self._numbers.values())

    def _event_number(self) -> int:
        """Return the number of keypad events so far, else one that has no other meaning."""
        taken = self._foreign_numbers.union(self._numbers[codec] for codec in self._codecs)
        free = (number for number in TELEPHONE_EVENT_PAYLOAD_TYPES if number not in taken)
        return self._numbers.get(TELEPHONE_EVENT) or next(free, TELEPHONE_EVENT_PAYLOAD_TYPES[0])

    def _describe(self, maps: list[RtpMap], direction: Direction, parameters: MediaParameters | None) -> Media:
        """Describe our stream; ``parameters`` are those in force, if any are."""
        attributes = [Attribute("rtpmap", str(entry)) for entry in maps]
        attributes += [Attribute("fmtp", f"{m.payload_type} 0-15") for m in maps if m.encoding == TELEPHONE_EVENT]
        attributes.append(Attribute("ptime", str(DEFAULT_PTIME_MS)))
        attributes.append(Attribute(direction))
        if parameters and parameters.rtcp_mux:
            attributes.append(Attribute("rtcp-mux"))
        formats = tuple(str(entry.payload_type) for entry in maps)
        return Media("audio", self._port, PLAIN_RTP, formats, attributes=tuple(attributes))

    def _publish(self, ours: Media, others: Iterable[Media]) -> bytes:
        """Write ``others`` down as rejected, with our stream in its place; a new version where this differs."""
        media = [_reject(other) for other in others] or [ours]
        media[self._index] = ours
        if tuple(media) != self._media:
            self._media = tuple(media)
            self._version += 1
        where = self._connection
        origin = Origin("-", str(self._session_id), str(self._version), where.address, where.address_type)
        return bytes(SessionDescription(origin, "sipagent", where, media=self._media))


class _RemoteAudio:
    """One of the peer's media, read together with what it inherits from the session."""

    def __init__(self, session: SessionDescription, index: int, codecs: Iterable[str]) -> None:
        self.session = session
        self.index = index
        self.media = session.media[index]
        self.rtcp_mux = self.media.get("rtcp-mux") is not None
        self.maps = self._read_maps(codecs) if _is_plain_audio(self.media) else []
        """What of it we can do, in its order, each encoding spelled our way; empty without a codec."""

    def _read_maps(self, codecs: Iterable[str]) -> list[RtpMap]:
        """Read the formats; a map outweighs the static meaning of a number, a malformed map does not."""
        known = {codec: RtpMap(STATIC_PAYLOAD_TYPES[codec], codec, CLOCK_RATE) for codec in codecs}
        meanings = {entry.payload_type: entry for entry in known.values()} | self.media.rtpmaps()
        names = {name.upper(): name for name in (*known, TELEPHONE_EVENT)}
        maps = [
            RtpMap(number, names[meaning.encoding.upper()], CLOCK_RATE)
            for number in self.media.payload_types()
            if (meaning := meanings.get(number))
            and meaning.encoding.upper() in names
            and (meaning.clock_rate, meaning.channels) == (CLOCK_RATE, 1)
        ]
        return maps if any(entry.encoding in known for entry in maps) else []

    def agree(self, ours: Direction) -> MediaParameters:
        """Return what comes of this stream when our own wish is ``ours``."""
        codecs = [entry for entry in self.maps if entry.encoding != TELEPHONE_EVENT]
        if not codecs:
            raise RemoteProtocolError("no codec in common", status=NOT_ACCEPTABLE)
        events = [entry.payload_type for entry in self.maps if entry.encoding == TELEPHONE_EVENT]
        remote = self.address()
        if remote is None and not self._is_nowhere():
            raise RemoteProtocolError("media at a name or a group, which we do not look up", status=NOT_ACCEPTABLE)
        return MediaParameters(
            codec=codecs[0].encoding,
            payload_type=codecs[0].payload_type,
            receive_payload_types={entry.payload_type: entry.encoding for entry in codecs},
            remote=remote,
            remote_rtcp=self.rtcp_address(remote),
            rtcp_mux=self.rtcp_mux,
            telephone_event_payload_type=events[0] if events else None,
            receive_telephone_event=frozenset(events),
            ptime_ms=self.ptime_ms(),
            direction=_meet(self.direction(), ours),
        )

    def direction(self) -> Direction:
        """Return the peer's direction; one who is nowhere (:rfc:`3264#section-8.4`) does not receive."""
        stated = _direction_of(self.media) or _direction_of(self.session) or "sendrecv"
        return UNHEARING[stated] if self._is_nowhere() else stated

    def address(self) -> Address | None:
        """Return where to send RTP; see :attr:`MediaParameters.remote`."""
        host = _unicast(self._connection().address)
        return (host, self.media.port) if host else None

    def rtcp_address(self, remote: Address | None) -> Address | None:
        """Return where to send RTCP: as ``a=rtcp`` says (:rfc:`3605`), else one port above RTP."""
        if remote is None or self.rtcp_mux:
            return remote
        port_text, *where = (self.media.get("rtcp") or "").split() or [""]
        host = _unicast(where[2]) if len(where) == 3 else remote[0]
        port = parse_number(port_text, MAX_PORT) or remote[1] + 1
        return (host, port) if host and port <= MAX_PORT else None

    def ptime_ms(self) -> int:
        """Return the packet length the peer asks for, within reason."""
        asked = self._milliseconds("ptime") or DEFAULT_PTIME_MS
        wanted = min(asked, self._milliseconds("maxptime") or asked, MAX_PTIME_MS)
        return max(wanted // PTIME_STEP_MS * PTIME_STEP_MS, MIN_PTIME_MS)

    def _milliseconds(self, name: str) -> int | None:
        text = self.media.get(name) or self.session.get(name) or ""
        return parse_number(text.strip(), 100_000)

    def _connection(self) -> Connection:
        connection = self.media.connection or self.session.connection
        if connection is None:
            raise RemoteProtocolError("the audio has no c= line")
        return connection

    def _is_nowhere(self) -> bool:
        address = _parse_address(self._connection().address)
        return address is not None and address.is_unspecified


def _is_plain_audio(media: Media) -> bool:
    return media.kind == "audio" and media.protocol.upper() == PLAIN_RTP


def _reject(media: Media) -> Media:
    return Media(media.kind, 0, media.protocol, media.formats)


def _direction_of(section: Media | SessionDescription) -> Direction | None:
    return next((direction for direction in DIRECTIONS if section.get(direction) is not None), None)


def _meet(theirs: Direction, ours: Direction) -> Direction:
    """Return our direction where each side sends only what the other receives (:rfc:`3264#section-6.1`)."""
    they_send, they_receive = DIRECTIONS[theirs]
    we_send, we_receive = DIRECTIONS[ours]
    met = (we_send and they_receive, we_receive and they_send)
    return next(direction for direction, flags in DIRECTIONS.items() if flags == met)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _unicast(text: str) -> str | None:
    """Return the IP address ``text`` in its usual spelling, ``None`` for a name, a group, a zone or nowhere."""
    address = _parse_address(text)
    if address is None or address.is_multicast or address.is_unspecified or "%" in text:
        return None
    return str(address)


def _hear_as_offered(agreed: MediaParameters, offered: Media) -> MediaParameters:
    """Add our offer's numbers to what we hear: the peer is to send with those (:rfc:`3264#section-5.1`)."""
    maps = offered.rtpmaps().values()
    answered = set(agreed.receive_payload_types.values())
    codecs = {entry.payload_type: entry.encoding for entry in maps if entry.encoding in answered}
    events = {entry.payload_type for entry in maps if entry.encoding == TELEPHONE_EVENT}
    if agreed.telephone_event_payload_type is None:
        events = set()
    return replace(
        agreed,
        receive_payload_types={**agreed.receive_payload_types, **codecs},
        receive_telephone_event=(agreed.receive_telephone_event | events) - codecs.keys(),
    )
