"""Sounds of ours beside the agent's voice: an announcement, something under its thinking, the tone of a recording.

None of them is the model's audio, so none enters the ledger of what was heard: they are added to a frame on its last
steps to the wire. Without any of them a frame passes untouched.
"""

from dataclasses import dataclass
from typing import Final

from sipagent.audio.clip import Clip, Player
from sipagent.audio.linear import from_linear, to_linear
from sipagent.audio.mix import mix
from sipagent.audio.tones import beep
from sipagent.formats import AudioFormat

RISE_MS: Final = 500
"""How slowly the sound of thinking comes: nobody should notice that it begins."""

FALL_MS: Final = 20
"""How fast it goes: it is gone by the end of the answer's first frame."""

TONE_HZ, TONE_MS, TONE_DBFS = 1_400.0, 200.0, -26.0
"""What telephone companies know as the tone that a call is recorded (47 CFR 64.501, repealed, and still in use)."""

TONE_EVERY_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class AmbienceSettings:
    """What is heard beside the agent; by default nothing."""

    announcement: Clip | None = None
    """Played before anything else; nobody can interrupt it."""
    thinking: Clip | None = None
    """Played again and again while the caller waits for an answer; as loud as it is to be heard."""
    after_ms: int = 800
    """How long the wait is before it begins: most answers come sooner."""


class Ambience:
    """What one call hears of it."""

    def __init__(self, settings: AmbienceSettings, *, audio_format: AudioFormat) -> None:
        self._settings = settings
        self._format = audio_format
        rate = audio_format.rate
        self._announcement = Player(settings.announcement.at(rate), rate=rate) if settings.announcement else None
        self._thinking: Player | None = None
        self._waited_ms = 0

    @property
    def is_announcing(self) -> bool:
        """Whether the announcement is not over: what the agent has to say waits."""
        return self._announcement is not None and not self._announcement.is_over

    def announce(self, ms: int) -> bytes | None:
        """Return the next frame of the announcement."""
        frame = self._announcement.next_frame(self._samples(ms)) if self._announcement else None
        return None if frame is None else from_linear(frame, self._format)

    def add(self, frame: bytes | None, ms: int, *, is_thinking: bool) -> bytes | None:
        """Return what is heard with the agent's frame, or with its silence.

        :param is_thinking: whether the caller waits for the agent, who says nothing yet.
        """
        if frame is not None or not is_thinking:
            self._waited_ms = 0
            if self._thinking is None:
                return frame
            self._thinking.stop()
        else:
            self._waited_ms += ms
            if self._thinking is None and self._waited_ms > self._settings.after_ms:
                self._thinking = self._think()
        return self._under(frame, ms)

    def _think(self) -> Player | None:
        clip, rate = self._settings.thinking, self._format.rate
        return Player(clip.at(rate), loops=True, rate=rate, rise_ms=RISE_MS, fall_ms=FALL_MS) if clip else None

    def _under(self, frame: bytes | None, ms: int) -> bytes | None:
        sound = self._thinking.next_frame(self._samples(ms)) if self._thinking else None
        if self._thinking is not None and self._thinking.is_over:
            self._thinking = None
        if sound is None:
            return frame
        return from_linear(sound if frame is None else mix((to_linear(frame, self._format), sound)), self._format)

    def _samples(self, ms: int) -> int:
        return self._format.rate * ms // 1_000


class RecordingTone:
    """A beep every 15 s that tells the caller of the recording; the first comes at once."""

    def __init__(self, *, audio_format: AudioFormat, began_at: float) -> None:
        self._format = audio_format
        self._next_at = began_at
        self._player: Player | None = None

    def add(self, frame: bytes, *, now: float) -> bytes:
        """Return the frame with its part of the beep, if there is one."""
        if now >= self._next_at:
            self._next_at = now + TONE_EVERY_S
            rate = self._format.rate
            self._player = Player(beep(TONE_HZ, TONE_MS, level_dbfs=TONE_DBFS, rate=rate), rate=rate)
        if self._player is None:
            return frame
        tone = self._player.next_frame(len(frame) // self._format.sample_bytes)
        if tone is None:
            self._player = None
            return frame
        return from_linear(mix((to_linear(frame, self._format), tone)), self._format)
