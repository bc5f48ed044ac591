"""The offer/answer exchange of one leg (:rfc:`3264`): one audio stream and its keypad events over RTP or SRTP.

The rules, each of which some peer breaks when we do:

- An answer has the offer's media lines in the offer's order; the first audio we can do is served, the rest get port 0.
- An answer speaks in the offer's payload types, and names at least one codec of *that* offer, ours by preference.
- The version in ``o=`` goes up when, and only when, our description changes. The peer's version proves nothing.
- Hold is an attribute, ``c=0.0.0.0`` (:rfc:`2543`) or port 0; we understand all of them and say the attribute only.
- An exchange that fails leaves everything as it was.
- SRTP that is optional is offered as keys in plain RTP/AVP. Who has no SRTP ignores them, who has takes them; RTP/SAVP
  would be 488 to the former, and two streams, one of each, are two streams to many.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sdp.agreement import DIRECTIONS, Address, Direction, MediaParameters
from sipagent.sdp.crypto import Crypto, SrtpKeys, SrtpMode, make_keys, match, read_cryptos
from sipagent.sdp.description import (
    MAX_PAYLOAD_TYPE,
    Attribute,
    Connection,
    Media,
    Origin,
    SessionDescription,
    parse,
)
from sipagent.sdp.formats import (
    CODECS,
    OLDEST_CLOCK,
    PARAMETERS,
    STATIC_PAYLOAD_TYPES,
    TELEPHONE_EVENT,
    Codec,
    Format,
    event_clocks,
    formats_of,
    read_map,
)
from sipagent.sdp.remote import (
    DEFAULT_PTIME_MS,
    NOT_ACCEPTABLE,
    PLAIN_RTP,
    SECURE_RTP,
    RemoteAudio,
    direction_of,
)
from sipagent.sdp.webrtc import WebRtcTerms, describe, describe_session, meet

__all__ = [
    "DIRECTIONS",
    "Address",
    "Direction",
    "Format",
    "MediaParameters",
    "Negotiation",
    "SrtpKeys",
    "SrtpMode",
    "WebRtcTerms",
]

USUAL_PAYLOAD_TYPES: Final[Mapping[Format, int]] = {
    Format(TELEPHONE_EVENT, OLDEST_CLOCK): 101,
    Format(TELEPHONE_EVENT, 48_000): 110,
    Format("opus", 48_000): 111,
}
"""What nearly every telephone, and every browser, calls them."""
DYNAMIC_PAYLOAD_TYPES: Final = range(96, MAX_PAYLOAD_TYPE + 1)
DEFAULT_CODECS: Final[tuple[Codec, ...]] = ("PCMU", "PCMA", "G722", "opus")
"""Where the peer has G.711 it passes through untouched; wideband is for who has nothing else, or is put first."""


class Negotiation:
    """Our half of every exchange of one leg.

    Set :attr:`direction` to ``sendonly`` or ``inactive`` to put the peer on hold with the next offer or answer.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int,
        codecs: tuple[str, ...] = DEFAULT_CODECS,
        session_id: int,
        srtp: SrtpMode = "off",
        random: Random | None = None,
        fingerprint: str = "",
    ) -> None:
        """Describe media at ``address`` (our IP address, as the peer sees it) and ``port``, ``codecs`` best first.

        :param random: that of the system, for the keys of SRTP
        :param fingerprint: of our certificate, as SDP has it; without one browsers get 488
        :raises LocalProtocolError: for a codec we do not have
        """
        if not codecs or not set(codecs) <= CODECS.keys():
            raise LocalProtocolError(f"codecs are among {', '.join(CODECS)}, not {codecs}")
        self.direction: Direction = "sendrecv"
        self._codecs = codecs
        self._srtp: SrtpMode = srtp
        self._keys = make_keys(srtp, random)
        self._random = random
        self._fingerprint = fingerprint
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
            audio.prefer(self._codecs)
            agreed = audio.agree(self.direction)
            parameters = replace(agreed, srtp=self._answer_crypto(audio), webrtc=self._answer_webrtc(audio))
            security = self._secure(parameters.webrtc, [parameters.srtp.ours] if parameters.srtp else [])
            formats = _answer_formats(audio)
            ours = self._describe(audio.media.protocol, formats, security, parameters.direction, parameters)
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
        now = self._parameters
        current = Format(now.codec, now.clock_rate) if now else None
        codecs = sorted(formats_of(self._codecs), key=lambda entry: entry != current)
        events = [Format(TELEPHONE_EVENT, clock) for clock in event_clocks(codecs)]
        formats = {self._number(entry): entry for entry in (*codecs, *events)}
        cryptos = self._keys.offer(now.srtp if now else None) if self._keys else []
        protocol = self._ours.protocol if self._ours else SECURE_RTP if self._srtp == "required" else PLAIN_RTP
        security = self._secure(now.webrtc if now else None, cryptos, is_offer=True)
        self._offered = self._describe(protocol, formats, security, self.direction, now)
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
        audio = self._read(description, self._index)
        if not audio.media.port:
            raise RemoteProtocolError("the answer rejects the audio", status=NOT_ACCEPTABLE)
        agreed = audio.agree(direction_of(self._offered) or "sendrecv")
        keys = match(read_cryptos(self._offered), audio.crypto) if audio.crypto else None
        if audio.crypto and keys is None:
            raise RemoteProtocolError("the answer has a key for what was not offered", status=NOT_ACCEPTABLE)
        if self._keys and keys:
            self._keys.forget(keys)
        agreed = replace(agreed, srtp=keys, webrtc=self._answer_webrtc(audio))
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

    def _choose(self, description: SessionDescription) -> RemoteAudio:
        """Return the first audio we can do, else our own stream when the peer disables it, and offers nothing else.

        Of two streams, one with SRTP and one without, by which some ask for either, that with it is taken.
        """
        numbers = [number for number, media in enumerate(description.media) if media.port]
        heard = (self._read(description, number) for number in numbers)
        usable = sorted((audio for audio in heard if audio.codecs), key=lambda audio: audio.crypto is None)
        if usable:
            return usable[0]
        if self._index < len(description.media) and not numbers:
            return self._read(description, self._index)
        raise RemoteProtocolError("no audio that we can do", status=NOT_ACCEPTABLE)

    def _read(self, description: SessionDescription, index: int) -> RemoteAudio:
        return RemoteAudio(
            description, index, self._codecs, self._srtp, takes_webrtc=bool(self._fingerprint and self._random)
        )

    def _answer_webrtc(self, audio: RemoteAudio) -> WebRtcTerms | None:
        """Return what meets a browser, if it is one."""
        if self._random is None or audio.browser is None:
            return None
        return meet(audio.browser, self._parameters.webrtc if self._parameters else None, self._random)

    def _secure(
        self, webrtc: WebRtcTerms | None, cryptos: Iterable[Crypto], *, is_offer: bool = False
    ) -> tuple[Attribute, ...]:
        """Return what our stream says of its protection."""
        if webrtc is None:
            return tuple(line.to_attribute() for line in cryptos)
        where, port = self._connection.address, self._port
        return describe(webrtc, fingerprint=self._fingerprint, address=where, port=port, is_offer=is_offer)

    def _answer_crypto(self, audio: RemoteAudio) -> SrtpKeys | None:
        """Return the keys that answer the peer's, if it has one."""
        if self._keys is None or audio.crypto is None:
            return None
        return self._keys.answer(audio.crypto, self._parameters.srtp if self._parameters else None)

    def _learn(self, audio: RemoteAudio) -> None:
        """Remember what each number means: it keeps its meaning throughout a session (:rfc:`3264#section-8.3.2`).

        One that the peer gave another meaning than we did is the peer's: of ours nothing was sent as it yet.
        """
        learnt = {entry: number for number, entry in reversed(audio.named.items())}
        taken = set(audio.media.payload_types())
        kept = {entry: number for entry, number in self._numbers.items() if number not in taken}
        self._numbers = kept | learnt
        self._foreign_numbers |= taken - set(learnt.values())

    def _number(self, entry: Format) -> int:
        """Return its number so far, else one that has no other meaning."""
        if entry not in self._numbers:
            taken = self._foreign_numbers.union(self._numbers.values())
            usual = USUAL_PAYLOAD_TYPES.get(entry, DYNAMIC_PAYLOAD_TYPES[0])
            spare = (number for number in DYNAMIC_PAYLOAD_TYPES if number not in USUAL_PAYLOAD_TYPES.values())
            candidates = (usual, *spare, *DYNAMIC_PAYLOAD_TYPES)
            self._numbers[entry] = next((number for number in candidates if number not in taken), usual)
        return self._numbers[entry]

    def _describe(
        self,
        protocol: str,
        formats: Mapping[int, Format],
        security: Iterable[Attribute],
        direction: Direction,
        parameters: MediaParameters | None,
    ) -> Media:
        """Describe our stream; ``parameters`` are those in force, if any are."""
        attributes = [Attribute("rtpmap", str(entry.rtpmap(number))) for number, entry in formats.items()]
        attributes += [
            Attribute("fmtp", f"{number} {PARAMETERS[entry.codec]}")
            for number, entry in formats.items()
            if entry.codec in PARAMETERS
        ]
        attributes += security
        attributes.append(Attribute("ptime", str(parameters.ptime_ms if parameters else DEFAULT_PTIME_MS)))
        attributes.append(Attribute(direction))
        if parameters and parameters.rtcp_mux:
            attributes.append(Attribute("rtcp-mux"))
        return Media("audio", self._port, protocol, tuple(map(str, formats)), attributes=tuple(attributes))

    def _publish(self, ours: Media, others: Iterable[Media]) -> bytes:
        """Write ``others`` down as rejected, with our stream in its place; a new version where this differs."""
        media = [_reject(other) for other in others] or [ours]
        media[self._index] = ours
        if tuple(media) != self._media:
            self._media = tuple(media)
            self._version += 1
        where = self._connection
        origin = Origin("-", str(self._session_id), str(self._version), where.address, where.address_type)
        about = describe_session(self._parameters.webrtc if self._parameters else None)
        return bytes(SessionDescription(origin, "sipagent", where, about, media=self._media))


