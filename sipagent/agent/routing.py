"""Which agent takes a call: the first rule that fits.

A pattern is a shell's (``*``, ``?``, ``[0-9]``) for the whole text, or a regular expression between slashes for any
part of it; both are compared without regard to case. One for the caller or the called is compared with the number or
user part; one with an ``@`` with ``user@host``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import translate
from functools import lru_cache
from typing import Protocol

from sipagent.agent.hours import Hours
from sipagent.agent.regular import MAX_PATTERN, MAX_TEXT, Regular


class Caller(Protocol):
    """Somebody who calls or is called."""

    @property
    def user(self) -> str:
        """The number or user part."""

    @property
    def host(self) -> str:
        """The domain."""


class CallFacts(Protocol):
    """What rules may ask about a call."""

    def header(self, name: str) -> str:
        """Return a header field of the caller's, or nothing."""


@dataclass(frozen=True, slots=True)
class Route:
    """A rule: all that it names must fit."""

    agent: str
    """Who takes the call; nobody, if it is rejected."""
    called: str = "*"
    caller: str = "*"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Patterns by the names of header fields; a field that is absent counts as empty."""
    hours: Hours | None = None
    is_outside: bool = False
    """Whether it is for the time outside the hours."""
    reject: int | None = None
    """The status with which the call is refused."""

    def fits(self, call: CallFacts, *, caller: Caller, called: Caller, moment: datetime) -> bool:
        """Whether the rule is for this call.

        :param moment: when it comes, with its timezone.
        """
        return (
            _fits_party(self.called, called)
            and _fits_party(self.caller, caller)
            and all(_fits(pattern, call.header(name)) for name, pattern in self.headers.items())
            and (self.hours is None or self.hours.include(moment) is not self.is_outside)
        )


def check_pattern(pattern: str) -> None:
    """See whether it is a pattern.

    :raises ValueError: with what was expected.
    """
    if not 0 < len(pattern) <= MAX_PATTERN:
        raise ValueError(f"1 to {MAX_PATTERN} characters")
    try:
        _compile(pattern)
    except ValueError as error:
        raise ValueError(f"a regular expression between the slashes: {error}") from None


def _fits_party(pattern: str, party: Caller) -> bool:
    return _fits(pattern, f"{party.user}@{party.host}" if "@" in pattern else party.user)


def _fits(pattern: str, text: str) -> bool:
    compiled = _compile(pattern)
    if isinstance(compiled, Regular):
        return compiled.fits(text)
    return len(text) <= MAX_TEXT and compiled.fullmatch(text) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str] | Regular:
    if len(pattern) > 2 and pattern[0] == pattern[-1] == "/":
        return Regular(pattern[1:-1])
    return re.compile(translate(pattern), re.IGNORECASE)
