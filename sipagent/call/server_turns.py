"""With ``hybrid`` detection: what it means that the server has found the end of a turn.

The server hears everything and says where turns end; whether one is answered is ours to say. A turn that was one by our
own ear is, unless its caller speaks on; one that we heard nothing of is, while the agent is silent; and what was heard
over the agent is answered only if it interrupts him. A server that finds no end is told it, after a while.
"""

from enum import Enum
from math import inf
from typing import Final

PATIENCE_S: Final = 1.0
"""How much later than it should the server may find the end of a turn, before we say that it is one."""
GOES_ON_S: Final = 0.2
"""Who spoke so short a time ago speaks still: as long as the pause between two words."""


class Commit(Enum):
    """What becomes of a turn that the server committed."""

    ANSWER = "answer"
    WAIT = "wait"
    """It is answered with what comes next."""
    ASIDE = "aside"
    """It was said over the agent; its words decide."""


class ServerTurns:
    """One call's.

    :param patience_s: how long after our own ear the server is to find the end of a turn.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._is_owed = False
        self.due_at = inf
        """When we are to say that the turn is over, if the server does not."""

    def began(self) -> None:
        """Take note that the caller has the floor, by our ear."""
        self._is_owed = True
        self.due_at = inf

    def stopped(self, *, now: float) -> None:
        """Take note that he is silent, by our ear."""
        if self._is_owed:
            self.due_at = now + self._patience_s

    def forget(self) -> None:
        """Take note that what the caller said is not to be answered."""
        self._is_owed = False
        self.due_at = inf

    def committed(self, *, silent_s: float, is_agent_heard: bool) -> Commit:
        """Say what becomes of the turn that the server found.

        :param silent_s: since when nothing is heard of the caller.
        :param is_agent_heard: whether the agent speaks, or is about to.
        """
        if self._is_owed and silent_s < GOES_ON_S:
            return Commit.WAIT
        if not self._is_owed and is_agent_heard:
            return Commit.ASIDE
        self.forget()
        return Commit.ANSWER

    def handle_timer(self, *, now: float) -> bool:
        """Say whether the server is to be told that the turn is over."""
        is_due = now >= self.due_at
        if is_due:
            self.due_at = inf
        return is_due
