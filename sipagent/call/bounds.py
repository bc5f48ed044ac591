"""What brings a call to its end by itself: its time, its cost, and a caller who says nothing any more.

Each is said beforehand, in a pause; then the agent says goodbye.
"""

from collections.abc import Mapping
from typing import Any

from sipagent.call import budget, silence
from sipagent.call.budget import Budget, BudgetSettings
from sipagent.call.conversation import Conversation
from sipagent.call.remarks import ENDS_IN, ENDS_SOON, Remark
from sipagent.call.silence import Silence, SilenceSettings
from sipagent.timers import Timers

MAX_CALL, WARNING, SILENCE = "max_call", "warning", "caller_silence"
"""Our timers."""


class Bounds:
    """Those of one call.

    :param warn_s: how long before ``max_call_s`` it is said; ``None`` for not at all.
    :param timers: the call's.
    """

    def __init__(
        self,
        *,
        max_call_s: float,
        warn_s: float | None,
        spending: BudgetSettings,
        silence: SilenceSettings | None,
        timers: Timers[str],
    ) -> None:
        self._max_call_s = max_call_s
        self._warn_s = warn_s
        self._budget = Budget(spending)
        self._silence_settings = silence
        self._silence: Silence | None = None
        self._timers = timers

    @property
    def spent(self) -> tuple[int, float | None]:
        """Tokens, and USD where the prices are known."""
        return self._budget.tokens, self._budget.usd

    def account(self, usage: Mapping[str, Any] | None) -> None:
        """Take what a response used."""
        self._budget.add(usage)

    def begin(self, *, now: float) -> None:
        """The call was answered."""
        self._timers.set(MAX_CALL, now + self._max_call_s)
        if self._warn_s is not None and self._warn_s < self._max_call_s:
            self._timers.set(WARNING, now + self._max_call_s - self._warn_s)
        if self._silence_settings is not None:
            self._silence = Silence(self._silence_settings, now=now)
            self._timers.set(SILENCE, now + silence.LOOK_S)

    def on_timer(self, key: str, conversation: Conversation, *, is_held: bool, now: float) -> str | None:
        """Do what is due; return why the call is to end, if it is.

        :param is_held: whether the caller put us on hold: to him we say nothing.
        """
        match key:
            case "max_call":
                return "max_duration"
            case "warning":
                conversation.remark(Remark(ENDS_IN.format(seconds=self._warn_s)), now=now)
            case "caller_silence":
                return self._mind_silence(conversation, is_held, now)
        return None

    def look(self, conversation: Conversation, *, now: float) -> str | None:
        """See what was spent; return why the call is to end, if it is."""
        step = self._budget.look()
        if step is budget.Step.WARN:
            conversation.remark(Remark(ENDS_SOON), now=now)
        return "max_cost" if step is budget.Step.END else None

    def _mind_silence(self, conversation: Conversation, is_held: bool, now: float) -> str | None:
        if self._silence is None or self._silence_settings is None:
            return None
        is_busy = is_held or not conversation.is_idle
        match self._silence.look(heard_at=conversation.heard_at, is_busy=is_busy, now=now):
            case silence.Step.ASK:
                conversation.remark(Remark(self._silence_settings.instructions), greets_first=True, now=now)
            case silence.Step.GIVE_UP:
                return "caller_silent"
        self._timers.set(SILENCE, now + silence.LOOK_S)
        return None
