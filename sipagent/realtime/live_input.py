"""The caller's audio on its way to GPT-Live: one unbroken stream at the pace of time, silence included.

The model knows no turns, so its clock is the audio. Where nothing comes from the caller it is given silence; what a
network held back and delivers at once is let through as far as :data:`MAX_LEAD_MS`, for every millisecond more is one
that all later answers would come late.
"""

from math import inf

from sipagent.formats import AudioFormat

TICK_S = 0.1
"""How often it is seen whether anything came; a telephone that sends does so every 60 ms or more often."""

MAX_TICK_S = 1.0
"""No more silence is made up for at once: a process that was stopped did not hear any."""

MAX_LEAD_MS = 300
"""How far the stream may be ahead of time: a burst after a stall of the usual length passes whole."""


class PacedInput:
    """Bytes in as they come, bytes out as the model may have them."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._bytes_per_ms = audio_format.bytes_per_ms
        self._lead_ms = 0.0
        self._ticked_at = 0.0
        self._is_fresh = False
        self._filled = 0
        """Bytes of silence made up for, which the caller's telephone may still tell of."""
        self.due_at = inf
        self.dropped_ms = 0
        """What came too late to be heard."""

    def start(self, *, now: float) -> None:
        """Let time run."""
        self._ticked_at = now
        self.due_at = now + TICK_S

    def stop(self) -> None:
        """Let it stand still."""
        self.due_at = inf

    def pass_on(self, audio: bytes) -> bytes:
        """Return what of it is to go to the model now."""
        if self._filled:
            audio = self._without_filled(audio)
        self._is_fresh = True
        ms = len(audio) / self._bytes_per_ms
        room_ms = MAX_LEAD_MS + TICK_S * 1000 - self._lead_ms
        if ms > room_ms:
            kept = max(0, round(room_ms)) * self._bytes_per_ms
            self.dropped_ms += (len(audio) - kept) // self._bytes_per_ms
            audio, ms = audio[:kept], kept / self._bytes_per_ms
        self._lead_ms += ms
        return audio

    def handle_timer(self, *, now: float) -> bytes:
        """Return the silence that is due, if nothing came."""
        if now < self.due_at:
            return b""
        passed_ms = min(now - self._ticked_at, MAX_TICK_S) * 1000
        self._ticked_at = now
        self.due_at = now + TICK_S
        was_fresh, self._is_fresh = self._is_fresh, False
        behind_ms = passed_ms - self._lead_ms
        if was_fresh or behind_ms < 1:
            self._lead_ms = max(0.0, -behind_ms)
            return b""
        missing_ms = round(behind_ms)
        self._lead_ms = missing_ms - behind_ms
        silence = self._format.silence_of(missing_ms)
        self._filled += len(silence)
        return silence

    def _without_filled(self, audio: bytes) -> bytes:
        """Leave out silence that the model has had; the first sound says that no more of it will be told."""
        if audio.strip(self._format.silence):
            self._filled = 0
            return audio
        known = min(self._filled, len(audio))
        self._filled -= known
        return audio[known:]
