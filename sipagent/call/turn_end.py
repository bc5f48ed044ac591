"""How long a silence ends the caller's turn: as a person would wait, longer for who hesitates than for who has done.

What counts: whether voice and level fell as at the end of a sentence; whether the agent asked what is answered by a
yes or a no, or for something that is read out in groups, such as a number; how long this caller's pauses are. None of
it is certain, so all of it moves the silence between two bounds, around the usual one.
"""

import re
from collections import deque
from dataclasses import dataclass
from typing import Final

from sipagent.audio.prosody import Ending

STRETCH: Final = 3.0
"""From a finality of 0.5 to a third more or less the silence goes to its bound; nearly all speech lies within."""
HELD_MS: Final = 200
HELD_FALL: Final = -0.1
"""A pitch held so long and no lower than before is an "uhm", or a vowel drawn out while thinking."""
SHORT_ANSWER_MS: Final = 1_200
"""What is longer is not just a yes or a no."""
LEARNED: Final = 8
"""Pauses remembered of a caller."""
LEAST_LEARNED: Final = 3
"""Fewer tell nothing of a caller."""
ALLOWANCE: Final = 1.2
"""How much longer than the caller's long pauses a silence must be."""
SHORTEST_PAUSE_MS: Final = 150
"""What is shorter is a plosive."""
CUT_MS: Final = 1_000
"""Who goes on within so short a time had not finished."""
MAX_SENTENCE: Final = 2_000
"""Characters of the agent's latest words that are looked at: its last sentences."""

QUESTION: Final = re.compile(
    r"(?:\b(?:is|are|was|were|do|does|did|can|could|would|will|shall|should|may|have|has)(?:n't)? "
    r"(?:you|i|we|it|that|this|there|they|he|she|the|your|my)\b[^.!?]*|\b(?:right|correct|okay|yes or no)\s*)\?\s*$",
    re.IGNORECASE,
)
"""A sentence at the end that asks for a yes or a no, in English."""
READ_OUT: Final = re.compile(
    r"\b(?:number|digits?|code|zip|postcode|postal|pin|spell|e-?mail|address|date of birth|birthday|reference|account"
    r"|iban|serial|licen[cs]e|plate)\b[^.!]*[?.!]?\s*$",
    re.IGNORECASE,
)
"""A sentence at the end that asks for what is read out, in English."""


@dataclass(frozen=True, slots=True)
class TurnEndSettings:
    """In milliseconds: the usual silence, and the bounds of what becomes of it."""

    usual_ms: int = 500
    min_ms: int = 300
    max_ms: int = 1_000


class TurnEnd:
    """One caller's."""

    def __init__(self, settings: TurnEndSettings) -> None:
        self._settings = settings
        self._pauses: deque[float] = deque(maxlen=LEARNED)
        self._asks_yes_or_no = False
        self._asks_to_read_out = False

    @property
    def first_look_ms(self) -> int:
        """After how much silence :meth:`silence_ms` is to be asked."""
        return self._settings.min_ms

    def agent_said(self, text: str) -> None:
        """Take the agent's latest words, to which the caller's next ones are the answer."""
        end = text[-MAX_SENTENCE:]
        self._asks_to_read_out = READ_OUT.search(end) is not None and not _offers(end)
        self._asks_yes_or_no = QUESTION.search(end) is not None and not self._asks_to_read_out

    def went_on(self, pause_ms: float) -> None:
        """Take note of a pause after which the caller went on, whether his turn was over by then or not."""
        if SHORTEST_PAUSE_MS <= pause_ms <= CUT_MS:
            self._pauses.append(pause_ms)

    def silence_ms(self, ending: Ending | None, *, turn_ms: int) -> int:
        """Return how long the silence is to be that ends this turn.

        :param ending: how the speech before it ended, ``None`` if that can't be told.
        :param turn_ms: how long it was.
        """
        settings = self._settings
        usual = self._usual_ms
        if self._asks_to_read_out:
            return settings.max_ms
        is_held, is_short = ending is not None and _is_held(ending), turn_ms <= SHORT_ANSWER_MS
        if self._asks_yes_or_no and is_short:
            return round(usual) if is_held else settings.min_ms
        if is_held:  # of a single word it says less: it may be but one vowel
            return round((usual + settings.max_ms) / 2) if is_short else settings.max_ms
        if ending is None:
            return round(usual)
        lean = max(-1.0, min(1.0, (ending.finality - 0.5) * STRETCH))
        room = usual - settings.min_ms if lean > 0 else settings.max_ms - usual
        return round(usual - room * lean)

    @property
    def _usual_ms(self) -> float:
        """The usual silence, or what this caller's pauses call for."""
        if len(self._pauses) < LEAST_LEARNED:
            return self._settings.usual_ms
        long = sorted(self._pauses)[len(self._pauses) * 3 // 4]
        return min(max(self._settings.usual_ms, ALLOWANCE * long), self._settings.max_ms)


def _offers(text: str) -> bool:
    """Whether the agent wants to do the reading itself: "Shall I give you the number?"."""
    return re.search(r"\b(?:shall|can|may|should|could) i\b[^.!?]*\?\s*$", text, re.IGNORECASE) is not None


def _is_held(ending: Ending) -> bool:
    return ending.held_ms >= HELD_MS and ending.fall >= HELD_FALL
