"""Instructions with facts of the call in them: ``{caller}``, ``{time}``, ``{header:X-Order}``.

What strangers chose is put in as a quoted string, and listed again as what it is: data.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Self

from sipagent.agent.quotation import quote_text, warn_of
from sipagent.agent.tools import CallInfo

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

OURS: Mapping[str, Callable[[CallInfo], str]] = {
    "agent": lambda call: call.agent,
    "call_id": lambda call: call.call_id,
    "date": lambda call: call.time.strftime("%Y-%m-%d") if call.time else "",
    "line": lambda call: call.line,
    "time": lambda call: call.time.strftime("%H:%M") if call.time else "",
    "weekday": lambda call: DAYS[call.time.weekday()] if call.time else "",
}
"""What we know by ourselves."""

THEIRS: Mapping[str, Callable[[CallInfo], str]] = {
    "called": lambda call: call.called_number,
    "caller": lambda call: "withheld" if call.is_private else call.caller_number,
    "caller_name": lambda call: "" if call.is_private else call.caller_name,
    "diverted_from": lambda call: call.diverted_from[0] if call.diverted_from else "",
    "user_to_user": lambda call: call.user_to_user[0] if call.user_to_user else "",
}
"""What others say."""

HEADER = re.compile(r"header:(?P<field>[Xx]-[A-Za-z0-9-]{1,62})")
"""A field of the INVITE."""

_PART = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}\n]{0,80})\}|[{}]")

HELP = "{{ and }} stand for braces themselves"


class Template:
    """A text with places for facts of a call."""

    def __init__(self, text: str, parts: tuple[str | re.Match[str], ...]) -> None:
        self.text = text
        """As it was written."""
        self._parts = parts

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text.

        :raises ValueError: a name in braces is none of a fact's; with what was expected.
        """
        parts: list[str | re.Match[str]] = []
        end = 0
        for match in _PART.finditer(text):
            parts += (text[end : match.start()], match)
            end = match.end()
            if match[0] not in ("{{", "}}"):
                _check(match)
        return cls(text, (*parts, text[end:]))

    def fill(self, call: CallInfo, *, warns_first: bool = False) -> str:
        """Return the text with the facts of a call in it, and with a paragraph of warning where strangers chose some.

        :param warns_first: the warning comes before the text, not after it.
        """
        strange: list[str] = []
        filled = "".join(part if isinstance(part, str) else _value(part, call, strange) for part in self._parts)
        paragraphs = [filled.strip(), warn_of(strange)] if strange else [filled]
        return "\n\n".join(reversed(paragraphs) if warns_first else paragraphs)


def _check(match: re.Match[str]) -> None:
    name = match["name"]
    if name is None:
        raise ValueError(f"no lone {match[0]}: {HELP}")
    if name in OURS or name in THEIRS or HEADER.fullmatch(name):
        return
    known = [*OURS, *THEIRS, "header:X-…"]
    close = get_close_matches(name, known, 1, 0.6)
    hint = f"did you mean {{{close[0]}}}?" if close else f"there is {', '.join(sorted(known))};"
    raise ValueError(f"only names of facts in braces, and {{{name}}} is none: {hint} {HELP}")


def _value(match: re.Match[str], call: CallInfo, strange: list[str]) -> str:
    name = match["name"]
    if name is None:
        return match[0][0]
    if name in OURS:
        return OURS[name](call)
    field = HEADER.fullmatch(name)
    value = _header(call, field["field"]) if field else THEIRS[name](call)
    if not value:
        return '""'
    quoted = quote_text(value)
    if quoted not in strange:
        strange.append(quoted)
    return quoted


def _header(call: CallInfo, name: str) -> str:
    return next((value for field, value in call.headers.items() if field.lower() == name.lower()), "")
