"""Takes out of a text what is nobody's business: numbers, in digits or in words, cards, accounts, addresses.

What is found is replaced by its kind in brackets, such as ``[card]``. Kinds are looked for from the most to the least
telling, so that a card's number is ``[card]`` and not ``[digits]``. In doubt more is taken out. The time is bounded
whatever the text is; one that takes too long is taken out as a whole.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args

from sipagent.agent.number_words import MAX_WORDS, LanguageTag, Numerals, numerals, plain
from sipagent.agent.regular import Regular

Kind: TypeAlias = Literal["email", "iban", "card", "digits"]
KINDS: Final = get_args(Kind)

MARK_OF_PATTERN: Final = "[redacted]"
"""In place of what a pattern of the user's own found."""

DIGITS_MIN: Final = 3
"""The shortest number that is taken out: that on the back of a card."""
CARD_LENGTHS: Final = range(19, 12, -1)
"""Digits of a card (ISO/IEC 7812-1); the longest is tried first."""
MAX_DEPTH: Final = 16
"""Of values within values, in JSON; what is deeper is taken out."""
MAX_STEPS: Final = 200_000
"""In which the user's own patterns must be done with a text, some 50 ms."""

AT: Final[Mapping[LanguageTag, str]] = {
    "en": "at", "de": "at|ät|klammeraffe", "fr": "arobase|arobas", "es": "arroba", "it": "chiocciola",
    "nl": "at|apenstaartje", "pt": "arroba",
}  # fmt: skip
DOT: Final[Mapping[LanguageTag, str]] = {
    "en": "dot", "de": "punkt|dot", "fr": "point", "es": "punto", "it": "punto", "nl": "punt", "pt": "ponto",
}  # fmt: skip
"""How the two signs of an address are spoken."""
NEVER: Final = "(?!)"
IBAN: Final = re.compile(r"\b[A-Z]{2}[0-9]{2}(?=([0-9A-Z -]{11,60}))", re.IGNORECASE)
"""Two letters, two digits, and what follows (ISO 13616)."""
IBAN_LENGTHS: Final = range(34, 14, -1)
"""The longest is tried first."""

TIMES: Final = {"double": 2, "triple": 3, "treble": 3}

TOKEN: Final = re.compile(r"\d+|(?:[^\W\d_][\u0300-\u036f]*)+")
"""Digits or a word, its accents beside the letters or in them."""
WITHIN: Final = re.compile(r"[\s\-’']{1,3}")
"""What may stand between the words for one number."""
GAP: Final = r"[\s.,\-/()+:;*#'\"_]{0,4}"
"""What may stand between the parts of a longer one, and behind it a link such as "and"."""

Span: TypeAlias = tuple[int, int]
Finder: TypeAlias = Callable[[str], Iterable[Span]]


@dataclass(frozen=True, slots=True)
class _Part:
    """Digits, and where in the text they come from."""

    begin: int
    end: int
    digits: str
    is_figures: bool = False
    is_scale: bool = False
    """Whether it is a word such as "hundred", which makes a longer number of another and is none by itself."""

    def places(self) -> Iterator[Span]:
        """Where each digit is; those of a word are where the word is."""
        for at in range(len(self.digits)):
            yield (self.begin + at, self.begin + at + 1) if self.is_figures else (self.begin, self.end)


