"""The ramp: more and more calls, each step measured, until one is too much; and the same a few times over."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

from sipagent.bench.knee import Tried, find_knee, is_open, next_calls
from sipagent.bench.limit import Limit, measure_limit
from sipagent.bench.plan import Plan
from sipagent.bench.rig import Kit, Progress, Rig, Subject
from sipagent.bench.steps import Step, bring_together
from sipagent.errors import SipagentError

LIMIT_S = 1.5
"""Before, between and after the loads: other work on the machine comes and goes."""
LIMIT_TRIES = 3


@dataclass(frozen=True, slots=True)
class Ramp:
    """What is to be climbed."""

    plan: Plan
    """Its seconds are a step's."""
    steps: tuple[int, ...]
    refines: bool = True
    """Whether the knee is looked for between two steps."""


@dataclass(slots=True)
class Climbed:
    """A ramp and what came of it, run for run."""

    ramp: Ramp
    target: str | None = None
    """The bridge that was called, when it is not ours."""
    runs: list[list[Step]] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Of the load."""
        return self.target or self.ramp.plan.title

    @property
    def knees(self) -> list[int]:
        """The last clean number of calls of every run."""
        return [find_knee(_tried(run)) for run in self.runs]

    @property
    def knee(self) -> int:
        """Of most runs."""
        return median_low(self.knees) if self.runs else 0

    @property
    def is_open(self) -> bool:
        """Whether the knee lies further up than was climbed."""
        return any(is_open(_tried(run)) for run in self.runs)

    def steps(self, limits: "Limits") -> list[Step]:
        """Medians, compared with the limit."""
        return [step.with_limit(limits.of(step.calls)) for step in bring_together(self.runs)]

    def as_data(self, limits: "Limits") -> dict[str, Any]:
        """For a file."""
        plan = self.ramp.plan
        return {
            "title": self.title,
            "tls": plan.tls,
            "vad": plan.vad,
            "detection": plan.detection,
            "workers": plan.workers,
            "seconds": plan.seconds,
            "knee": self.knee,
            "knees": self.knees,
            "knee_is_open": self.is_open,
            "steps": [step.as_data() for step in self.steps(limits)],
            "runs": [[step.as_data() for step in run] for run in self.runs],
        }


class Limits:
    """The limit at every number of calls of a ramp, measured again and again."""

    def __init__(self, kit: Kit, *, seconds: float = LIMIT_S) -> None:
        self._kit = kit
        self._seconds = seconds
        self._measured: dict[int, list[float]] = {}

    def measure(self, calls: Sequence[int], progress: Progress) -> None:
        """Once more; where it was measured before, that is enough if it says nothing now: its ``count`` tells.

        :raises SipagentError: when it says nothing however often it is asked, and never did.
        """
        for done, number in enumerate(calls):
            progress("the limit", done / len(calls))
            try:
                us = self._measure_one(number)
            except SipagentError:
                if number not in self._measured:
                    raise
            else:
                self._measured.setdefault(number, []).append(us)

    def _measure_one(self, calls: int) -> float:
        """On a busy machine it may say nothing, and is asked again."""
        for _ in range(LIMIT_TRIES - 1):
            with suppress(SipagentError):
                return self._ask(calls)
        return self._ask(calls)

    def _ask(self, calls: int) -> float:
        kit = self._kit
        return measure_limit(calls, self._seconds, processors=kit.processors, program=kit.tools.limit)

    def of(self, calls: int) -> Limit | None:
        """At so many calls, or the nearest number of them."""
        if not self._measured:
            return None
        nearest = min(self._measured, key=lambda number: abs(number - calls))
        return Limit.of(self._measured[nearest])

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        limits = {calls: Limit.of(measured) for calls, measured in sorted(self._measured.items())}
        return {
            str(calls): {"us": limit.us, "spread_us": limit.spread_us, "count": limit.count}
            for calls, limit in limits.items()
        }


def climb(
    ramp: Ramp,
    kit: Kit,
    *,
    progress: Progress,
    foreign: Subject | None = None,
    shown: Callable[[Step], None],
) -> list[Step]:
    """Measure step after step.

    :param shown: is given each as it is measured.
    :raises SipagentError: when nothing can be measured; a program that fails under more calls than were clean before
        has had too many.
    """
    steps: list[Step] = []
    while (calls := _next(ramp, steps)) is not None:
        try:
            with Rig(replace(ramp.plan, calls=calls), kit, progress=progress, foreign=foreign) as rig:
                for step in _climb_on(rig, ramp, steps, calls):
                    shown(step)
        except SipagentError as error:
            failed_at = _next(ramp, steps)
            if failed_at is None or not any(step.is_clean for step in steps):
                raise
            steps.append(Step.failed(failed_at, str(error).splitlines()[0]))
            shown(steps[-1])
    return steps


def _climb_on(rig: Rig, ramp: Ramp, steps: list[Step], calls: int) -> Iterator[Step]:
    """Measure with one and the same program until it has had too much, or nothing higher is to be measured."""
    while True:
        rig.resize(calls)
        rig.settle()
        steps.append(Step.of(rig.measure(ramp.plan.seconds)))
        yield steps[-1]
        following = _next(ramp, steps)
        if following is None or not steps[-1].is_clean or following < calls:
            return
        calls = following


def _next(ramp: Ramp, steps: Sequence[Step]) -> int | None:
    return next_calls(_tried(steps), steps=ramp.steps, refines=ramp.refines)


def _tried(steps: Sequence[Step]) -> list[Tried]:
    return [Tried(step.calls, step.is_clean) for step in steps]
