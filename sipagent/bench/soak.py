"""The soak: so many calls at all times, each of a minute or so, for long; what the program holds must not grow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

import numpy as np
from rich.console import Console

from sipagent.bench.bars import (
    SOAK_JUDGED_MINUTES,
    SOAK_MAX_COUNT_GROWTH_MINUTE,
    SOAK_MAX_LATE_GROWTH,
    SOAK_MAX_MEMORY_GROWTH_KB_MINUTE,
    SOAK_WARM_UP_S,
)
from sipagent.bench.figures import Measurement
from sipagent.bench.plan import SETTLE_S, Plan
from sipagent.bench.process import Usage
from sipagent.bench.program import Program
from sipagent.bench.rig import Progress, Rig
from sipagent.bench.stage import open_stage
from sipagent.errors import SipagentError

LOOK_S = 30.0
"""Between two looks; each is a measurement."""
LOOKS = 4
"""The fewest of which a trend can be told."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A look."""

    minute: float
    """Since as many calls ended as began."""
    memory_mb: float
    descriptors: int
    ports: int
    threads: int
    tasks: float | None
    """As the program's metrics tell; ``None`` when they don't."""
    active_calls: float | None
    cpu_percent: float | None
    late_share: float
    lost: int
    deviation_p99_ms: float
    setup_p95_ms: float | None
    ended: int
    """Calls that ended early, or never stood."""


@dataclass(frozen=True, slots=True)
class Trend:
    """The straight line through the looks."""

    what: str
    slope: float
    """A minute."""
    most: float
    unit: str

    @property
    def is_flat(self) -> bool:
        """Whether it does not grow."""
        return self.slope <= self.most


@dataclass(frozen=True, slots=True)
class Soak:
    """What was found."""

    calls: int
    call_s: float
    minutes: float
    samples: tuple[Sample, ...]
    left: Usage
    """What the program held when all calls were gone, beyond what it held before the first."""

    @property
    def trends(self) -> tuple[Trend, ...]:
        """What must not grow; memory takes minutes to tell."""
        trends = find_trends(self.samples)
        return trends if self.minutes >= SOAK_JUDGED_MINUTES else trends[1:]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What falls short."""
        sentences = [
            f"{trend.what} grows by {trend.slope:.3g} {trend.unit} a minute"
            for trend in self.trends
            if not trend.is_flat
        ]
        if self.left.ports:
            sentences.append(f"{self.left.ports} ports were still open when all calls had ended")
        ended = sum(sample.ended for sample in self.samples)
        if ended:
            sentences.append(f"{ended} calls ended early, or never stood")
        return tuple(sentences)

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        return {
            "ok": not self.sentences,
            "sentences": self.sentences,
            "calls": self.calls,
            "call_s": self.call_s,
            "minutes": self.minutes,
            "samples": [asdict(sample) for sample in self.samples],
            "trends": [{**asdict(trend), "is_flat": trend.is_flat} for trend in self.trends],
            "left": asdict(self.left),
        }


def find_trends(samples: Sequence[Sample]) -> tuple[Trend, ...]:
    """Lay a straight line through what must not grow."""
    minutes = [sample.minute for sample in samples]
    return (
        Trend("memory", 1000 * slope(minutes, [sample.memory_mb for sample in samples]),
              SOAK_MAX_MEMORY_GROWTH_KB_MINUTE, "kB"),
        Trend("descriptors", slope(minutes, [sample.descriptors for sample in samples]),
              SOAK_MAX_COUNT_GROWTH_MINUTE, ""),
        Trend("UDP ports", slope(minutes, [sample.ports for sample in samples]), SOAK_MAX_COUNT_GROWTH_MINUTE, ""),
        Trend("late packets", slope(minutes, [sample.late_share for sample in samples]),
              SOAK_MAX_LATE_GROWTH, "of all"),
    )  # fmt: skip


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return by how much values grow with each unit of ``at``, by the line with the least squares."""
    if len(at) < 2:
        return 0.0
    return round(float(np.polyfit(np.asarray(at), np.asarray(values, np.float64), 1)[0]), 9)


