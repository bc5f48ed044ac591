"""The measure of a call's audio: G.711, one byte a sample, frames of 20 ms."""

from typing import Literal, TypeAlias

from sipagent.audio.g711 import SILENCE

Codec: TypeAlias = Literal["PCMU", "PCMA"]

BYTES_PER_MS = 8
FRAME_SAMPLES = 160
"""20 ms at 8 kHz."""


def silence(codec: Codec, samples: int = 1) -> bytes:
    """So many samples of nothing in ``PCMU`` or ``PCMA``."""
    return bytes((SILENCE[codec],)) * samples
