"""Words with which a listener says that he listens, and wants nothing: they do not interrupt the agent."""

import re
from collections.abc import Iterable
from typing import Final

DEFAULT: Final = (
    # English
    "mm", "mhm", "mm hm", "mm hmm", "hm", "hmm", "uh", "uh huh", "huh", "um", "ah", "aha", "oh", "oh okay", "ok",
    "okay", "yeah", "yep", "yup", "right", "all right", "alright", "sure", "i see", "got it", "good", "great", "cool",
    "fine", "really", "wow", "of course", "exactly", "perfect",
    # German, French, Spanish
    "ja", "jaja", "genau", "gut", "alles klar", "ach so", "achso", "mhmm", "äh", "öh", "stimmt",
    "oui", "d'accord", "ah bon", "bien", "euh", "très bien",
    "sí", "si", "vale", "claro", "ya", "ajá", "bueno",
)  # fmt: skip
"""None of these tells an agent to stop. "Yes" and "no" are not here: they answer."""

MAX_WORDS: Final = 6
"""Who strings more of them together has something to say."""

NOT_A_WORD: Final = re.compile(r"[^\w']+")


class Backchannels:
    """A set of phrases of one or several words, whatever their case, hyphens and marks."""

    def __init__(self, phrases: Iterable[str] = DEFAULT) -> None:
        self._phrases = {tuple(_words(phrase)) for phrase in phrases}
        self._longest = max(map(len, self._phrases), default=0)

    def __contains__(self, text: str) -> bool:
        """Whether nothing else was said; no words at all are a sound, and count as well."""
        words = _words(text)
        if len(words) > MAX_WORDS:
            return False
        at = 0
        while at < len(words):
            lengths = range(min(self._longest, len(words) - at), 0, -1)
            taken = next((length for length in lengths if tuple(words[at : at + length]) in self._phrases), 0)
            if not taken:
                return False
            at += taken
        return True


def _words(text: str) -> list[str]:
    return NOT_A_WORD.sub(" ", text.casefold()).split()
