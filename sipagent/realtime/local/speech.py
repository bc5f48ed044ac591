"""One message being spoken: text goes out for rendering by sentences, and comes back as pieces of words and audio."""

import re
from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from sipagent.formats import AudioFormat

MAX_CHARACTERS = 6000
"""Some six minutes of speech; a longer answer is cut, as no caller hears it out."""
MAX_SENTENCE = 240
"""Characters rendered at once; a longer sentence is split at a pause, so that the first audio comes soon."""
MAX_ASKED = 3
"""Sentences asked for at a time: enough that none is waited for."""
AHEAD_MS = 4000
"""Audio in hand at which no more is asked for: a caller who interrupts leaves little to throw away."""

_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+")
_PAUSE = re.compile(r"(?<=[,;:])\s+")
_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Piece:
    """One delta: the words that begin in it, each with the millisecond of the message by which it is spoken."""

    audio: bytes
    words: tuple[tuple[str, int], ...]


def split_sentences(text: str) -> list[str]:
    """The sentences of ``text`` with their trailing space, none longer than :data:`MAX_SENTENCE`."""
    sentences: list[str] = []
    for sentence in _split(_SENTENCE_END, text[:MAX_CHARACTERS]):
        if len(sentence) <= MAX_SENTENCE:
            sentences.append(sentence)
        else:
            sentences += _pack(_split(_PAUSE, sentence))
    return sentences


def _split(border: re.Pattern[str], text: str) -> list[str]:
    """Cut after each border, keeping the space that makes it."""
    cuts = [0, *(match.end() for match in border.finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if text[a:b].strip()]


def _pack(clauses: list[str]) -> list[str]:
    """Join clauses as long as they fit, and cut the ones that do not by words."""
    packed = [""]
    for clause in clauses:
        parts = [clause] if len(clause) <= MAX_SENTENCE else _WORD.findall(clause)
        for part in parts:
            if packed[-1] and len(packed[-1]) + len(part) > MAX_SENTENCE:
                packed.append("")
            packed[-1] += part[:MAX_SENTENCE]
    return [part for part in packed if part]


class Speech:
    """Sentences in, pieces out. Rendered sentences may come back in any order; they are spoken in theirs."""

    def __init__(self, text: str, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._sentences = split_sentences(text)
        self._rendered: dict[int, bytes] = {}
        self._asked = 0
        self._joined = 0
        self._audio = bytearray()
        self._taken_bytes = 0
        self._joined_bytes = 0
        self._words: deque[tuple[int, int, str]] = deque()

    @property
    def is_finished(self) -> bool:
        """Whether all of it has been taken."""
        return self._joined == len(self._sentences) and not self._audio and not self._words

    def next_sentence(self) -> tuple[int, str] | None:
        """The index and text of a sentence to have rendered now, if any."""
        if self._asked >= len(self._sentences) or self._asked - self._joined >= MAX_ASKED:
            return None
        if self._format.duration_ms(len(self._audio)) >= AHEAD_MS:
            return None
        self._asked += 1
        return self._asked - 1, self._sentences[self._asked - 1].strip()

    def receive(self, index: int, audio: bytes) -> None:
        """Take the rendering of sentence ``index``; empty when it could not be spoken."""
        self._rendered[index] = audio[: len(audio) - len(audio) % self._format.sample_bytes]
        while (rendered := self._rendered.pop(self._joined, None)) is not None:
            self._time_words(self._sentences[self._joined], len(rendered))
            self._audio += rendered
            self._joined_bytes += len(rendered)
            self._joined += 1

    def take(self, size: int) -> Piece | None:
        """The next piece, ``size`` bytes of audio or what is left at the end; ``None`` when rendering is awaited."""
        size = min(size, AHEAD_MS * self._format.bytes_per_ms)
        is_last = self._joined == len(self._sentences)
        if len(self._audio) < size and not is_last:
            return None
        audio = bytes(self._audio[:size])
        del self._audio[:size]
        self._taken_bytes += len(audio)
        words: list[tuple[str, int]] = []
        while self._words and (self._words[0][0] < self._taken_bytes or (not self._audio and is_last)):
            _, end, word = self._words.popleft()
            words.append((word, -(-end // self._format.bytes_per_ms)))
        return Piece(audio, tuple(words))

    def _time_words(self, sentence: str, size: int) -> None:
        """Share the time of a sentence among its words by their letters."""
        for match in _WORD.finditer(sentence):
            start = self._joined_bytes + size * match.start() // len(sentence)
            end = self._joined_bytes + size * match.end() // len(sentence)
            self._words.append((start, end, match.group()))
