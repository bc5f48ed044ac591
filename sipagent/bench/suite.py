"""The bench: a load whose turns the model judges, one whose turns are judged here, the limit, and the verdict."""

import json
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sipagent.bench.figures import MAX_CPU_US, MAX_DEVIATION_P99_MS, Measurement
from sipagent.bench.limit import measure_limit
from sipagent.bench.load import run_load
from sipagent.bench.plan import MAX_CALLS, Plan, Processors, share_processors
from sipagent.bench.report import TITLES, print_report
from sipagent.errors import SipagentError

FOLDER = Path("build")
LIMIT_S = 2.0
"""Before, between and after the loads: other work on the machine comes and goes."""
SECOND_SHARE = 1 / 3
"""The second load takes less time: it does less, and is no limit's measure."""


@dataclass(frozen=True, slots=True)
class Result:
    """What the bench found."""

    loads: tuple[Measurement, ...]
    limit_us: float

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the figures say nothing."""
        return tuple(f"{load.plan.detection}: {fault}" for load in self.loads for fault in load.faults())

    @property
    def excesses(self) -> tuple[str, ...]:
        """What is not good enough."""
        return tuple(f"{load.plan.detection}: {excess}" for load in self.loads for excess in load.excesses())

    def as_data(self) -> dict[str, object]:
        """For a file."""
        return {
            "ok": not self.faults and not self.excesses,
            "faults": self.faults,
            "excesses": self.excesses,
            "limits": {"cpu_us": MAX_CPU_US, "deviation_p99_ms": MAX_DEVIATION_P99_MS},
            "limit_us": self.limit_us,
            "loads": [asdict(load) | {"ratio_to_limit": load.cpu_us / self.limit_us} for load in self.loads],
            "machine": {
                "python": platform.python_version(),
                "system": platform.platform(),
                "processors": os.cpu_count(),
            },
        }


def run_bench(plan: Plan, *, console: Console, config_out: Path | None = None) -> bool:
    """Measure, print, and write ``build/bench.json``; return whether the figures are valid and within their limits.

    :param config_out: where the settings of the first load are kept.
    :raises SipagentError: when it can't be measured.
    """
    if sys.platform != "linux":
        raise SipagentError("the bench reads /proc and the kernel's time stamps, so it needs Linux")
    if not 1 <= plan.calls <= MAX_CALLS or plan.seconds < 1:
        raise SipagentError(f"the bench measures 1 to {MAX_CALLS} calls for at least 1 s")
    FOLDER.mkdir(exist_ok=True)
    with _interruptible():
        result = _run(plan, console)
    if config_out is not None:
        config_out.write_text((FOLDER / f"bench-{plan.detection}.yaml").read_text())
    (FOLDER / "bench.json").write_text(json.dumps(result.as_data(), indent=1))
    print_report(result.loads, result.limit_us, console=console)
    for sentence in (*result.faults, *result.excesses):
        console.print(f"[bold red]wrong:[/bold red] {sentence}")
    console.print(f"[dim]Figures: {FOLDER / 'bench.json'} · the program's logs: {FOLDER / 'bench-*.log'}[/dim]")
    return not result.faults and not result.excesses


def _run(plan: Plan, console: Console) -> Result:
    processors = share_processors()
    loads: list[Measurement] = []
    limits: list[float] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        second = replace(plan, detection="local", seconds=max(1.0, plan.seconds * SECOND_SHARE))
        for each in (plan, second):
            show = partial(_show, bar, bar.add_task("", total=1.0), f"{each.calls} calls, {TITLES[each.detection]}")
            limits.append(_limit(processors))
            loads.append(run_load(each, processors=processors, folder=FOLDER, progress=show))
        limits.append(_limit(processors))
    return Result(tuple(loads), fmean(limits))


def _limit(processors: Processors) -> float:
    """Measure the limit on the processor that is the program's."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors.program)
    try:
        return measure_limit(LIMIT_S)
    finally:
        os.sched_setaffinity(0, usual)


def _show(bar: Progress, row: TaskID, title: str, what: str, share: float) -> None:
    bar.update(row, description=f"{title}: {what}", completed=share)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl-C does, so that every process started is ended."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
