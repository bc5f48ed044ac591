"""Whose turn it is to speak, told from one boolean a frame; it knows nothing of audio.

A turn starts when enough speech came close enough together, and stops when none came for a while. The stop is a
deadline, not a count of frames, so a phone that sends nothing while its user is silent ends its turns too.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """All in milliseconds."""

    start_ms: int = 40
    """Speech that starts a turn while the agent is silent: long enough to pass over a click."""
    barge_in_ms: int = 60
    """Speech that interrupts the agent."""
    forget_ms: int = 120
    """A pause that parts two bits of speech too short to be a turn."""
    end_silence_ms: int = 500
    """A pause that ends a turn."""
    max_turn_ms: int = 60_000
    """A turn that lasts longer is ended, and no other begins before a pause: the model gets to say something."""


class TurnChange(Enum):
    """What a frame, or a pause, meant."""

    STARTED = "started"
    STOPPED = "stopped"


class Turn:
    """The caller's floor.

    :meth:`receive_frame` may start a turn, :meth:`handle_timer` may stop it.
    """

    def __init__(self, settings: TurnSettings) -> None:
        self._settings = settings
        self._speech_ms = 0.0
        self._speech_at = 0.0
        self._awaits_pause = False
        self.due_at = inf
        """When the open turn ends if nothing more is said."""
        self.is_speaking = False
        """Whether a turn is open."""
        self.onset_at = 0.0
        """When the first frame of the present speech arrived."""

    @property
    def duration_ms(self) -> int:
        """From the first frame of speech to the last."""
        return round((self._speech_at - self.onset_at) * 1000)

    def receive_speech(self, ms: float, *, agent_speaks: bool, now: float) -> TurnChange | None:
        """Take a frame with speech, of ``ms`` milliseconds; of others there is nothing to tell."""
        if self.is_speaking:
            self._go_on(now)
            return None
        if self._awaits_pause and now - self._speech_at < self._settings.end_silence_ms / 1000:
            self._speech_at = now
            return None
        self._awaits_pause = False
        return self._weigh(ms, agent_speaks, now)

    def stop(self) -> None:
        """Forget the turn: the caller's part of it was taken otherwise (held, ended)."""
        self.is_speaking = False
        self.due_at = inf
        self._speech_ms = 0.0

    def handle_timer(self, *, now: float) -> TurnChange | None:
        """End the turn when it is due."""
        if now < self.due_at:
            return None
        self._awaits_pause = now - self._speech_at < self._settings.end_silence_ms / 1000
        self.stop()
        return TurnChange.STOPPED

    def _go_on(self, now: float) -> None:
        settings = self._settings
        self._speech_at = now
        self.due_at = min(now + settings.end_silence_ms / 1000, self.onset_at + settings.max_turn_ms / 1000)

    def _weigh(self, ms: float, agent_speaks: bool, now: float) -> TurnChange | None:
        settings = self._settings
        if not self._speech_ms or now - self._speech_at > settings.forget_ms / 1000:
            self._speech_ms = 0.0
            self.onset_at = now
        self._speech_ms += ms
        self._speech_at = now
        needed = settings.barge_in_ms if agent_speaks else settings.start_ms
        if self._speech_ms < needed:
            return None
        self.is_speaking = True
        self._speech_ms = 0.0
        self._go_on(now)
        return TurnChange.STARTED