def measure_soak(plan: Plan, *, call_s: float, minutes: float, console: Console) -> Soak:
    """Measure, and print; the looks begin when as many calls end as begin.

    :raises SipagentError: when it can't be measured.
    """
    if minutes * 60 < LOOKS * 2:
        raise SipagentError(f"a soak shorter than {LOOKS * 2} s shows no trend")
    look_s = min(LOOK_S, minutes * 60 / LOOKS)
    with open_stage(console, plan) as (kit, show):
        line = show(f"{plan.calls} calls at all times")
        with Rig(plan, kit, progress=_nothing) as rig:
            before = rig.subject.usage(with_descriptors=True)
            rig.churn(plan.calls / call_s, call_s)
            line("until as many end as begin", 0.0)
            rig.settle(call_s + (SOAK_WARM_UP_S if minutes >= SOAK_JUDGED_MINUTES else SETTLE_S))
            samples = _look(rig, minutes, look_s, line)
            rig.resize(0)
            rig.settle()
            after = rig.subject.usage(with_descriptors=True)
    if before is None or after is None:
        raise SipagentError("a soak needs a process to look at")
    soak = Soak(plan.calls, call_s, minutes, tuple(samples), _difference(before, after))
    print_soak(soak, console=console)
    return soak


def _look(rig: Rig, minutes: float, look_s: float, line: Progress) -> list[Sample]:
    samples: list[Sample] = []
    began_at = monotonic()
    while (passed_s := monotonic() - began_at) < minutes * 60:
        line("looking", passed_s / (minutes * 60))
        found = rig.measure(look_s, is_steady=False)
        samples.append(_sample(rig, found, minute=(passed_s + look_s) / 60))
    return samples


def _sample(rig: Rig, found: Measurement, *, minute: float) -> Sample:
    usage = rig.subject.usage(with_descriptors=True)
    if usage is None:
        raise SipagentError("a soak needs a process to look at")
    counters = rig.subject.counters() if isinstance(rig.subject, Program) else {}
    return Sample(
        minute=minute,
        memory_mb=usage.resident_bytes / 1e6,
        descriptors=usage.descriptors,
        ports=usage.ports,
        threads=usage.threads,
        tasks=next((value for name, value in counters.items() if "tasks" in name), None),
        active_calls=counters.get("sipagent_active_calls"),
        cpu_percent=None if found.cpu_us is None else found.cpu_us / 10_000,
        late_share=found.late / found.packets if found.packets else 0.0,
        lost=found.lost,
        deviation_p99_ms=found.deviation.p99_ms,
        setup_p95_ms=found.answer.p95_ms if found.answer else None,
        ended=len(found.ended),
    )


def _difference(before: Usage, after: Usage) -> Usage:
    return Usage(
        user_s=after.user_s - before.user_s,
        system_s=after.system_s - before.system_s,
        resident_bytes=after.resident_bytes - before.resident_bytes,
        preemptions=after.preemptions - before.preemptions,
        descriptors=after.descriptors - before.descriptors,
        ports=after.ports - before.ports,
        threads=after.threads - before.threads,
    )


def print_soak(soak: Soak, *, console: Console) -> None:
    """Print the looks, and what came of them."""
    for sample in soak.samples:
        console.print(
            f"{sample.minute:5.1f} min: {sample.memory_mb:.1f} MB, {sample.descriptors} descriptors, "
            f"{sample.ports} ports, {sample.threads} threads, {sample.late_share:.4%} late, {sample.lost} lost, "
            f"deviation p99 {sample.deviation_p99_ms:.2f} ms",
            highlight=False,
        )
    for trend in soak.trends:
        mark = "[green]flat[/green]" if trend.is_flat else "[bold red]grows[/bold red]"
        console.print(f"{trend.what}: {trend.slope:+.2g} {trend.unit} a minute, {mark}", highlight=False)
    for sentence in soak.sentences:
        console.print(f"[bold red]short:[/bold red] {sentence}", highlight=False)


def _nothing(what: str, share: float) -> None:
    """The looks have a line of their own."""
