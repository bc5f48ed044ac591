"""The audio formats of the Realtime API, as sizes and silences; what they sound like is ``audio.linear``'s business.

A call's audio is in one of them from its first agreement to its end: G.711 where the caller speaks G.711, so that it
passes through untouched, else linear samples, wide enough for a wideband codec.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A mono format: the codec it is, its name on the wire, samples a second, bytes a sample, one sample of silence."""

    codec: str
    """As an SDP spells it; ``PCM`` is no codec of a telephone's."""
    type: str
    rate: int
    sample_bytes: int
    silence: bytes

    @property
    def bytes_per_ms(self) -> int:
        """Bytes of one millisecond: 8 for G.711, 48 for PCM."""
        return self.rate * self.sample_bytes // 1000

    def duration_ms(self, size: int) -> int:
        """Whole milliseconds in ``size`` bytes, rounded down."""
        return size // self.bytes_per_ms

    def silence_of(self, ms: int) -> bytes:
        """So many milliseconds of nothing."""
        return _silence(self.silence, self.rate * ms // 1000)

    def to_json(self) -> dict[str, Any]:
        """The format as ``session.updated`` spells it: PCM names its rate, G.711 does not."""
        return {"type": self.type, "rate": self.rate} if self.type == "audio/pcm" else {"type": self.type}


@lru_cache(maxsize=64)
def _silence(sample: bytes, samples: int) -> bytes:
    """All calls share it: the same few lengths are asked for."""
    return sample * samples


PCMU = AudioFormat("PCMU", "audio/pcmu", 8000, 1, b"\xff")
PCMA = AudioFormat("PCMA", "audio/pcma", 8000, 1, b"\xd5")
PCM = AudioFormat("PCM", "audio/pcm", 24000, 2, b"\x00\x00")
PCM_RATES: Final = (8_000, 16_000, 24_000, 48_000)
"""Hz: those between which audio is converted here."""
FORMATS = {audio_format.type: audio_format for audio_format in (PCMU, PCMA, PCM)}


def format_of(codec: str) -> AudioFormat:
    """The format for a caller who speaks ``codec``: its own where it is G.711, else linear samples."""
    return {"PCMU": PCMU, "PCMA": PCMA}.get(codec, PCM)


def pcm_at(rate: int) -> AudioFormat:
    """Linear samples at this rate, for a server that takes nothing else."""
    return PCM if rate == PCM.rate else AudioFormat(PCM.codec, PCM.type, rate, PCM.sample_bytes, PCM.silence)
