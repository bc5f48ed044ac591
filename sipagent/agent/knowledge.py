"""What an agent knows from files: short texts go into its instructions, long ones are searched by a tool.

The search is our own and small: paragraphs with the headings above them, ranked by BM25 (Robertson and Zaragoza, "The
Probabilistic Relevance Framework", 2009). Words are compared by their beginnings and without accents, and writing
without spaces by pairs of letters, so it needs to know no language.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Annotated, Final

from sipagent.agent.tools import Tool, tool

SEARCH: Final = "search_knowledge"
"""The name of the tool."""

MAX_CHARACTERS = 4_000_000
"""Of all texts of one agent, some 700 pages; more is a database's business, and a tool's of your own."""

PASSAGE_CHARACTERS = 1_200
"""A paragraph that is longer is parted: a caller is told a few sentences, not a page."""

MAX_QUERY_TERMS = 64
"""Words of a question that are looked for."""

MIN_SHARE = 0.35
"""A passage whose score is a smaller part of the best one's is not about it."""

K1, B = 1.2, 0.75
"""How soon a repeated word says nothing new, and how much a long passage is held against it: the usual values."""

STEM = 5
"""A word counts by its first so many letters as well, so that "opening" finds "opened"; endings differ by language."""

STEM_WEIGHT = 0.5
"""Of a beginning, beside that of the whole word."""

HEADING_WEIGHT = 2
"""Times that a word in a heading counts."""

NOTHING = "Nothing of what you know is about that. Say that you don't know, rather than guess."

_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"(?P<level>#{1,6})\s+(?P<text>.*?)\s*#*\s*")
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: no spaces say where a word ends."""

INTRODUCTION = "What you know of the matters that callers ask about; do not invent anything beyond it:"


@dataclass(frozen=True, slots=True)
class Document:
    """A text."""

    name: str
    """Of its file, for the model and for the log."""
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph."""

    source: str
    """The name of its document and the headings above it."""
    text: str

    def __str__(self) -> str:
        return f"[{self.source}]\n{self.text}"


def as_instructions(documents: Iterable[Document]) -> str:
    """Return a part of the instructions that holds the documents whole."""
    return "\n\n".join([INTRODUCTION, *(f"[{each.name}]\n{each.text.strip()}" for each in documents)])


def split(document: Document) -> Iterator[Passage]:
    """Yield the paragraphs of a text; Markdown's headings say what the ones below them are about."""
    headings: list[tuple[int, str]] = []
    for block in re.split(r"\n\s*\n", document.text.replace("\r\n", "\n")):
        lines = block.strip("\n").split("\n")
        while lines and (heading := _HEADING.fullmatch(lines[0].strip())):
            level = len(heading["level"])
            headings = [each for each in headings if each[0] < level] + [(level, heading["text"])]
            lines.pop(0)
        source = " › ".join([document.name, *(text for _, text in headings)])
        for text in _parted("\n".join(lines).strip()):
            yield Passage(source, text)


def _parted(text: str) -> Iterator[str]:
    """Yield pieces of a text, each as long as a passage may be, that end where a line, a sentence or a word does."""
    while len(text) > PASSAGE_CHARACTERS:
        head = text[:PASSAGE_CHARACTERS]
        ends = (head.rfind(mark) + len(mark) for mark in ("\n", ". ", " "))
        end = next((each for each in ends if each > PASSAGE_CHARACTERS // 2), PASSAGE_CHARACTERS)
        yield text[:end].strip()
        text = text[end:].strip()
    if text:
        yield text


def terms_of(text: str) -> Counter[str]:
    """Count what a text is compared by: words without accents and case, beginnings of long ones, pairs of letters."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    terms: Counter[str] = Counter()
    for word in _WORD.findall(plain):
        if _UNSPACED.search(word):
            terms.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
            continue
        terms[word] += 1
        if len(word) >= STEM:
            terms[f"{word[:STEM]}…"] += 1
    return terms


class Knowledge:
    """An index of passages."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._passages = tuple(passage for document in documents for passage in split(document))
        self._lengths: list[int] = []
        self._found: dict[str, list[tuple[int, int]]] = {}
        """By term: the numbers of the passages it is in, and how often."""
        for number, passage in enumerate(self._passages):
            counted = terms_of(passage.text)
            for term, count in terms_of(passage.source).items():
                counted[term] += HEADING_WEIGHT * count
            self._lengths.append(counted.total())
            for term, count in counted.items():
                self._found.setdefault(term, []).append((number, count))
        self._mean = max(1.0, sum(self._lengths) / max(1, len(self._lengths)))

    @property
    def passages(self) -> int:
        """How many there are."""
        return len(self._passages)

    def search(self, question: str, *, limit: int) -> str:
        """Return the passages that are about a question, the best one first.

        :param limit: so many characters at most; the last passage is cut.
        """
        found: list[str] = []
        for passage in self.rank(question):
            room = limit - sum(len(each) + 2 for each in found)
            text = str(passage)
            if len(text) > room:
                if not found:
                    found.append(f"{text[: max(0, room - 1)].rstrip()}…")
                break
            found.append(text)
        return "\n\n".join(found) or NOTHING

    def rank(self, question: str) -> Sequence[Passage]:
        """Return the passages that are about a question, the best one first."""
        scores: dict[int, float] = {}
        for term in list(terms_of(question))[:MAX_QUERY_TERMS]:
            passages = self._found.get(term, ())
            rarity = log(1 + (len(self._passages) - len(passages) + 0.5) / (len(passages) + 0.5))
            weight = rarity * (STEM_WEIGHT if term.endswith("…") else 1.0)
            for number, count in passages:
                damped = count + K1 * (1 - B + B * self._lengths[number] / self._mean)
                scores[number] = scores.get(number, 0.0) + weight * count * (K1 + 1) / damped
        ranked = sorted(scores.items(), key=lambda scored: -scored[1])
        least = MIN_SHARE * ranked[0][1] if ranked else 0.0
        return [self._passages[number] for number, score in ranked if score >= least]


def make_search(knowledge: Knowledge, *, limit: int, about: Iterable[str]) -> Tool:
    """Make the tool that searches.

    :param limit: of what it returns, in characters.
    :param about: the names of the documents, from which the model learns what it may find.
    """

    def search_knowledge(question: Annotated[str, "What to look for, in the words that the text would use."]) -> str:
        return knowledge.search(question, limit=limit)

    names = ", ".join(about)
    words = f"Look up facts before you answer: you know more than your instructions say. There is: {names}."
    return tool(name=SEARCH, description=words[:1000])(search_knowledge)
