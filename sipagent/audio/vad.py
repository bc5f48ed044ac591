"""Voice activity by level: does this frame hold speech, as far as loudness can tell?

The cheap detector on the path of every packet. It hears G.711 without decoding it: a table turns each byte into the
square root of its magnitude, on a scale of 0 to 255, and the mean of those over 20 ms is the *root level* of a slice;
for linear samples it is computed.
(The logarithm would count the pulses of a vowel for little, the power does not fit into eight bits.) The rules:

- A slice is loud when it is above the gate, and above the noise floor by the rise. Two loud ones of the last three are
  speech. How long a pause may be is not decided here.
- The floor follows a quieter line down at once, but not for a slice of digital silence: a lost packet says nothing
  about the noise on a line. Only silence that lasts is how the line sounds now.
- It goes up to the level of a second that was steady, which noise, hum and tones are and talk is not. Otherwise it
  creeps towards the quietest moment of that second, too slowly for a long speech to become its own noise.
- A call begins with the floor of a noisy line: noise below it never counts, normal speech counts from its first word.
"""

from dataclasses import dataclass
from math import log10
from typing import Final
from zlib import adler32

import numpy as np

from sipagent.audio.g711 import ALAW_TO_PCM, ULAW_TO_PCM, Pcm
from sipagent.formats import AudioFormat
from sipagent.recent import remember

ROOT_OF_FULL_SCALE: Final = 255.0
NOISE_FACTOR_DB: Final = 3.4
"""By so much the root level of noise is below its RMS level. Added, noise of -40 dBFS reads -40, and a sine -38."""
SILENT_DBFS: Final = -100.0
"""What no signal at all reads."""

SLICE_MS: Final = 20
_adler32: Final = adler32

IS_SPEECH: Final = tuple(loud.bit_count() >= 2 for loud in range(8))
"""Whether it is speech, by the last three slices as three bits."""

SILENCE_ROOT: Final = 4.0
"""Up to this root level, that of a sample one step from nothing, a slice is digital silence."""
LONGEST_LOSS: Final = 200 // SLICE_MS
"""Slices of silence that may be lost packets; more of them are a silent line."""
FLOOR_FALL_DB: Final = 8.0
"""The most the floor falls for a slice, so that half a lost packet does little harm."""
FLOOR_CREEP_DB: Final = 0.2
"""What it creeps for a span: 10 dB in 10 s at the most."""
FLOOR_MIN_DBFS: Final = -70.0
"""No telephone line is quieter; below, the floor would chase rounding."""

