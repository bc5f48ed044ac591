"""Facts of who takes a call: nobody, or another agent in the middle of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """A telephone calls, and a route of the line says that nobody takes the call."""

    caller: str
    called: str
    line: str
    status: int


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """Another agent goes on with the call."""

    before: str
    agent: str
    reason: str = ""
    """What the one before said that the caller wants."""


@dataclass(frozen=True, slots=True)
class AgentKept:
    """Another agent was to go on with the call, and does not."""

    agent: str
    """Who was to."""
    problem: str
