"""What a session still owes the caller: the answer it was asked for, the rest of the one it was giving, or nothing.

When the session is lost its successor is asked for it.
"""

from dataclasses import dataclass

from sipagent.call.continuity import CONTINUE


@dataclass(frozen=True, slots=True)
class Request:
    """What a response is asked for with."""

    instructions: str | None = None
    tools_allowed: bool = True

    @property
    def continues(self) -> bool:
        """Whether it takes up what another session was saying."""
        return self.instructions == CONTINUE


class Debt:
    """Kept by what is asked and what comes."""

    def __init__(self) -> None:
        self._request = Request()
        self._is_unanswered = False
        """Whether the latest request has not become a response."""
        self._has_spoken = False
        """Whether audio of the present response came."""
        self._has_called = False
        """Whether it called a function: what the function returns will be spoken of in any case."""

    def ask(self, request: Request) -> None:
        """A response is asked for."""
        self._request = request
        self._is_unanswered = True

    def begin(self) -> None:
        """A response begins."""
        self._is_unanswered = self._has_spoken = self._has_called = False

    def speak(self) -> None:
        """Audio of it comes."""
        self._has_spoken = True

    def call(self) -> None:
        """It calls a function."""
        self._has_called = True

    def cancel(self) -> None:
        """Nothing is wanted any more."""
        self._is_unanswered = False

    def owed(self, *, is_live: bool) -> Request | None:
        """Return what is to be asked of the successor.

        :param is_live: whether a response of the session speaks, or will.
        """
        if self._is_unanswered:
            return self._request
        if not is_live or self._has_called:
            return None
        return Request(CONTINUE) if self._has_spoken else self._request
