"""A line of a report: what was measured, what it has to be, and whether it is."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias

Sense: TypeAlias = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report."""

    part: str
    name: str
    value: float
    unit: str = ""
    bar: float | None = None
    """``None`` where nothing is asked."""
    sense: Sense = "at most"
    note: str = ""

    @property
    def is_missed(self) -> bool:
        """Whether it is not good enough; what could not be measured never is."""
        if self.bar is None:
            return False
        is_met = self.value >= self.bar if self.sense == "at least" else self.value <= self.bar
        return not (isfinite(self.value) and is_met)

    def __str__(self) -> str:
        wanted = "" if self.bar is None else f", {self.sense} {self.bar:g} wanted"
        return f"{self.part}: {self.name}: {self.value:.4g} {self.unit}".rstrip() + wanted
