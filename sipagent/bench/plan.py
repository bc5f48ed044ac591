"""The plan of a load: how many calls, for how long, who judges the callers' turns, and how else the program is set."""

import os
from collections.abc import Set
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Detection: TypeAlias = Literal["server", "local"]
"""``server``: every packet goes up to the model, 50 messages a second and call, the most work there is. ``local``: only
the caller's turns do."""

Detector: TypeAlias = Literal["auto", "energy", "silero", "fused"]
"""By what the program tells speech: ``vad`` of an agent's ``turn``."""

HOST = "127.0.0.1"
PACKETS_PER_S = 50
PRIORITY = 10
"""Real-time, where it is asked for."""
MAX_CALLS = 2000
"""More than one process takes."""
SETTLE_S = 3.0
"""Between the last answer and the first measured second."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One load."""

    calls: int = 50
    seconds: float = 60.0
    detection: Detection = "server"
    is_realtime: bool = False
    """Whether the program has its processor before all others, as on a machine of its own."""
    stalls: bool = False
    """Whether its control side is held up meanwhile; the CPU then says nothing of calls."""
    vad: Detector = "auto"
    tls: bool = False
    """Whether its connections to the model are encrypted."""
    workers: int | None = None
    """Its setting of that name; ``None``: as it is by itself."""
    dial_per_s: float = 50.0
    """How quickly the calls begin."""

    @property
    def title(self) -> str:
        """In a word or three."""
        words = ["TLS" if self.tls else "plain", self.vad]
        if self.workers is not None:
            words.append(f"{self.workers} workers")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Processors:
    """The program has its own; callers and model share the rest."""

    program: Set[int]
    others: Set[int]
    priority: int | None = None
    """Of the program, before everything but the kernel's own, on a busy machine; the others come right behind it."""

    @property
    def are_shared(self) -> bool:
        """Whether there was nothing to divide."""
        return not self.program.isdisjoint(self.others)


def share_processors(wanted: int = 1, *, is_realtime: bool = False) -> Processors:
    """Divide what this machine gives us; with a single one there is nothing to divide.

    :param wanted: for the program; at least one is left for the others.
    """
    processors = divide(sorted(os.sched_getaffinity(0)), wanted)
    return replace(processors, priority=PRIORITY if is_realtime else None)


def divide(available: list[int], wanted: int) -> Processors:
    """Divide some processors."""
    count = max(1, min(wanted, len(available) - 1))
    return Processors(frozenset(available[:count]), frozenset(available[count:] or available))
