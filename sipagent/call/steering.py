"""What a program's commands came to: facts in the past tense, as those of :mod:`sipagent.call.facts`."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A command made the agent fall silent."""

    discarded_ms: int
    """Audio that was received and will not be played."""


@dataclass(frozen=True, slots=True)
class Halted:
    """A command made the agent wait in mid-word, or go on."""

    is_halted: bool


@dataclass(frozen=True, slots=True)
class Muted:
    """By a command: whom the other side does not hear."""

    caller: bool
    agent: bool


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """What is said is recorded from now on."""


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """Nothing is recorded any more."""


Steered: TypeAlias = Interrupted | Halted | Muted | RecordingStarted | RecordingStopped
