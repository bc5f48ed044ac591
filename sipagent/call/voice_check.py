"""Whether the sound for which the agent paused is a voice, where there is no model to ask: by its periodicity.

It listens from the onset of such a sound to its end, and is idle otherwise. A sound that has shown no voice for
:data:`DENIED_AFTER_MS` is noise, until a voice is heard in it after all.
"""

from typing import Final

from sipagent.audio.voicing import Voicing
from sipagent.formats import AudioFormat
from sipagent.recent import remember

DENIED_AFTER_MS: Final = 260
"""Of recorded speech 95 in 100 prompts show a voice within 210 ms."""
SHORTEST_MS: Final = 50
"""What is judged of a sound that ended before; less is a click anyway."""
HANGOVER_S: Final = 0.3
"""For so long after its last loud frame a sound goes on."""
LEAD: Final = 3
"""Frames before the agent paused that belong to the sound."""


class VoiceCheck:
    """One caller's."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._voicing: Voicing | None = None
        self._recent: list[bytes] = []
        self._ends_at = 0.0

    @property
    def is_noise(self) -> bool:
        """Whether there was no voice in the present sound, so far."""
        voicing = self._voicing
        return voicing is not None and not voicing.is_voice and voicing.heard_ms >= DENIED_AFTER_MS

    @property
    def was_noise(self) -> bool:
        """The same for a sound that is over, however short it was."""
        voicing = self._voicing
        return voicing is not None and not voicing.is_voice and voicing.heard_ms >= SHORTEST_MS

    def begin(self) -> None:
        """The agent has paused for what is heard now."""
        if self._voicing is None:
            self._voicing = Voicing(self._format)
            self._voicing.hear(b"".join(self._recent))

    def hear(self, payload: bytes, *, is_speech: bool, is_loud: bool, is_open: bool, now: float) -> bool:
        """Take a frame; return whether there is speech in it, as far as is known. Hot path."""
        if is_loud:
            self._ends_at = now + HANGOVER_S
        voicing = self._voicing
        if voicing is None:
            remember(self._recent, payload, LEAD)
            return is_speech
        if is_open or now >= self._ends_at:
            self._voicing = None
            self._recent.clear()
            self._recent.append(payload)
            return is_speech
        voicing.hear(payload)
        return is_speech and not self.is_noise
