"""Regular expressions whose time is bounded by their length times the text's, whatever a stranger writes in the text.

Python's own go back and try again: ``(a+)+b`` takes years over forty letters, and a caller chooses his own name. Here
all ways are followed at once, one character at a time. That leaves out back references and looking around.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

MAX_PATTERN = 200
"""Characters of an expression; a longer one is nobody's to read."""

MAX_STEPS = 200
"""Of an expression with its repeats written out; times :data:`MAX_TEXT` it is the most that is ever looked at: in the
worst case 0.1 s, for an expression that nobody needs."""

MAX_REPEAT = 64
"""In braces; numbers are no longer."""

MAX_NESTING = 16
"""Groups within groups."""

MAX_TEXT = 300
"""Characters of a text; a longer one fits nothing. What a call says of itself is cut to 257 or fewer."""

_TOKEN = re.compile(
    r"""
    (?P<atom> \\[dDwWsS] | \\[^0-9A-Za-z] | \[\^?\]?(?:\\.|[^\]\\])*\] | \. | [^\\\[\](){}|*+?^$.] ) |
    (?P<open> \((?:\?:)? ) | (?P<close> \) ) | (?P<bar> \| ) | (?P<edge> [\^$] ) |
    (?P<repeat> [*+?] | \{(?P<least>[0-9]{1,3})(?:(?P<comma>,)(?P<most>[0-9]{0,3}))?\} )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _One:
    """One character that fits."""

    fits: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Edge:
    """The beginning or the end of the text."""

    at: Literal["^", "$"]


@dataclass(frozen=True, slots=True)
class _All:
    """One after the other."""

    parts: "list[_Part]" = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Any:
    """One of them."""

    choices: "list[_All]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    """So often, ``most`` being ``None`` for any number of times."""

    part: "_Part"
    least: int
    most: int | None


_Part: TypeAlias = _One | _Edge | _All | _Any | _Repeat


class Regular:
    """An expression, compared without regard to case; it need not begin where the text begins.

    :raises ValueError: what is wrong with it, in words.
    """

    def __init__(self, pattern: str) -> None:
        if not 0 < len(pattern) <= MAX_PATTERN:
            raise ValueError(f"it has 1 to {MAX_PATTERN} characters")
        self._steps: list[tuple[_One | _Edge | None, tuple[int, ...]]] = [(None, ())]
        """What must be passed, and where it leads to; the first is the end."""
        self._start = self._lay(_Parser(pattern).parse(), 0)

    def fits(self, text: str) -> bool:
        """Whether it is somewhere in the text."""
        if len(text) > MAX_TEXT:
            return False
        reached: set[int] = set()
        for position in range(len(text) + 1):
            is_end = position == len(text)
            reached = self._follow(reached | {self._start}, is_begin=position == 0, is_end=is_end)
            if 0 in reached or is_end:
                return 0 in reached
            letter = text[position]
            reached = {
                after[0]
                for part, after in map(self._steps.__getitem__, reached)
                if isinstance(part, _One) and part.fits.fullmatch(letter)
            }
        return False

    def find(self, text: str, *, max_steps: int) -> tuple[list[tuple[int, int]] | None, int]:
        """Return where it is in a text of any length, from left to right, each time as long as can be; and the steps.

        :returns: ``None`` for the places when that takes more than ``max_steps``.
        """
        spans: list[tuple[int, int]] = []
        begin = steps = 0
        while begin < len(text):
            end, taken = self._match(text, begin, max_steps - steps)
            steps += taken
            if steps >= max_steps:
                return None, steps
            if end > begin:
                spans.append((begin, end))
            begin = max(end, begin + 1)
        return spans, steps

    def _match(self, text: str, begin: int, max_steps: int) -> tuple[int, int]:
        """Return the end of the longest fit that begins here, 0 for none, and the steps to it."""
        reached, end, steps = {self._start}, 0, 1
        for position in range(begin, len(text) + 1):
            is_end = position == len(text)
            reached = self._follow(reached, is_begin=position == 0, is_end=is_end)
            if 0 in reached:
                end = position
            steps += len(reached)
            if is_end or steps > max_steps:
                break
            letter = text[position]
            reached = {
                after[0]
                for part, after in map(self._steps.__getitem__, reached)
                if isinstance(part, _One) and part.fits.fullmatch(letter)
            }
            if not reached:
                break
        return end, steps

    def _follow(self, steps: set[int], *, is_begin: bool, is_end: bool) -> set[int]:
        """Return all that can be reached without a character."""
        reached, ahead = set(steps), list(steps)
        while ahead:
            part, after = self._steps[ahead.pop()]
            if isinstance(part, _One) or (isinstance(part, _Edge) and not (is_begin if part.at == "^" else is_end)):
                continue
            ahead += [step for step in after if step not in reached]
            reached.update(after)
        return reached

    def _lay(self, part: _Part, after: int) -> int:
        """Lay the steps of a part that lead on to ``after``; return the first one."""
        match part:
            case _One() | _Edge():
                return self._add(part, (after,))
            case _All(parts):
                for each in reversed(parts):
                    after = self._lay(each, after)
                return after
            case _Any(choices):
                return self._add(None, tuple(self._lay(each, after) for each in choices))
            case _Repeat(inner, least, most):
                first = self._lay_loop(inner, after) if most is None else self._lay_optional(inner, most - least, after)
                for _ in range(least):
                    first = self._lay(inner, first)
                return first

    def _lay_loop(self, part: _Part, after: int) -> int:
        loop = self._add(None, ())
        self._steps[loop] = (None, (self._lay(part, loop), after))
        return loop

    def _lay_optional(self, part: _Part, times: int, after: int) -> int:
        first = after
        for _ in range(times):
            first = self._add(None, (self._lay(part, first), after))
        return first

    def _add(self, part: _One | _Edge | None, after: tuple[int, ...]) -> int:
        if len(self._steps) >= MAX_STEPS:
            raise ValueError("it is too long with its repeats written out")
        self._steps.append((part, after))
        return len(self._steps) - 1


class _Parser:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self._tokens = list(_tokens(pattern))
        self._depth = 0

    def parse(self) -> _Part:
        part = self._choices()
        if self._tokens:
            raise ValueError("a ) without its (")
        return part

    def _choices(self) -> _Part:
        choices = [self._sequence()]
        while self._tokens and _kind(self._tokens[0]) == "bar":
            self._tokens.pop(0)
            choices.append(self._sequence())
        return _Any(choices) if len(choices) > 1 else choices[0]

    def _sequence(self) -> _All:
        sequence = _All()
        while self._tokens and (kind := _kind(self._tokens[0])) not in ("bar", "close"):
            token = self._tokens.pop(0)
            match kind:
                case "atom":
                    sequence.parts.append(_One(_compile(token[0])))
                case "edge":
                    sequence.parts.append(_Edge("^" if token[0] == "^" else "$"))
                case "open":
                    sequence.parts.append(self._group())
                case _:
                    sequence.parts.append(_repeat(sequence.parts, token))
        return sequence

    def _group(self) -> _Part:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ValueError("it is nested too deeply")
        part = self._choices()
        if not self._tokens:
            raise ValueError("a ( without its )")
        self._tokens.pop(0)
        self._depth -= 1
        return part


def _kind(token: re.Match[str]) -> str:
    return next(kind for kind in ("atom", "open", "close", "bar", "edge", "repeat") if token[kind] is not None)


def _tokens(pattern: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None:
            raise ValueError(f"what begins with {pattern[position : position + 8]!r} is not understood")
        position = token.end()
        yield token


def _compile(atom: str) -> re.Pattern[str]:
    try:
        return re.compile(atom, re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise ValueError(f"{atom}: {error}") from None


def _repeat(parts: list[_Part], token: re.Match[str]) -> _Repeat:
    if not parts or isinstance(parts[-1], _Edge | _Repeat):
        raise ValueError(f"there is nothing that {token[0]} could repeat")
    bounds: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
    if token[0] in bounds:
        least, most = bounds[token[0]]
    else:
        least = int(token["least"])
        most = int(token["most"]) if token["most"] else None if token["comma"] else least
    if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
        raise ValueError(f"{token[0]} repeats from few to at most {MAX_REPEAT} times")
    return _Repeat(parts.pop(), least, most)
