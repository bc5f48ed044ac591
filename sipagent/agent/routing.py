"""Which agent takes a call: the first rule that fits.

A pattern is a shell's (``*``, ``?``, ``[0-9]``), compared without regard to case. One for the caller or the called is
compared with the number or user part; one with an ``@`` with ``user@host``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from typing import Protocol


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
    called: str = "*"
    caller: str = "*"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Patterns by the names of header fields; a field that is absent counts as empty."""

    def fits(self, call: CallFacts, *, caller: Caller, called: Caller) -> bool:
        """Whether the rule is for this call."""
        return (
            _fits_party(self.called, called)
            and _fits_party(self.caller, caller)
            and all(_fits(pattern, call.header(name)) for name, pattern in self.headers.items())
        )


def _fits_party(pattern: str, party: Caller) -> bool:
    return _fits(pattern, f"{party.user}@{party.host}" if "@" in pattern else party.user)


def _fits(pattern: str, text: str) -> bool:
    return _compile(pattern).fullmatch(text) is not None


@lru_cache(maxsize=256)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern), re.IGNORECASE)
