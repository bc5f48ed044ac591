"""One of the peer's media, read together with what it inherits from the session."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from sipagent.errors import RemoteProtocolError
from sipagent.sdp.agreement import DIRECTIONS, Address, Direction, MediaParameters
from sipagent.sdp.crypto import SrtpMode, read_cryptos
from sipagent.sdp.description import Connection, Media, SessionDescription, parse_number
from sipagent.sdp.formats import (
    COMFORT_NOISE,
    OLDEST_CLOCK,
    STATIC_PAYLOAD_TYPES,
    TELEPHONE_EVENT,
    Format,
    fit_ptime,
    formats_of,
    rank,
    read_map,
)
from sipagent.sdp.webrtc import PROFILES as WEBRTC_PROFILES
from sipagent.sdp.webrtc import read_peer

PLAIN_RTP: Final = "RTP/AVP"
SECURE_RTP: Final = "RTP/SAVP"
PLAIN_PROFILES: Final = frozenset({PLAIN_RTP, "RTP/AVPF"})
"""Feedback (:rfc:`4585`) may be asked for; it may be left out as well."""
SECURE_PROFILES: Final = frozenset({SECURE_RTP, "RTP/SAVPF"})
MAX_PORT: Final = 65_535
HOSTS_MAX: Final = 256
"""Of which it is remembered what they are: calls come from few hosts."""
BY_ICE: Final[Address] = ("0.0.0.0", 9)
"""Where a browser is until it has passed a check; it writes the same itself."""
DEFAULT_PTIME_MS: Final = 20

NOT_ACCEPTABLE: Final = 488
"""Not Acceptable Here (:rfc:`3261#section-21.4.26`)."""

UNHEARING: Final[Mapping[Direction, Direction]] = {
    "sendrecv": "sendonly",
    "sendonly": "sendonly",
    "recvonly": "inactive",
    "inactive": "inactive",
}
"""What is left of a direction when its speaker has no address to receive at."""


class RemoteAudio:
    """One of the peer's audio streams: what of it we can do, and what comes of it."""

    def __init__(
        self,
        session: SessionDescription,
        index: int,
        codecs: Iterable[str],
        srtp: SrtpMode = "off",
        *,
        takes_webrtc: bool = False,
    ) -> None:
        self.session = session
        self.index = index
        self.media = session.media[index]
        self.rtcp_mux = self.media.get("rtcp-mux") is not None
        self.browser = read_peer(session, self.media) if takes_webrtc and self.is_webrtc else None
        """What a browser says of the way to it."""
        self.crypto = next(read_cryptos(self.media), None) if srtp != "off" else None
        """The peer's key in the first line of ``a=crypto`` that we can do; telephones whose SRTP is optional say one in
        plain RTP/AVP, which those without SRTP ignore."""
        wanted = formats_of(codecs) if self._is_usable(srtp) else []
        meanings = self._read_formats()
        self.codecs = {number: entry for number, entry in meanings.items() if entry in wanted}
        """By payload type, in the peer's order; empty where there is nothing for us."""
        self.named = {n: entry for n, entry in meanings.items() if entry in wanted or entry.codec == TELEPHONE_EVENT}
        """These and the keypad events, whatever of them is chosen."""
        self.events = {n: entry.clock_rate for n, entry in meanings.items() if entry.codec == TELEPHONE_EVENT}
        """The clock rate of each payload type of keypad events."""
        self.comfort_noise = frozenset(n for n, entry in meanings.items() if entry.codec == COMFORT_NOISE)

    @property
    def is_secure(self) -> bool:
        """Whether the profile is one of SRTP."""
        return self.media.protocol.upper() in SECURE_PROFILES

    @property
    def is_webrtc(self) -> bool:
        """Whether the profile is a browser's."""
        return self.media.protocol.upper() in WEBRTC_PROFILES

    def _is_usable(self, srtp: SrtpMode) -> bool:
        if not is_audio(self.media):
            return False
        if self.is_webrtc:
            return self.browser is not None
        return self.crypto is not None or (not self.is_secure and srtp != "required")

    def _read_formats(self) -> dict[int, Format]:
        """Read the formats; a map outweighs the static meaning of a number, a malformed map does not."""
        static: dict[int, Format | None] = {number: entry for entry, number in STATIC_PAYLOAD_TYPES.items()}
        meanings = static | {number: read_map(entry) for number, entry in self.media.rtpmaps().items()}
        found = ((number, meanings.get(number)) for number in self.media.payload_types())
        return {number: meaning for number, meaning in found if meaning is not None}

    def prefer(self, codecs: Iterable[str]) -> None:
        """Put our order in place of the peer's, and leave out what has not the clock of the first.

        The answerer may choose (:rfc:`3264#section-6.1`). A stream that changes its clock in the middle upsets the
        jitter and the reports of many (:rfc:`7160#section-3.1`).
        """
        places = rank(codecs)
        ordered = sorted(self.codecs.items(), key=lambda item: (places[item[1].codec], -item[1].clock_rate))
        self.codecs = {number: entry for number, entry in ordered if entry.clock_rate == ordered[0][1].clock_rate}

    @property
    def event(self) -> int | None:
        """What to send keypad events as: at the codec's clock, else at the one that old telephones call theirs."""
        codec = next(iter(self.codecs.values()), None)
        clocks = (codec.clock_rate, OLDEST_CLOCK) if codec else ()
        found = (number for clock in clocks for number, its_clock in self.events.items() if its_clock == clock)
        return next(found, None)

    def agree(self, ours: Direction) -> MediaParameters:
        """Return what comes of this stream when our own wish is ``ours``."""
        if not self.codecs:
            raise RemoteProtocolError("no codec or no encryption in common", status=NOT_ACCEPTABLE)
        remote = self.address()
        if remote is None and not self._is_nowhere():
            raise RemoteProtocolError("media at a name or a group, which we do not look up", status=NOT_ACCEPTABLE)
        payload_type, codec = next(iter(self.codecs.items()))
        event = self.event
        clocks = (codec.clock_rate, OLDEST_CLOCK)
        return MediaParameters(
            codec=codec.codec,
            clock_rate=codec.clock_rate,
            payload_type=payload_type,
            receive_formats=self.codecs,
            remote=remote,
            remote_rtcp=self.rtcp_address(remote),
            rtcp_mux=self.rtcp_mux,
            telephone_event_payload_type=event,
            telephone_event_clock_rate=codec.clock_rate if event is None else self.events[event],
            receive_telephone_events={number: clock for number, clock in self.events.items() if clock in clocks},
            comfort_noise=self._noise(),
            ptime_ms=fit_ptime(self._wanted_ms(), codec),
            direction=_meet(self.direction(), ours),
        )

    def direction(self) -> Direction:
        """Return the peer's direction; one who is nowhere (:rfc:`3264#section-8.4`) does not receive."""
        stated = direction_of(self.media) or direction_of(self.session) or "sendrecv"
        return UNHEARING[stated] if self._is_nowhere() else stated

    def address(self) -> Address | None:
        """Return where to send RTP; see :attr:`MediaParameters.remote`."""
        if self.is_webrtc:
            return BY_ICE
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

    def _noise(self) -> frozenset[int]:
        """Return the numbers of comfort noise: those listed, and the static one unless it means something else."""
        static = STATIC_PAYLOAD_TYPES[Format(COMFORT_NOISE, OLDEST_CLOCK)]
        return self.comfort_noise | ({static} - self.media.rtpmaps().keys())

    def _wanted_ms(self) -> int:
        """Return the packet length the peer asks for."""
        asked = self._milliseconds("ptime") or DEFAULT_PTIME_MS
        return min(asked, self._milliseconds("maxptime") or asked)

    def _milliseconds(self, name: str) -> int | None:
        text = self.media.get(name) or self.session.get(name) or ""
        return parse_number(text.strip(), 100_000)

    def _connection(self) -> Connection:
        connection = self.media.connection or self.session.connection
        if connection is None:
            raise RemoteProtocolError("the audio has no c= line")
        return connection

    def _is_nowhere(self) -> bool:
        if self.is_webrtc:  # while it gathers candidates a browser writes 0.0.0.0
            return False
        address = _parse_address(self._connection().address)
        return address is not None and address.is_unspecified


def is_audio(media: Media) -> bool:
    """Whether it is audio over RTP or SRTP."""
    return media.kind == "audio" and media.protocol.upper() in PLAIN_PROFILES | SECURE_PROFILES | WEBRTC_PROFILES


def direction_of(section: Media | SessionDescription) -> Direction | None:
    """Return the direction that is stated there."""
    return next((direction for direction in DIRECTIONS if section.get(direction) is not None), None)


def _meet(theirs: Direction, ours: Direction) -> Direction:
    """Return our direction where each side sends only what the other receives (:rfc:`3264#section-6.1`)."""
    they_send, they_receive = DIRECTIONS[theirs]
    we_send, we_receive = DIRECTIONS[ours]
    met = (we_send and they_receive, we_receive and they_send)
    return next(direction for direction, flags in DIRECTIONS.items() if flags == met)


@lru_cache(HOSTS_MAX)
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
