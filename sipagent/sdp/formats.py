"""What a payload type may stand for, of what we can do: codecs, keypad events and comfort noise, each at its clock.

Wideband costs resampling, so nothing here prefers it; the order is the user's. Only the two laws of G.711 are equals.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from sipagent.sdp.description import RtpMap

Codec: TypeAlias = Literal["PCMU", "PCMA", "G722", "opus", "L16"]


class Format(NamedTuple):
    """A codec, or ``telephone-event`` or ``CN``, in our spelling, and its RTP clock."""

    codec: str
    clock_rate: int
    """Hz."""

    def rtpmap(self, payload_type: int) -> RtpMap:
        """Return the map that gives it a number."""
        return RtpMap(payload_type, self.codec, self.clock_rate, CHANNELS.get(self.codec, 1))


TELEPHONE_EVENT: Final = "telephone-event"
COMFORT_NOISE: Final = "CN"
OLDEST_CLOCK: Final = 8_000
"""Of G.711, of static payload types, and of keypad events at peers that know of one clock only."""

CODECS: Final[Mapping[str, tuple[Format, ...]]] = {
    "PCMU": (Format("PCMU", 8_000),),
    "PCMA": (Format("PCMA", 8_000),),
    "G722": (Format("G722", 8_000),),
    "opus": (Format("opus", 48_000),),
    "L16": (Format("L16", 16_000), Format("L16", 8_000)),
}
"""The codecs we know, and the clocks they are offered at, best first. G.722 samples at 16 kHz and says 8
(:rfc:`3551#section-4.5.2`); opus says 48 whatever it samples at (:rfc:`7587#section-4.1`). The static numbers of L16
are of 44.1 kHz, which no telephone has."""
STATIC_PAYLOAD_TYPES: Final[Mapping[Format, int]] = {
    Format("PCMU", 8_000): 0,
    Format("PCMA", 8_000): 8,
    Format("G722", 8_000): 9,
    Format(COMFORT_NOISE, 8_000): 13,
}
"""The payload types that need no map (:rfc:`3551#section-6`)."""
CHANNELS: Final[Mapping[str, int]] = {"opus": 2}
"""What the map says, not what is sent: opus is always mapped with two (:rfc:`7587#section-7`)."""
PARAMETERS: Final[Mapping[str, str]] = {TELEPHONE_EVENT: "0-15"}
"""What we are ready to receive: the sixteen keys. Of opus we want what is its default: mono, and no copies for error
correction, for its decoder is not asked for them."""

EQUALS: Final = frozenset({"PCMU", "PCMA"})
"""The two laws cost us the same and sound the same, but a gateway would have to translate: the peer's order decides."""
NAMES: Final[Mapping[str, str]] = {name.upper(): name for name in (*CODECS, TELEPHONE_EVENT, COMFORT_NOISE)}

MAX_PTIME_MS: Final = 60
MIN_PTIME_MS: Final = 10
"""Longer packets are all delay, shorter ones mostly headers."""
PTIME_STEP_MS: Final = 10
LONGEST_MS: Final[Mapping[Format, int]] = {Format("L16", 16_000): 40}
"""32 bytes a millisecond: with 50 of them a packet would not fit into an Ethernet frame."""
OPUS_FRAMES_MS: Final = (60, 40, 20, 10)
"""Of whole tens, what one frame can hold (:rfc:`6716#section-2.1.4`)."""


def read_map(entry: RtpMap) -> Format | None:
    """Return what of ours a map means, ``None`` for what we don't know."""
    name = NAMES.get(entry.encoding.upper())
    if name is None or entry.channels not in (1, CHANNELS.get(name)):  # some write opus/48000, and mean the same
        return None
    found = Format(name, entry.clock_rate)
    return found if name not in CODECS or found in CODECS[name] else None


def formats_of(codecs: Iterable[str]) -> list[Format]:
    """Return the formats of these codecs, best first."""
    return [entry for codec in codecs for entry in CODECS[codec]]


def event_clocks(formats: Iterable[Format]) -> list[int]:
    """Return the clocks that keypad events are wanted at: those of the codecs (:rfc:`4733#section-2.1`)."""
    return list(dict.fromkeys(entry.clock_rate for entry in formats))


def rank(codecs: Iterable[str]) -> dict[str, int]:
    """Return the place of each codec; the two laws share one where nothing stands between them."""
    places: dict[str, int] = {}
    last = ""
    for number, codec in enumerate(codecs):
        places[codec] = places[last] if {last, codec} == EQUALS else number
        last = codec
    return places


def fit_ptime(wanted_ms: int, codec: Format) -> int:
    """Return the packet length nearest below ``wanted_ms`` that ``codec`` can have."""
    limited = min(wanted_ms, LONGEST_MS.get(codec, MAX_PTIME_MS))
    length = max(limited // PTIME_STEP_MS * PTIME_STEP_MS, MIN_PTIME_MS)
    return next(frame for frame in OPUS_FRAMES_MS if frame <= length) if codec.codec == "opus" else length