SPAN: Final = 10
"""Slices of which the extremes are kept together."""
SPANS: Final = 5
"""How many of those are judged: one second."""
STEADY_DB: Final = 7.0
"""A second of noise stays within this; the syllables of a second of speech spread over 15 dB and more."""


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Levels in dBFS: RMS relative to 32,768, so that a sine of full scale has -3."""

    gate_dbfs: float = -45.0
    """Nothing below is speech, however quiet the line."""
    rise_db: float = 7.0
    """How far speech stands out of the noise."""
    initial_floor_dbfs: float = -35.0
    """The noise expected before any was heard; with the rise, what may be as loud as -28 is no speech yet."""


def ratio_of(db: float) -> float:
    """Return by what the root level is multiplied when the level changes by ``db``."""
    return float(10 ** (db / 40))


def root_of(dbfs: float) -> float:
    """Return the root level of noise at ``dbfs``."""
    return ROOT_OF_FULL_SCALE * ratio_of(dbfs - NOISE_FACTOR_DB)


def dbfs_of(root: float) -> float:
    """Return the level of noise with this root level."""
    return 40 * log10(root / ROOT_OF_FULL_SCALE) + NOISE_FACTOR_DB if root > 0 else SILENT_DBFS


def level_dbfs(audio: bytes, audio_format: AudioFormat) -> float:
    """Return the level of audio of any length, as the detector would measure it."""
    return dbfs_of(_root_level(audio, ROOTS.get(audio_format.codec))) if audio else SILENT_DBFS


def _root_level(audio: bytes, roots: bytes | None) -> float:
    """Return the mean root of some audio: by a table for G.711, else of linear samples."""
    if roots is not None:
        return _sum(audio.translate(roots)) / len(audio)
    samples = np.frombuffer(audio, "<i2").astype(np.float32)
    return float(np.sqrt(np.abs(samples) / 32_768).mean()) * ROOT_OF_FULL_SCALE


def _sum(data: bytes) -> int:
    """Return the sum of bytes; of up to 256 it is one less than the lower half of their Adler-32, and quickest so."""
    return (_adler32(data) & 0xFFFF) - 1 if len(data) <= 256 else sum(data)


def _root_table(pcm: Pcm) -> bytes:
    roots = np.sqrt(np.abs(pcm.astype(np.float64)) / 32_768) * ROOT_OF_FULL_SCALE
    return np.rint(roots).astype(np.uint8).tobytes()


ROOTS: Final = {"PCMU": _root_table(ULAW_TO_PCM), "PCMA": _root_table(ALAW_TO_PCM)}
"""Tables for :meth:`bytes.translate`: the root of the magnitude of each code."""
FALL: Final = ratio_of(-FLOOR_FALL_DB)
CREEP: Final = ratio_of(FLOOR_CREEP_DB)
STEADY: Final = ratio_of(STEADY_DB)
FLOOR_MIN: Final = root_of(FLOOR_MIN_DBFS)


class EnergyVad:
    """The detector of one direction of one call."""

    def __init__(self, audio_format: AudioFormat, settings: VadSettings | None = None) -> None:
        settings = settings or VadSettings()
        self._roots = ROOTS.get(audio_format.codec)
        self._slice_bytes = SLICE_MS * audio_format.bytes_per_ms
        self._rise = ratio_of(settings.rise_db)
        self._gate_dbfs = settings.gate_dbfs
        self._gate = root_of(settings.gate_dbfs)
        self._floor = root_of(settings.initial_floor_dbfs)
        self._threshold = max(self._gate, self._floor * self._rise)
        self._rest = b""
        self._root = 0.0
        self._loud = 0
        self._silent = 0
        self._spans: list[tuple[float, float]] = []
        self._span = 0
        self._quietest = ROOT_OF_FULL_SCALE
        self._loudest = 0.0

    @property
    def level_dbfs(self) -> float:
        """The level of the last slice."""
        return dbfs_of(self._root)

    @property
    def is_loud(self) -> bool:
        """Whether the last slice stood out of the noise, of itself."""
        return bool(self._loud & 1)

    @property
    def floor_dbfs(self) -> float:
        """The level that counts as noise."""
        return dbfs_of(self._floor)

    @property
    def gate_dbfs(self) -> float:
        """The level below which nothing is speech. Raise it while the agent speaks: its echo is none."""
        return self._gate_dbfs

    @gate_dbfs.setter
    def gate_dbfs(self, dbfs: float) -> None:
        if dbfs != self._gate_dbfs:
            self._gate_dbfs = dbfs
            self._gate = root_of(dbfs)
            self._set_floor(self._floor)

    def is_speech(self, frame: bytes) -> bool:
        """Hear the next frame, of any length, and return whether there is speech at its end. Hot path.

        What does not fill a slice of 20 ms waits for the next frame.
        """
        size = self._slice_bytes
        if self._rest or len(frame) != size:
            audio = self._rest + frame
            whole = len(audio) // size * size
            self._rest = audio[whole:]
            for start in range(0, whole, size):
                self._hear(audio[start : start + size])
        else:
            self._hear(frame)
        return IS_SPEECH[self._loud]

    def _hear(self, audio: bytes) -> None:
        self._root = root = _root_level(audio, self._roots)
        self._loud = (self._loud << 1 | (root > self._threshold)) & 7
        if root <= SILENCE_ROOT:
            self._hear_silence()
            return
        self._silent = 0
        if root < self._floor:
            self._set_floor(max(root, self._floor * FALL))
        if root < self._quietest:
            self._quietest = root
        if root > self._loudest:
            self._loudest = root
        self._span += 1
        if self._span == SPAN:
            self._end_span()

    def _hear_silence(self) -> None:
        self._silent += 1
        if self._silent > LONGEST_LOSS:
            self._set_floor(max(FLOOR_MIN, self._floor * FALL))

    def _end_span(self) -> None:
        """Learn from the extremes of the last second."""
        remember(self._spans, (self._quietest, self._loudest), SPANS)
        self._span, self._quietest, self._loudest = 0, ROOT_OF_FULL_SCALE, 0.0
        if len(self._spans) < SPANS:
            return
        quietest = min(span[0] for span in self._spans)
        loudest = max(span[1] for span in self._spans)
        if loudest <= quietest * STEADY:
            self._set_floor((quietest * loudest) ** 0.5)
        elif quietest > self._floor:
            self._set_floor(min(quietest, self._floor * CREEP))

    def _set_floor(self, floor: float) -> None:
        self._floor = floor
        self._threshold = max(self._gate, floor * self._rise)
