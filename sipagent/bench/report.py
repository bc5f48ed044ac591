"""The tables that the bench prints."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from sipagent.bench.bars import MAX_CPU_US, MAX_DEVIATION_P99_MS
from sipagent.bench.figures import Measurement
from sipagent.bench.page import number, pair
from sipagent.bench.steps import Step
from sipagent.bench.tail import Tail
from sipagent.bench.verdict import Judgement

TITLES = {"server": "the model judges turns", "local": "turns are judged here"}

Row = tuple[str, Callable[[Measurement], str]]


def _tail(tail: Tail | None) -> str:
    return "–" if tail is None else f"{tail.p50_ms:.2f} · {tail.p95_ms:.2f} · {tail.p99_ms:.2f} ms"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "–" if value is None else f"{value:{form}}{unit}"


ROWS: tuple[Row, ...] = (
    (
        f"CPU a call-second, up to {MAX_CPU_US:,.0f}",
        lambda load: f"[bold]{_number(load.cpu_us, ',.0f', ' µs')}[/bold]",
    ),
    ("  in the kernel", lambda load: _number(load.system_share, ".0%")),
    ("  preempted a second", lambda load: _number(load.preemptions_per_s, ".0f", " times")),
    ("memory a call", lambda load: _number(_kilobytes(load.memory_per_call_bytes), ",.0f", " kB")),
    ("a second: packets in · out", lambda load: f"{load.rates.packets_in:.2f} · {load.rates.packets_out:.2f}"),
    (
        "  appends up · deltas down",
        lambda load: f"{_number(load.rates.appends, '.2f')} · {_number(load.rates.deltas, '.2f')}",
    ),
    ("packets lost · late · frames filled", lambda load: f"{load.lost} · {load.late} · {_number(load.filled, 'd')}"),
    (
        f"off the 20 ms grid p99, up to {MAX_DEVIATION_P99_MS:g}",
        lambda load: f"[bold]{load.deviation.p99_ms:.2f} ms[/bold]",
    ),
    (
        "  p50 · p99.9 · max",
        lambda load: f"{load.deviation.p50_ms:.2f} · {load.deviation.p999_ms:.2f} · {load.deviation.max_ms:.1f} ms",
    ),
    ("  shift of the grid", lambda load: f"{load.shift_ms:.1f} ms"),
    ("p50 · p95 · p99: INVITE to 200 OK", lambda load: _tail(load.answer)),
    ("  caller's packet to the model", lambda load: _tail(load.packet_to_message)),
    ("  first delta to its packet", lambda load: _tail(load.delta_to_packet)),
    ("  onset to the agent's last packet", lambda load: _tail(load.onset_to_stop)),
    ("  the callers behind their own beat", lambda load: _tail(load.others.late)),
    ("spoken through", lambda load: f"{load.unstopped} of {load.unstopped + _count(load.onset_to_stop)}"),
    ("CPU of callers · model", lambda load: f"{load.others.generator_us:,.0f} · {load.others.model_us:,.0f} µs"),
    ("  of their processors", lambda load: f"{load.others.share:.0%}"),
)


COLUMNS: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("\ncalls", number("calls")),
    ("CPU\n%", number("cpu_percent", ".3f")),
    ("×\nlimit", number("ratio_to_limit", ".2f")),
    ("setup\np95", number("setup_p95_ms", ".1f")),
    ("grid\np99", number("deviation_p99_ms", ".2f")),
    ("grid\np99.9", number("deviation_p999_ms", ".2f")),
    ("lost\nlate", pair("lost", "late", ".0f")),
    ("up\np99", number("uplink_p99_ms", ".2f")),
    ("reply\np50", number("reply_p50_ms")),
    ("stop\np95", number("stop_p95_ms", ".0f")),
    ("memory\nkB", number("memory_kb")),
    ("\nclean", lambda row: "yes" if row["is_clean"] else "no"),
)
"""Of a step; times are milliseconds. The page has some more."""


TABLE_WIDTH = 96
"""Where the terminal is narrower, lines wrap rather than figures get lost."""


def _count(tail: Tail | None) -> int:
    return 0 if tail is None else tail.count


def _kilobytes(count: float | None) -> float | None:
    return None if count is None else count / 1000


def print_loads(loads: Sequence[Measurement], limit_us: float, *, console: Console) -> None:
    """Print loads side by side, and the limit below."""
    plan = loads[0].plan
    stalls = ", the control side held up for 200 ms each second" if plan.stalls else ""
    table = Table(title=f"{plan.calls} calls for {plan.seconds:g} s{stalls}", title_justify="left")
    table.add_column("")
    for load in loads:
        seconds = "" if load.plan.seconds == plan.seconds else f"\n({load.plan.seconds:.3g} s)"
        table.add_column(TITLES[load.plan.detection] + seconds)
    for name, show in ROWS:
        table.add_row(name, *(show(load) for load in loads))
    table.add_section()
    table.add_row("the kernel alone for as much", *(f"{limit_us:,.0f} µs" for _ in loads))
    table.add_row("CPU as a multiple of that", *(_number(_over(load.cpu_us, limit_us), ".2f") for load in loads))
    console.print(table)


def _over(value: float | None, divisor: float) -> float | None:
    return None if value is None or not divisor else value / divisor


def print_step(title: str, step: Step, *, console: Console) -> None:
    """Print a step as it is measured, in a line."""
    figures = step.figures
    parts = [f"{step.calls} calls"]
    if figures.get("cpu_percent") is not None:
        parts.append(f"{figures['cpu_percent']:.3f} % of a core each")
    if figures.get("deviation_p99_ms") is not None:
        parts.append(f"deviation p99 {figures['deviation_p99_ms']:.2f} ms")
    if figures.get("uplink_p99_ms") is not None:
        parts.append(f"uplink p99 {figures['uplink_p99_ms']:.2f} ms")
    flaws = "clean" if step.is_clean else f"[yellow]not clean: {'; '.join(step.flaws[:2])}[/yellow]"
    console.print(f"{title}: {', '.join(parts)}, {flaws}", highlight=False)


def print_capacity(load: Mapping[str, Any], *, console: Console) -> None:
    """Print a ramp."""
    more = " or more" if load["knee_is_open"] else ""
    knee = f"{load['knee']}{more} clean calls" if load["knee"] else "no clean step"
    table = Table(title=f"{load['title']}: {knee}", title_justify="left", box=SIMPLE, padding=(0, 0, 0, 1))
    columns = [(name, show) for name, show in COLUMNS if any(show(step) != "–" for step in load["steps"])]
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for step in load["steps"]:
        table.add_row(*(show(step) for _, show in columns), style=None if step["is_clean"] else "yellow")
    console.print(table, width=max(console.width, TABLE_WIDTH), crop=False)


def print_judgements(judgements: Iterable[Judgement], *, console: Console) -> None:
    """Print the bars."""
    marks = {True: "[green]met[/green]", False: "[bold red]missed[/bold red]", None: "[dim]–[/dim]"}
    for judgement in judgements:
        console.print(f"{marks[judgement.is_met]} {judgement}", highlight=False)
