"""The plan of a load: how many calls, for how long, and who judges the caller's turns."""

import os
from collections.abc import Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

Detection: TypeAlias = Literal["server", "local"]
"""``server``: every packet goes up to the model, 50 messages a second and call, the most work there is. ``local``: only
the caller's turns do."""

HOST = "127.0.0.1"
PACKETS_PER_S = 50
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


QUICK = Plan(calls=10, seconds=10.0)
"""A look rather than a measurement."""


@dataclass(frozen=True, slots=True)
class Processors:
    """The program has one to itself; callers and model share the rest."""

    program: Set[int]
    others: Set[int]


def share_processors() -> Processors:
    """Divide what this machine gives us; with a single one there is nothing to divide."""
    first, *rest = sorted(os.sched_getaffinity(0))
    return Processors(frozenset((first,)), frozenset(rest or (first,)))
