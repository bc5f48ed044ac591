"""The three audio formats of the Realtime API, as sizes and silences; their codecs live elsewhere."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A mono format: its name on the wire, samples a second, bytes a sample, and one sample of silence."""

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

    def to_json(self) -> dict[str, Any]:
        """The format as ``session.updated`` spells it: PCM names its rate, G.711 does not."""
        return {"type": self.type, "rate": self.rate} if self.type == "audio/pcm" else {"type": self.type}


PCMU = AudioFormat("audio/pcmu", 8000, 1, b"\xff")
PCMA = AudioFormat("audio/pcma", 8000, 1, b"\xd5")
PCM = AudioFormat("audio/pcm", 24000, 2, b"\x00\x00")
FORMATS = {audio_format.type: audio_format for audio_format in (PCMU, PCMA, PCM)}
