"""What becomes of a call that is up and has no model any more: an apology, then somebody else, a message, or the end.

A step at a time: each is begun by :meth:`Farewell.go_on`, which says whether there was one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sipagent.audio.clip import RATES, Clip
from sipagent.audio.tones import beep
from sipagent.call import events
from sipagent.call.conversation import Conversation
from sipagent.call.transfer import Transfer
from sipagent.sip.uri import Uri
from sipagent.timers import Timers

TIMER: Final = "farewell"

HANG_UP, MESSAGE = "hang_up", "message"
"""What may come after the apology, besides a destination of transfer."""

TAIL_S: Final = 0.3
"""Behind a sound of ours, for the caller's jitter buffer to play it."""

BEEP: Final = Clip({rate: beep(1_000.0, 400.0, level_dbfs=-20.0, rate=rate) for rate in RATES})
"""After it the caller speaks, as answering machines have it."""

TONE: Final = Clip({rate: beep(425.0, 900.0, level_dbfs=-20.0, rate=rate) for rate in RATES})
"""It says that something is wrong, in any language."""

SILENCE_S: Final = 8.0
"""A caller who says nothing for so long has said it all."""


@dataclass(frozen=True, slots=True)
class FarewellSettings:
    """What is done when there is no model."""

    apology: Clip | None = None
    """What the caller hears first; ``None`` for nothing."""
    then: str = HANG_UP
    """``hang_up``, ``message``, or where the call is handed on to."""
    message_s: float = 60.0
    """How long a message may be."""
    refer_to: Uri | None = None
    """Where callers are sent who have not been answered; ``None``: they are refused."""


@dataclass(slots=True)
class Farewell:
    """One call's.

    """

    settings: FarewellSettings
    transfer: Transfer
    emit: Callable[[events.Output], None]
    timers: Timers[str]
    wants_record: bool = False
    """Whether the caller is to be recorded from now on."""
    _steps: list[str] = field(default_factory=list)
    _has_begun: bool = False
    _message_at: float | None = None

    def go_on(self, conversation: Conversation, *, now: float) -> bool:
        """Take the next step if the last one is over; say whether anything is still going on."""
        if not self._has_begun:
            self._has_begun = True
            self._steps = ["apology", *([] if self.settings.then == HANG_UP else [self.settings.then])]
        if TIMER in self.timers:
            return True
        if self._message_at is not None and self._is_speaking(conversation, now):
            return True
        while self._steps:
            if self._begin(self._steps.pop(0), conversation, now):
                return True
        return False

    def _begin(self, step: str, conversation: Conversation, now: float) -> bool:
        match step:
            case "apology":
                if self.settings.apology is None:
                    return False
                self.emit(events.Apologized())
                self._play(self.settings.apology, conversation, now)
            case farewell if farewell == MESSAGE:
                self._play(BEEP, conversation, now)
                self.wants_record = True
                self._message_at = now
            case destination:
                return self.transfer.hand_on(destination, conversation, now=now)
        return True

    def _play(self, clip: Clip, conversation: Conversation, now: float) -> None:
        conversation.outlet.play(clip)
        self.timers.set(TIMER, now + conversation.queued_ms / 1000 + clip.duration_s + TAIL_S)

    def _is_speaking(self, conversation: Conversation, now: float) -> bool:
        """Whether the message goes on; once it is over, it is told."""
        begun_at = self._message_at or now
        silent_at = max(conversation.heard_at, begun_at) + SILENCE_S
        ends_at = begun_at + self.settings.message_s
        if now < min(silent_at, ends_at):
            self.timers.set(TIMER, min(silent_at, ends_at))
            return True
        self._message_at = None
        self.emit(events.MessageRecorded(now - begun_at))
        return False
