"""What a short sound over the agent was: noise, a sign of listening, an answer, or an interruption after all.

The agent has paused for it. Whoever speaks on for ``confirm_ms`` interrupts, and that is ``turn``'s to say; here it is
decided what becomes of less. In doubt the agent goes on at once, and the model's ear is asked for the words: a "stop"
cuts it a moment later, an "uh-huh" is taken out of the conversation.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sipagent.agent.backchannels import Backchannels
from sipagent.recent import remember

WORD_MS: Final = 100
"""No word is shorter; clicks are."""

TAIL_MS: Final = 800
"""Of an agent who has no more left to say than this, nobody wants the silence: a sound at its end is an answer."""

MAX_ASIDES: Final = 16
"""Of how many sounds the words may be outstanding."""


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """Who may interrupt the agent, and when."""

    enabled: bool = True
    """Whether the caller's voice can; a key always does."""
    guard_s: float = 0.0
    """For so long after the answer it can't: lines crackle, and echo cancellers learn."""
    backchannels: Backchannels = field(default_factory=Backchannels)
    """What a listener says who wants nothing."""


class Meaning(Enum):
    """What the sound was."""

    NOISE = "noise"
    """The agent goes on, as if nothing had been."""
    HEARD = "heard"
    """It goes on, and the model knows what was said: the caller's "hello?" before the greeting."""
    ASIDE = "aside"
    """It goes on, until the words say otherwise."""
    ANSWER = "answer"
    """It says its last word and listens to the rest."""
    INTERRUPTION = "interruption"
    """It is silent: it had begun nothing that the caller heard, or an answer comes in any case."""


class BargeIn:
    """One call's.

    :param hears_words: whether the model writes down what callers say.
    :param answers_all: whether the server answers whatever it takes for a turn, so that we had better be silent for it.
    """

    def __init__(self, settings: BargeInSettings, *, hears_words: bool, answers_all: bool = False) -> None:
        self._settings = settings
        self._answers_all = answers_all
        self._hears_words = hears_words
        self._committed: list[bool] = []
        """Of each commit that the model has not confirmed, whether it was an aside."""
        self._asides: list[str] = []
        self.guard_until = 0.0
        """When the caller may begin to interrupt."""

    def change(self, settings: BargeInSettings, *, answers_all: bool) -> None:
        """From now on, other settings hold."""
        self._settings = settings
        self._answers_all = answers_all

    def begin(self, *, now: float) -> None:
        """Take note that the call was answered."""
        self.guard_until = now + self._settings.guard_s

    def may_interrupt(self, *, now: float) -> bool:
        """Whether the caller's voice counts now, while the agent speaks."""
        return self._settings.enabled and now >= self.guard_until

    def judge(self, sound_ms: int, *, greets: bool, has_begun: bool, rest_ms: int | None) -> Meaning:
        """Say what a sound was that is over and too short for an interruption.

        :param sound_ms: how much speech there was in it.
        :param greets: whether it is the greeting that the agent is about to say.
        :param has_begun: whether the agent had begun to say something.
        :param rest_ms: how much of it is left; ``None`` where the model is still making it.
        """
        if sound_ms < WORD_MS:
            return Meaning.NOISE
        if self._answers_all:
            return Meaning.INTERRUPTION
        if not has_begun:
            return Meaning.HEARD if greets else Meaning.INTERRUPTION
        if rest_ms is not None and rest_ms <= TAIL_MS:
            return Meaning.ANSWER
        return Meaning.ASIDE if self._hears_words else Meaning.NOISE

    def note_commit(self, *, is_aside: bool) -> None:
        """Take note that the caller's audio was committed."""
        remember(self._committed, is_aside, MAX_ASIDES)

    def note_item(self, item_id: str) -> None:
        """Take note of the item that a commit became."""
        if self._committed and self._committed.pop(0):
            remember(self._asides, item_id, MAX_ASIDES)

    def take_aside(self, item_id: str) -> bool:
        """Say, once, whether this item was an aside."""
        if item_id not in self._asides:
            return False
        self._asides.remove(item_id)
        return True

    def is_backchannel(self, text: str) -> bool:
        """Whether these words want nothing of the agent."""
        return text in self._settings.backchannels
