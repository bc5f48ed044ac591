"""What WWW-Authenticate, Authorization and their kin hold: a scheme and its parameters (:rfc:`3261#section-20.7`).

:rfc:`3261#section-7.3.1` keeps these fields from being comma lists, yet some peers write two challenges into one, as
HTTP allows. What can't be read, or says a thing twice, is left out: a challenge that nobody reads is not answered,
and credentials that nobody reads prove nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sipagent.sip import grammar
from sipagent.sip.uri import NO_PARAMETERS, Parameters

_PARAMETER = re.compile(
    rf"(?:({grammar.TOKEN}){grammar.LWS})?"
    rf"({grammar.TOKEN}){grammar.SWS}={grammar.SWS}({grammar.QUOTED_STRING}|{grammar.AUTH_VALUE})"
)


@dataclass(frozen=True, slots=True)
class Authentication:
    """One challenge, or the credentials that answer one."""

    scheme: str
    """In lower case: ``digest``."""
    parameters: Parameters = NO_PARAMETERS
    """Without their quotes."""

    def get(self, name: str) -> str | None:
        """Return a parameter."""
        return self.parameters.get(name)


def parse_authentications(values: Iterable[str]) -> list[Authentication]:
    """Read the fields of one name, in order."""
    return [found for value in values for found in _parse_field(value)]


def _parse_field(text: str) -> list[Authentication]:
    """Read one field; an item that stands behind a scheme begins another challenge."""
    groups: list[tuple[str, list[tuple[str, str | None]]]] = []
    broken: set[int] = set()
    for item in filter(None, grammar.split_list(text)):
        match = _PARAMETER.fullmatch(item)
        scheme = match[1] if match else item
        if scheme is not None and grammar.is_token(scheme):
            groups.append((scheme.lower(), []))
        elif match is None:
            broken.add(len(groups) - 1)
        if match is not None and groups:
            groups[-1][1].append((match[2], grammar.unquote(match[3])))
    read = [(scheme, Parameters(pairs), len(pairs)) for at, (scheme, pairs) in enumerate(groups) if at not in broken]
    return [Authentication(scheme, parameters) for scheme, parameters, size in read if len(parameters) == size]
