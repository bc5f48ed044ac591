"""The input audio buffer: what the caller has said since the last commit, and the detection of speech in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from sipagent.formats import AudioFormat
from sipagent.realtime.local.wire import Json, RequestError

Detector: TypeAlias = Callable[[bytes], bool]
"""Whether one frame of :data:`FRAME_MS` is speech; it may remember earlier frames."""
DetectorFactory: TypeAlias = Callable[[AudioFormat, float], Detector]
"""Makes a detector for a format and a threshold between 0 and 1 (0.5 is usual); one for each session."""

FRAME_MS = 20
MIN_COMMIT_MS = 100
"""The API refuses to commit less."""
MAX_BUFFER_MS = 10 * 60 * 1000
"""A turn of ten minutes; of a longer one the beginning is forgotten."""
KEPT_SILENCE_MS = 2000
"""With detection on, what precedes speech is kept no longer than this, or than the padding asked for."""
EAGERNESS_SILENCE_MS = {"low": 1200, "auto": 800, "medium": 800, "high": 500}
"""Semantic detection judges meaning; here it is a silence whose length the eagerness sets."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak; ``audio_start_ms`` counts from the first audio of the session, padding included."""

    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller has been silent for long enough; ``audio_end_ms`` counts likewise."""

    audio_end_ms: int


class InputBuffer:
    """Bytes of one format; the position of a byte counts from the first one of the session."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self._audio = bytearray()
        self._start = 0
        self._detector: Detector | None = None
        self._scanned = 0
        self._speech_start: int | None = None
        self._last_speech_end = 0
        self._silence_ms = 0
        self._padding_ms = 0

    @property
    def duration_ms(self) -> int:
        """Milliseconds of audio that are not committed."""
        return self.format.duration_ms(len(self._audio))

    @property
    def position_ms(self) -> int:
        """Milliseconds of audio since the session began."""
        return self.format.duration_ms(self._end)

    @property
    def is_speech(self) -> bool:
        """Whether detection is on and the caller is speaking."""
        return self._speech_start is not None

    def configure(
        self, audio_format: AudioFormat, detection: Json | None, make_detector: DetectorFactory | None
    ) -> None:
        """Take up a new configuration; audio of another format is dropped, for its bytes mean nothing now."""
        if audio_format != self.format:
            self._start = self.position_ms * audio_format.bytes_per_ms
            self._audio.clear()
            self.format = audio_format
        self._speech_start = None
        self._detector = None
        if detection is None or make_detector is None:
            return
        self._detector = make_detector(audio_format, detection.get("threshold", 0.5))
        self._scanned = self._end
        self._padding_ms = detection.get("prefix_padding_ms", 300)
        eagerness = EAGERNESS_SILENCE_MS.get(detection.get("eagerness", "auto"), 800)
        self._silence_ms = detection.get("silence_duration_ms", eagerness)

    def append(self, audio: bytes) -> Iterator[SpeechStarted | SpeechStopped]:
        """Add audio; gives what was detected in it, one at a time, so that a stop can be committed before the rest."""
        self._audio += audio
        if self._detector is not None:
            yield from self._scan(self._detector)
            if not self.is_speech:
                self._forget(max(self._padding_ms, KEPT_SILENCE_MS))
        self._forget(MAX_BUFFER_MS)

    def commit(self) -> bytes:
        """Take all there is out of the buffer.

        :raises RequestError: less than :data:`MIN_COMMIT_MS`.
        """
        if self.duration_ms < MIN_COMMIT_MS:
            held = len(self._audio) / self.format.bytes_per_ms
            message = (
                "Error committing input audio buffer: buffer too small. "
                f"Expected at least {MIN_COMMIT_MS}ms of audio, but buffer only has {held:.2f}ms of audio."
            )
            raise RequestError(message, code="input_audio_buffer_commit_empty")
        turn = bytes(self._audio)
        self.clear()
        return turn

    def commit_speech(self) -> bytes:
        """Take the turn that :class:`SpeechStopped` ended, with padding and closing silence; what follows stays."""
        begin = (self._scanned if self._speech_start is None else max(self._speech_start, self._start)) - self._start
        end = self._scanned - self._start
        turn = bytes(self._audio[begin:end])
        del self._audio[:end]
        self._start = self._scanned
        self._speech_start = None
        return turn

    def clear(self) -> None:
        """Forget the audio, and that the caller was speaking."""
        self._start = self._end
        self._scanned = max(self._scanned, self._start)
        self._audio.clear()
        self._speech_start = None

    @property
    def _end(self) -> int:
        return self._start + len(self._audio)

    def _scan(self, detector: Detector) -> Iterator[SpeechStarted | SpeechStopped]:
        size = FRAME_MS * self.format.bytes_per_ms
        while self._scanned + size <= self._end:
            offset = self._scanned - self._start
            is_speech = detector(bytes(self._audio[offset : offset + size]))
            self._scanned += size
            if is_speech:
                self._last_speech_end = self._scanned
            if is_speech and self._speech_start is None:
                padded = self._scanned - size - self._padding_ms * self.format.bytes_per_ms
                self._speech_start = max(padded, self._start)
                yield SpeechStarted(self.format.duration_ms(self._speech_start))
            elif self._speech_start is not None and self._silence_so_far_ms() >= self._silence_ms:
                yield SpeechStopped(self.format.duration_ms(self._last_speech_end))

    def _silence_so_far_ms(self) -> int:
        return self.format.duration_ms(self._scanned - self._last_speech_end)

    def _forget(self, kept_ms: int) -> None:
        excess = len(self._audio) - kept_ms * self.format.bytes_per_ms
        if excess > 0:
            excess -= excess % self.format.sample_bytes
            del self._audio[:excess]
            self._start += excess
            self._scanned = max(self._scanned, self._start)
