"""A caller who says nothing any more: he is asked whether he is still there, then wished goodbye.

Silence is when neither side speaks and nothing is awaited: no answer, no tool, no key, no end of a hold or transfer. It
is looked at once a second, so that a frame costs nothing; a word or a key of the caller's begins everything anew.
"""

from dataclasses import dataclass
from enum import Enum, auto

LOOK_S = 1.0
"""How often silence is looked at: nobody hears whether he was asked after ten seconds or after eleven."""

ASK = (
    "The caller has said nothing for a while. Ask in one short sentence whether they are still there, "
    "in the language of the conversation, and say nothing else."
)


@dataclass(frozen=True, slots=True)
class SilenceSettings:
    """When a silent caller is asked, and how often."""

    prompt_s: float = 10.0
    """Of silence before each question, and before the goodbye."""
    prompts: int = 2
    """Questions before the goodbye; 0 for none."""
    instructions: str = ASK
    """For the model, which asks in its own words."""


class Step(Enum):
    """What is done about it."""

    NOTHING = auto()
    ASK = auto()
    GIVE_UP = auto()


class Silence:
    """One call's: asked by a timer."""

    def __init__(self, settings: SilenceSettings, *, now: float) -> None:
        self._settings = settings
        self._since = now
        self._heard_at = now
        self._asked = 0

    def look(self, *, heard_at: float, is_busy: bool, now: float) -> Step:
        """Return what is to be done now.

        :param heard_at: when the caller last said something or pressed a key.
        :param is_busy: whether somebody speaks, or something is awaited.
        """
        if heard_at > self._heard_at:
            self._heard_at, self._asked = heard_at, 0
        self._since = now if is_busy else max(self._since, heard_at)
        if now < self._since + self._settings.prompt_s:
            return Step.NOTHING
        self._since = now
        if self._asked >= self._settings.prompts:
            return Step.GIVE_UP
        self._asked += 1
        return Step.ASK