def _answer_formats(audio: RemoteAudio) -> dict[int, Format]:
    """Return what an answer names: the codecs and the keypad events that go with the first of them."""
    event = audio.event
    return audio.codecs | ({} if event is None else {event: Format(TELEPHONE_EVENT, audio.events[event])})


def _reject(media: Media) -> Media:
    return Media(media.kind, 0, media.protocol, media.formats)


def _hear_as_offered(agreed: MediaParameters, offered: Media) -> MediaParameters:
    """Add our offer's numbers to what we hear: the peer is to send with those (:rfc:`3264#section-5.1`)."""
    meanings = {number: read_map(entry) for number, entry in offered.rtpmaps().items()}
    formats = {number: entry for number, entry in meanings.items() if entry is not None}
    answered = set(agreed.receive_formats.values())
    codecs = {number: entry for number, entry in formats.items() if entry in answered}
    clocks = {entry.clock_rate for entry in answered}
    events = {n: entry.clock_rate for n, entry in formats.items() if entry.codec == TELEPHONE_EVENT}
    heard = {**agreed.receive_telephone_events, **{n: clock for n, clock in events.items() if clock in clocks}}
    if agreed.telephone_event_payload_type is None:
        heard = {}
    return replace(
        agreed,
        receive_formats={**agreed.receive_formats, **codecs},
        receive_telephone_events={number: clock for number, clock in heard.items() if number not in codecs},
    )