class Redaction:
    """What is taken out of the texts of a call.

    :param rules: kinds, and regular expressions between slashes (:class:`~sipagent.agent.regular.Regular`).
    :param languages: in which numbers and addresses may be spoken.
    :raises ValueError: for what is neither.
    """

    def __init__(self, rules: Iterable[str], languages: Iterable[LanguageTag] = ("en",)) -> None:
        rules, languages = tuple(rules), tuple(languages)
        numbers = _Numbers(numerals(languages))
        finders: dict[Kind, Finder] = {
            "email": _email_finder(languages), "iban": _ibans, "card": numbers.find_cards, "digits": numbers.find_long,
        }  # fmt: skip
        self._finders: list[tuple[str, Finder]] = [(f"[{kind}]", finders[kind]) for kind in KINDS if kind in rules]
        self._patterns = [_pattern(rule) for rule in rules if rule not in KINDS]

    def __bool__(self) -> bool:
        return bool(self._finders or self._patterns)

    def redact(self, text: str) -> str:
        """Return the text without what is to be taken out of it."""
        if self._patterns:
            text = self._redact_patterns(text)
        for mark, find in self._finders:
            text = _replace(text, find(text), mark)
        return text

    def redact_json(self, text: str) -> str:
        """The same for the values in a JSON text, which stays one; another text is taken as words."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.redact(text)
        redacted = self._redact_value(value, MAX_DEPTH)
        return text if redacted == value else json.dumps(redacted, ensure_ascii=False)

    def _redact_value(self, value: Any, depth: int) -> Any:
        if depth == 0:
            return MARK_OF_PATTERN
        match value:
            case str():
                return self.redact(value)
            case list():
                return [self._redact_value(each, depth - 1) for each in value]
            case dict():
                return {self.redact(name): self._redact_value(each, depth - 1) for name, each in value.items()}
            case bool() | None:
                return value
            case _:
                plain = json.dumps(value)
                redacted = self.redact(plain)
                return value if redacted == plain else redacted

    def _redact_patterns(self, text: str) -> str:
        left = MAX_STEPS
        for pattern in self._patterns:
            spans, steps = pattern.find(text, max_steps=left)
            if spans is None:
                return MARK_OF_PATTERN
            left -= steps
            text = _replace(text, spans, MARK_OF_PATTERN)
        return text


def check_rule(rule: str) -> None:
    """Make sure that a rule is a kind or an expression.

    :raises ValueError: what is expected.
    """
    Redaction([rule])


def _pattern(rule: str) -> Regular:
    if len(rule) < 3 or rule[0] != "/" or rule[-1] != "/":
        raise ValueError(f"{', '.join(KINDS)}, or a regular expression between slashes")
    try:
        return Regular(rule[1:-1])
    except ValueError as error:
        raise ValueError(f"a regular expression between the slashes: {error}") from None


def _replace(text: str, spans: Iterable[Span], mark: str) -> str:
    pieces, at = [], 0
    for begin, end in spans:
        pieces += [text[at:begin], mark]
        at = end
    return "".join((*pieces, text[at:]))


@cache
def _email_finder(languages: tuple[LanguageTag, ...]) -> Finder:
    """Find addresses, written or spoken: "jo at example dot org"."""
    at, dot = ("|".join(words[language] for language in languages) or NEVER for words in (AT, DOT))
    pattern = re.compile(
        rf"""[\w.+%-]{{1,64}} (?: @ | \s+(?:{at})\s+ (?=[\w-]{{1,63}} (?:\.|\s+(?:{dot})\s+)) )
            [\w-]{{1,63}} (?: (?: \. | \s{{1,3}}(?:{dot})\s{{1,3}} ) [\w-]{{1,63}} ){{1,6}}""",
        re.VERBOSE | re.IGNORECASE,
    )
    return lambda text: (found.span() for found in pattern.finditer(text))


def _ibans(text: str) -> Iterator[Span]:
    for found in IBAN.finditer(text):
        ends = [found.start(1) + at for at, letter in enumerate(found[1], 1) if letter not in " -"]
        number = re.sub(r"[ -]", "", found[0] + found[1]).upper()
        size = next((size for size in IBAN_LENGTHS if _is_iban(number, size)), 0)
        if size:
            yield found.start(), ends[size - 5]


def _is_iban(number: str, size: int) -> bool:
    """Whether so much of it has the right check digits (ISO 7064, mod 97-10)."""
    if len(number) < size:
        return False
    return int("".join(str(int(letter, 36)) for letter in number[4:size] + number[:4])) % 97 == 1


def _is_card(number: str, size: int) -> bool:
    """Whether its check digit is right (ISO/IEC 7812-1, annex B)."""
    if len(number) != size or number[0] not in "23456":
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in number[-2::-2])
    return (sum(doubled) + sum(map(int, number[::-2]))) % 10 == 0


class _Numbers:
    """Finds numbers, in figures and in words."""

    def __init__(self, known: Numerals) -> None:
        self._known = known
        self._gap = re.compile("|".join((GAP, *(rf"{GAP}{link}\s" for link in known.links))), re.IGNORECASE)

    def find_cards(self, text: str) -> Iterator[Span]:
        """Find numbers, or parts of numbers, that a card may have."""
        for run in self._runs(text):
            places = [place for part in run for place in part.places()]
            digits = "".join(part.digits for part in run)
            at = 0
            while at < len(digits):
                size = next((size for size in CARD_LENGTHS if _is_card(digits[at : at + size], size)), 0)
                if size:
                    yield places[at][0], places[at + size - 1][1]
                at += size or 1

    def find_long(self, text: str) -> Iterator[Span]:
        """Find numbers that are not short."""
        for run in self._runs(text):
            if sum(len(part.digits) for part in run) >= DIGITS_MIN and (len(run) > 1 or not run[0].is_scale):
                yield run[0].begin, run[-1].end

    def _runs(self, text: str) -> Iterator[list[_Part]]:
        """Yield what is read as one number: digits and words for them with little between them."""
        run: list[_Part] = []
        for part in self._parts(text):
            if run and not self._gap.fullmatch(text, run[-1].end, part.begin):
                yield run
                run = []
            run.append(part)
        if run:
            yield run

    def _parts(self, text: str) -> Iterator[_Part]:
        """Yield digits, in figures and in words, from left to right."""
        tokens = list(TOKEN.finditer(text))
        words = [plain(token[0]) for token in tokens]
        times: tuple[int, int] | None = None
        at = 0
        while at < len(tokens):
            size = self._phrase_size(text, tokens, words, at)
            part = self._part(tokens[at : at + size], tuple(words[at : at + size]))
            if part is not None:
                yield part if times is None else replace(part, begin=times[1], digits=part.digits * times[0])
            times = (TIMES[words[at]], tokens[at].start()) if words[at] in TIMES else None
            at += size

    def _phrase_size(self, text: str, tokens: list[re.Match[str]], words: list[str], at: int) -> int:
        """How many words from here on are one number; 1 if they are none."""
        most = 1
        while (
            most < MAX_WORDS
            and at + most < len(tokens)
            and WITHIN.fullmatch(text, tokens[at + most - 1].end(), tokens[at + most].start())
        ):
            most += 1
        return next((size for size in range(most, 1, -1) if tuple(words[at : at + size]) in self._known.words), 1)

    def _part(self, tokens: list[re.Match[str]], words: tuple[str, ...]) -> _Part | None:
        begin, end = tokens[0].start(), tokens[-1].end()
        if tokens[0][0].isdecimal():
            return _Part(begin, end, "".join(str(int(digit)) for digit in tokens[0][0]), is_figures=True)
        digits = self._known.read(words)
        if digits:
            return _Part(begin, end, digits)
        factor = self._known.scales.get(words[0])
        return _Part(begin, end, str(factor)[1:], is_scale=True) if factor else None
