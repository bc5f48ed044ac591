"""The verdict: each bar beside what was measured, and whether it is met."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sipagent.bench.bars import BARS, Bar
from sipagent.bench.steps import Step


@dataclass(frozen=True, slots=True)
class Load:
    """What a ramp came to."""

    knee: int | None
    """``None`` when it was not looked for."""
    steps: Sequence[Step]

    def figure(self, bar: Bar) -> float | None:
        """What a bar is about; ``None`` when it was not measured."""
        if bar.figure == "knee":
            return self.knee
        step = next((step for step in self.steps if step.calls == bar.calls), None)
        return None if step is None else step.figures.get(bar.figure)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One bar."""

    bar: Bar
    value: float | None
    """``None`` when it was not measured."""

    @property
    def is_met(self) -> bool | None:
        """``None`` when that is not known."""
        return None if self.value is None else self.bar.is_met(self.value)

    def __str__(self) -> str:
        at = f" at {self.bar.calls} calls" if self.bar.calls else ""
        wanted = f"{self.bar.sense} {self.bar.value:g} {self.bar.unit}"
        found = "not measured" if self.value is None else f"{self.value:.3g}"
        return f"{self.bar.what}{at}: {found}, wanted {wanted}"

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        bar = self.bar
        return {
            "what": bar.what,
            "load": bar.load,
            "calls": bar.calls,
            "sense": bar.sense,
            "bar": bar.value,
            "unit": bar.unit,
            "value": self.value,
            "is_met": self.is_met,
        }


def judge(loads: Mapping[str, Load], bars: Iterable[Bar] = BARS) -> list[Judgement]:
    """Lay every bar beside its figure."""
    return [Judgement(bar, _value(loads, bar)) for bar in bars]


def shortcomings(
    loads: Mapping[str, Load], judgements: Iterable[Judgement], *, wants_all: bool, calls: int
) -> Iterator[str]:
    """Say what falls short.

    :param wants_all: whether what was not measured does.
    :param calls: at which a load has to be clean.
    """
    for judgement in judgements:
        if judgement.is_met is False or (judgement.is_met is None and wants_all):
            yield str(judgement)
    for title, load in loads.items():
        for step in load.steps:
            if step.calls == calls and not step.is_clean:
                yield f"{title}: {calls} calls are not clean: {'; '.join(step.flaws)}"


def _value(loads: Mapping[str, Load], bar: Bar) -> float | None:
    load, base = loads.get(bar.load), loads.get(bar.beyond or "")
    value = None if load is None else load.figure(bar)
    if bar.beyond is None or value is None:
        return value
    less = None if base is None else base.figure(bar)
    return None if less is None else value - less
