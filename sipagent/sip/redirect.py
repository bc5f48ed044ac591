"""Where a 3xx leads (:rfc:`3261#section-8.1.3.4`): its Contacts, the most wanted first, as far as the line follows.

Whoever is called could send the call on to a number that costs, so nothing is followed unless the line says how often,
and nowhere that it may not call by itself.
"""

from collections import deque
from dataclasses import replace

from sipagent.sip.headers import NameAddr
from sipagent.sip.line import Line
from sipagent.sip.message import Response
from sipagent.sip.uri import Uri

CONTACTS_MAX = 8
"""Of one 3xx that are tried, one after the other."""


class Redirects:
    """The targets of one call that are still to be tried."""

    def __init__(self, target: Uri, line: Line | None) -> None:
        self._line = line
        self._left = 0 if line is None else line.account.redirects
        self._seen = {str(target)}
        self._targets: deque[Uri] = deque()

    def receive(self, response: Response) -> None:
        """Take the Contacts of a 3xx; any other response, and one redirection too many, leads nowhere new."""
        if not 300 <= response.status <= 399 or not self._left or self._line is None:
            return
        self._left -= 1
        contacts = sorted(response.contacts, key=_preference, reverse=True)
        for uri in [replace(contact.uri, headers=()) for contact in contacts][:CONTACTS_MAX]:
            if uri.is_sip and str(uri) not in self._seen and self._line.may_call(uri):
                self._seen.add(str(uri))
                self._targets.append(uri)

    def pop(self) -> Uri | None:
        """Take the next target."""
        return self._targets.popleft() if self._targets else None

    def clear(self) -> None:
        """Try no more."""
        self._left = 0
        self._targets.clear()


def _preference(contact: NameAddr) -> float:
    """The ``q`` of a Contact; 1 where it has none (:rfc:`3261#section-20.10`)."""
    try:
        return float(contact.parameters.get("q") or 1)
    except ValueError:
        return 0.0
