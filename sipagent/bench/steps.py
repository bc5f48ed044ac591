"""A step of a ramp as a row of figures, and several runs of it as one row of medians."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from sipagent.bench.figures import Measurement
from sipagent.bench.limit import Limit
from sipagent.bench.tail import Tail

Value = float | None


def _of(tail: Tail | None, name: str) -> Value:
    return None if tail is None else float(getattr(tail, name))


def _per(value: Value, divisor: float) -> Value:
    return None if value is None else value / divisor


def _reply(found: Measurement, name: str) -> Value:
    """Our model answers when it pleases, so only another's bridge is judged by it."""
    return _of(found.reply, name) if found.packet_to_message is None else None


FIGURES: Final[Mapping[str, Callable[[Measurement], Value]]] = {
    "cpu_us": lambda found: found.cpu_us,
    "cpu_percent": lambda found: _per(found.cpu_us, 10_000),
    "system_share": lambda found: found.system_share,
    "preemptions_per_s": lambda found: found.preemptions_per_s,
    "memory_kb": lambda found: _per(found.memory_per_call_bytes, 1000),
    "setup_p50_ms": lambda found: _of(found.answer, "p50_ms"),
    "setup_p95_ms": lambda found: _of(found.answer, "p95_ms"),
    "deviation_p50_ms": lambda found: found.deviation.p50_ms,
    "deviation_p99_ms": lambda found: found.deviation.p99_ms,
    "deviation_p999_ms": lambda found: found.deviation.p999_ms,
    "packets": lambda found: found.packets,
    "lost": lambda found: found.lost,
    "late": lambda found: found.late,
    "uplink_p50_ms": lambda found: _of(found.packet_to_message, "p50_ms"),
    "uplink_p99_ms": lambda found: _of(found.packet_to_message, "p99_ms"),
    "delta_p50_ms": lambda found: _of(found.delta_to_packet, "p50_ms"),
    "delta_p99_ms": lambda found: _of(found.delta_to_packet, "p99_ms"),
    "stop_p50_ms": lambda found: _of(found.onset_to_stop, "p50_ms"),
    "stop_p95_ms": lambda found: _of(found.onset_to_stop, "p95_ms"),
    "unstopped": lambda found: found.unstopped,
    "reply_p50_ms": lambda found: _reply(found, "p50_ms"),
    "reply_p95_ms": lambda found: _reply(found, "p95_ms"),
    "generator_us": lambda found: found.others.generator_us,
    "model_us": lambda found: found.others.model_us,
    "others_share": lambda found: found.others.share,
    "generator_late_p99_ms": lambda found: _of(found.others.late, "p99_ms"),
}
"""Every figure of a step, by its name in the report."""


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls, measured once, or several times and brought together."""

    calls: int
    is_clean: bool
    figures: Mapping[str, Value]
    flaws: tuple[str, ...] = ()
    """Why it is not clean."""
    doubts: tuple[str, ...] = ()
    """Why callers and model may be what was measured."""

    @classmethod
    def of(cls, found: Measurement) -> "Step":
        """Read a measurement."""
        flaws = tuple(found.flaws())
        figures = {name: read(found) for name, read in FIGURES.items()}
        return cls(found.plan.calls, not flaws, figures, flaws, tuple(found.doubts()))

    @classmethod
    def failed(cls, calls: int, reason: str) -> "Step":
        """What could not be measured, because the program ended or did not answer."""
        return cls(calls, False, dict.fromkeys(FIGURES), (reason,))

    def with_limit(self, limit: Limit | None) -> "Step":
        """The same, compared with the limit at as many calls."""
        us = self.figures.get("cpu_us")
        ratio = None if limit is None or us is None else us / limit.us
        spread = None if limit is None or ratio is None else ratio * limit.spread_us / limit.us
        more: dict[str, Value] = {
            "limit_us": None if limit is None else limit.us,
            "ratio_to_limit": ratio,
            "ratio_spread": spread,
        }
        return Step(self.calls, self.is_clean, {**self.figures, **more}, self.flaws, self.doubts)

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        return {
            "calls": self.calls,
            "is_clean": self.is_clean,
            "flaws": list(self.flaws),
            "doubts": list(self.doubts),
            **self.figures,
        }


def bring_together(runs: Iterable[Sequence[Step]]) -> list[Step]:
    """Make one row of the steps of each number of calls, by the medians; clean is what was clean more often than not.

    What was measured anew in a run, because it was not clean, counts there with its last time.
    """
    by_calls: dict[int, list[Step]] = {}
    for run in runs:
        for calls, step in {step.calls: step for step in run}.items():
            by_calls.setdefault(calls, []).append(step)
    return [_middle(by_calls[calls]) for calls in sorted(by_calls)]


def _middle(steps: Sequence[Step]) -> Step:
    figures = {name: _median(step.figures.get(name) for step in steps) for name in steps[0].figures}
    is_clean = 2 * sum(step.is_clean for step in steps) > len(steps)
    flaws = () if is_clean else tuple(dict.fromkeys(flaw for step in steps for flaw in step.flaws))
    doubts = tuple(dict.fromkeys(doubt for step in steps for doubt in step.doubts))
    return Step(steps[0].calls, is_clean, figures, flaws, doubts)


def _median(values: Iterable[Value]) -> Value:
    known = [value for value in values if value is not None]
    return median(known) if known else None
