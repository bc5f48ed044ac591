"""Whose turn it is to speak, told from one boolean a frame; it knows nothing of audio.

A turn starts when enough speech came close enough together, and stops when none came for a while. Over the agent it
starts in two steps: at the first speech it is tentative, for the agent to pause; once there is more of it than a cough
or an "uh-huh" has, it is a turn. If silence comes first it is withdrawn. The stop is a deadline, not a count of frames,
so a phone that sends nothing while its user is silent ends its turns too.
"""

from dataclasses import dataclass
from enum import Enum
from math import inf


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """All in milliseconds."""

    start_ms: int = 40
    """Speech that starts a turn while the agent is silent: long enough to pass over a click."""
    pause_ms: int = 20
    """Speech that makes the agent pause: a frame, for the detector has heard two loud ones by then."""
    confirm_ms: int = 600
    """Speech that interrupts it: an "okay" is over by then, and nearly every cough."""
    resume_ms: int = 240
    """A pause after which what was not confirmed was no turn: longer than those between syllables."""
    forget_ms: int = 120
    """A pause that parts two bits of speech too short to be a turn."""
    end_silence_ms: int = 500
    """A pause that ends a turn."""
    max_turn_ms: int = 60_000
    """A turn that lasts longer is ended, and no other begins before a pause: the model gets to say something."""


class TurnChange(Enum):
    """What a frame, or a pause, meant."""

    TENTATIVE = "tentative"
    """Somebody may want to interrupt the agent."""
    STARTED = "started"
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"
    """It was too little to be a turn."""


class Turn:
    """The caller's floor.

    :meth:`receive_speech` may start a turn, :meth:`handle_timer` may stop it.

    :param first_silence_ms: after how much silence the turn is due to end; whoever wants more says so by :meth:`wait`.
    """

    def __init__(self, settings: TurnSettings, *, first_silence_ms: int | None = None) -> None:
        self._settings = settings
        self._silence_s = (first_silence_ms or settings.end_silence_ms) / 1000
        self._speech_ms = 0.0
        self.speech_at = 0.0
        """When something was said last."""
        self._awaits_pause = False
        self.due_at = inf
        """When the open turn ends, or a tentative one is withdrawn, if nothing more is said."""
        self.is_speaking = False
        """Whether a turn is open."""
        self.is_tentative = False
        """Whether one may be about to begin, over the agent."""
        self.onset_at = 0.0
        """When the first frame of the present speech arrived."""
        self.withdrawn_ms = 0
        """How much speech there was in what was withdrawn last, its pauses not counted."""

    @property
    def duration_ms(self) -> int:
        """From the first frame of speech to the last."""
        return round((self.speech_at - self.onset_at) * 1000)

    def receive_speech(self, ms: float, *, over_agent: bool, now: float) -> TurnChange | None:
        """Take a frame with speech, of ``ms`` milliseconds; of others there is nothing to tell.

        :param over_agent: whether there is an agent to be interrupted.
        """
        if self.is_speaking:
            self._go_on(now)
            return None
        if self.is_tentative:
            return self._confirm(ms, now)
        if self._awaits_pause and now - self.speech_at < self._settings.end_silence_ms / 1000:
            self.speech_at = now
            return None
        self._awaits_pause = False
        return self._weigh(ms, over_agent, now)

    def take(self) -> None:
        """Make a turn of what is, or was just now, tentative: there was little of it, but it counts."""
        self._start(self.speech_at)

    def silent_ms(self, *, now: float) -> float:
        """How long it is that anything was said."""
        return (now - self.speech_at) * 1000

    def wait(self, silence_ms: int) -> None:
        """Let the turn end only after so much silence, if nothing more is said before."""
        if self.is_speaking:
            self.due_at = min(self.speech_at + silence_ms / 1000, self._limit_at)

    def go_on(self, *, now: float) -> None:
        """Take note that there was speech just now, in a turn that is open, however it was told."""
        if self.is_speaking:
            self._go_on(now)

    def change(self, settings: TurnSettings, *, first_silence_ms: int | None) -> None:
        """From now on, other settings hold."""
        self._settings = settings
        self._silence_s = (first_silence_ms or settings.end_silence_ms) / 1000

    def stop(self) -> None:
        """Forget the turn: the caller's part of it was taken otherwise (held, ended)."""
        self.is_speaking = self.is_tentative = False
        self.due_at = inf
        self._speech_ms = 0.0

    def handle_timer(self, *, now: float) -> TurnChange | None:
        """End the turn when it is due."""
        if now < self.due_at:
            return None
        was_tentative = self.is_tentative
        self._awaits_pause = now >= self._limit_at and not was_tentative
        self.withdrawn_ms = round(self._speech_ms)
        self.stop()
        return TurnChange.WITHDRAWN if was_tentative else TurnChange.STOPPED

    def _start(self, now: float) -> TurnChange:
        self.is_speaking, self.is_tentative = True, False
        self._speech_ms = 0.0
        self._go_on(now)
        return TurnChange.STARTED

    def _confirm(self, ms: float, now: float) -> TurnChange | None:
        self._speech_ms += ms
        self.speech_at = now
        if self._speech_ms >= self._settings.confirm_ms:
            return self._start(now)
        self.due_at = now + self._settings.resume_ms / 1000
        return None

    def _go_on(self, now: float) -> None:
        self.speech_at = now
        self.due_at = min(now + self._silence_s, self._limit_at)

    @property
    def _limit_at(self) -> float:
        """When the turn ends, whatever is said."""
        return self.onset_at + self._settings.max_turn_ms / 1000

    def _weigh(self, ms: float, over_agent: bool, now: float) -> TurnChange | None:
        settings = self._settings
        if not self._speech_ms or now - self.speech_at > settings.forget_ms / 1000:
            self._speech_ms = 0.0
            self.onset_at = now
        self._speech_ms += ms
        self.speech_at = now
        if self._speech_ms >= (settings.confirm_ms if over_agent else settings.start_ms):
            return self._start(now)
        if not over_agent or self._speech_ms < settings.pause_ms:
            return None
        self.is_tentative = True
        self.due_at = now + settings.resume_ms / 1000
        return TurnChange.TENTATIVE
