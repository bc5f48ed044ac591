"""The search for the knee: which number of calls is tried next, and what came of it. No measuring here.

It climbs until a step is not clean twice running, since a machine has other things to do as well, and then halves what
lies between that step and the last clean one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TRIES: Final = 2
"""So often a step may fail to be clean before it counts."""
PRECISION: Final = 0.05
"""Of the number of calls; nearer than that it is not looked for."""
ROUND: Final = 10
"""Numbers of calls in between are multiples of this."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A step that was measured."""

    calls: int
    is_clean: bool


def next_calls(tried: Sequence[Tried], *, steps: Sequence[int], refines: bool = True, tries: int = TRIES) -> int | None:
    """Choose what to try next; ``None`` when there is nothing left to find out.

    :param steps: in ascending order.
    :param refines: whether the knee is looked for between two steps.
    """
    doubtful = sorted(calls for calls, times in _unclean(tried).items() if times < tries)
    if doubtful:
        return doubtful[0]
    bad = _first_unclean(tried, tries)
    good = find_knee(tried, tries=tries)
    if bad is None:
        return next((calls for calls in steps if calls > good), None)
    if not refines or good < steps[0] or bad - good <= max(ROUND, PRECISION * bad):
        return None
    middle = (good + bad) // 2 // ROUND * ROUND
    return middle if good < middle < bad else None


def find_knee(tried: Sequence[Tried], *, tries: int = TRIES) -> int:
    """Return the last number of calls that was clean, below all that were not; 0 when there is none."""
    bad = _first_unclean(tried, tries)
    return max((step.calls for step in tried if step.is_clean and (bad is None or step.calls < bad)), default=0)


def is_open(tried: Sequence[Tried], *, tries: int = TRIES) -> bool:
    """Whether no step was too much, so that the knee lies further up."""
    return _first_unclean(tried, tries) is None


def _first_unclean(tried: Sequence[Tried], tries: int) -> int | None:
    return min((calls for calls, times in _unclean(tried).items() if times >= tries), default=None)


def _unclean(tried: Sequence[Tried]) -> dict[int, int]:
    """How often each step failed that was never clean."""
    clean = {step.calls for step in tried if step.is_clean}
    times: dict[int, int] = {}
    for step in tried:
        if step.calls not in clean:
            times[step.calls] = times.get(step.calls, 0) + 1
    return times
