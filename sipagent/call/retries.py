"""When the model is asked again for what, for the moment, it could not say: else the line would be dead."""

from math import inf
from typing import Final

from sipagent.realtime.events import FailureKind

MAX_RETRIES: Final = 2
RETRY_S: Final = 1.0
"""After the first failure in a row; after the second twice as long. Then the caller has to say something."""


class Retries:
    """One conversation's."""

    def __init__(self) -> None:
        self._failures = 0
        self.due_at = inf
        """When to ask again; infinity for never."""

    def failed(self, kind: FailureKind, *, may_retry: bool, now: float) -> None:
        """Take note of a response that was refused, or came to nothing."""
        self._failures += 1
        if kind == "transient" and self._failures <= MAX_RETRIES and may_retry:
            self.due_at = now + self._failures * RETRY_S

    def succeeded(self) -> None:
        """Take note of one that went well."""
        self._failures = 0

    def cancel(self) -> None:
        """Don't ask again: somebody has, or there is nothing to ask for any more."""
        self.due_at = inf
