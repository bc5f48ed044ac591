"""What a process has counted, in a form in which it adds up with what others have."""

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
