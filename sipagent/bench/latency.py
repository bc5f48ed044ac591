"""A few calls, finely measured: one load whose turns the model judges, one whose turns are judged here, the limit."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sipagent.bench.figures import Measurement
from sipagent.bench.load import run_in
from sipagent.bench.plan import MAX_CALLS, Plan
from sipagent.bench.ramp import Limits
from sipagent.bench.records import FOLDER
from sipagent.bench.report import TITLES, print_loads
from sipagent.bench.stage import open_stage
from sipagent.errors import SipagentError

USUAL = Plan(calls=10, seconds=30.0)
QUICK = Plan(calls=5, seconds=5.0)
"""A look rather than a measurement."""
SECOND_SHARE = 1 / 3
"""The second load takes less time: it does less, and is no limit's measure."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What was found."""

    loads: tuple[Measurement, ...]
    limit_us: float
    limit_in: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """Why the figures say nothing, and what is not good enough."""
        return tuple(f"{load.plan.detection}: {sentence}" for load in self.loads for sentence in _sentences(load))

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        return {
            "ok": not self.sentences,
            "sentences": self.sentences,
            "limit_us": self.limit_us,
            "limit_in": self.limit_in,
            "loads": [asdict(load) for load in self.loads],
        }


def measure_latency(plan: Plan, *, console: Console, config_out: Path | None = None) -> Latency:
    """Measure, and print.

    :param config_out: where the settings of the first load are kept.
    :raises SipagentError: when it can't be measured.
    """
    if not 1 <= plan.calls <= MAX_CALLS or plan.seconds < 1:
        raise SipagentError(f"the bench measures 1 to {MAX_CALLS} calls for at least 1 s")
    loads: list[Measurement] = []
    second = replace(plan, detection="local", seconds=max(1.0, plan.seconds * SECOND_SHARE))
    with open_stage(console, plan) as (kit, show):
        limits = Limits(kit)
        for each in (plan, second):
            line = show(f"{each.calls} calls, {TITLES[each.detection]}")
            limits.measure([plan.calls], line)
            loads.append(run_in(kit, each, progress=line))
        limits.measure([plan.calls], show("at last"))
    if config_out is not None:
        config_out.write_text((FOLDER / f"bench-{plan.detection}.yaml").read_text())
    limit = limits.of(plan.calls)
    found = Latency(tuple(loads), limit.us if limit else 0.0, "C" if kit.tools.limit else "Python, of one call")
    print_loads(found.loads, found.limit_us, console=console)
    for sentence in found.sentences:
        console.print(f"[bold red]wrong:[/bold red] {sentence}", highlight=False)
    return found


def _sentences(load: Measurement) -> Iterator[str]:
    yield from load.faults()
    yield from load.excesses()
