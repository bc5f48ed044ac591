"""Between a call's audio, in whichever format it is, and linear samples."""

import numpy as np

from sipagent.audio import g711
from sipagent.audio.g711 import Pcm
from sipagent.formats import AudioFormat


def to_linear(audio: bytes, audio_format: AudioFormat) -> Pcm:
    """Decode to int16 samples at the format's rate; half a sample at the end is left out."""
    if audio_format.sample_bytes == 1:
        return g711.decode(audio, audio_format.codec)
    whole = len(audio) // audio_format.sample_bytes
    return np.frombuffer(audio, "<i2", whole).astype(np.int16, copy=False)


def from_linear(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    """Encode int16 samples at the format's rate."""
    if audio_format.sample_bytes == 1:
        return g711.encode(pcm, audio_format.codec)
    return pcm.astype("<i2", copy=False).tobytes()
