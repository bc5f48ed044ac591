"""The table that the bench prints."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from sipagent.bench.figures import MAX_CPU_US, MAX_DEVIATION_P99_MS, Measurement
from sipagent.notebook import Spread

TITLES = {"server": "the model judges turns", "local": "turns are judged here"}

Row = tuple[str, Callable[[Measurement], str]]


def _spread(spread: Spread | None) -> str:
    return "–" if spread is None else f"{spread.p50_ms:.1f} · {spread.p95_ms:.1f} ms"


ROWS: tuple[Row, ...] = (
    (f"CPU a call-second, up to {MAX_CPU_US:,.0f}", lambda load: f"[bold]{load.cpu_us:,.0f} µs[/bold]"),
    ("  in the kernel", lambda load: f"{load.system_share:.0%}"),
    ("  preempted a second", lambda load: f"{load.preemptions_per_s:.0f} times"),
    ("memory a call", lambda load: f"{load.memory_per_call_bytes / 1000:,.0f} kB"),
    ("a second: packets in · out", lambda load: f"{load.rates.packets_in:.2f} · {load.rates.packets_out:.2f}"),
    ("  appends up · deltas down", lambda load: f"{load.rates.appends:.2f} · {load.rates.deltas:.2f}"),
    ("packets lost · frames filled", lambda load: f"{load.lost} · {load.filled}"),
    (
        f"off the 20 ms grid p99, up to {MAX_DEVIATION_P99_MS:g}",
        lambda load: f"[bold]{load.deviation.p99_ms:.2f} ms[/bold]",
    ),
    (
        "  p50 · p99.9 · max",
        lambda load: f"{load.deviation.p50_ms:.2f} · {load.deviation.p999_ms:.2f} · {load.deviation.max_ms:.1f} ms",
    ),
    ("  shift of the grid", lambda load: f"{load.shift_ms:.1f} ms"),
    ("p50 · p95: INVITE to 200 OK", lambda load: _spread(load.answer)),
    ("  caller's packet to the model", lambda load: _spread(load.packet_to_message)),
    ("  first delta to its packet", lambda load: _spread(load.delta_to_packet)),
    ("  onset to the agent's last packet", lambda load: _spread(load.onset_to_stop)),
    ("  the callers behind their own beat", lambda load: _spread(load.generator_late)),
    ("spoken through", lambda load: f"{load.unstopped} of {load.unstopped + _count(load.onset_to_stop)}"),
)


def _count(spread: Spread | None) -> int:
    return 0 if spread is None else spread.count


def print_report(loads: Sequence[Measurement], limit_us: float, *, console: Console) -> None:
    """Print the loads side by side, and the limit below."""
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
    table.add_row("CPU as a multiple of that", *(f"{load.cpu_us / limit_us:.2f}" for load in loads))
    console.print(table)
