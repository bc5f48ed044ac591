"""What a process has counted, in a form in which it adds up with what others have."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

Figure: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]
"""The names of a metric and of a sample of it, and the labels of the sample."""


class Figures(NamedTuple):
    """One process's, or the sum of some."""

    counts: Mapping[Figure, float]
    """What only grows, and is still true when the process is gone."""
    states: Mapping[Figure, float]
    """What is so now."""


class Tally:
    """The sum over all processes there are and were."""

    def __init__(self) -> None:
        self._present: dict[int, Figures] = {}
        self._past: Counter[Figure] = Counter()

    def update(self, process: int, figures: Figures) -> None:
        """Take what a process has counted since its beginning."""
        self._present[process] = figures

    def lose(self, process: int) -> None:
        """It is gone; what it counted last is not forgotten."""
        if process in self._present:
            self._past.update(self._present.pop(process).counts)

    def sum(self) -> Figures:
        """Return all of it."""
        counts, states = self._past.copy(), Counter[Figure]()
        for figures in self._present.values():
            counts.update(figures.counts)
            states.update(figures.states)
        return Figures(counts, states)
