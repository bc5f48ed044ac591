"""How many calls a second the program takes: ``python tests/sipp/rate.py [--seconds 40]``.

SIPp calls over UDP, stays for a tenth of a second, and hangs up: INVITE, 200, ACK, BYE, with the model's session opened
and closed for each and RTP in between. A rate is sustained when not one of its calls failed and 95 of 100 were answered
within 50 ms. The rate is doubled until it is not, and then narrowed down. The model is a process of its own; what the
program itself costs of a core is measured, so that calls a second of a whole core can be told. The table is printed,
the figures go to ``build/sip_rate.json``.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for who starts this by hand
sys.path.insert(0, str(Path(__file__).parents[1]))

from load.sipp import HOST, play
from program import ROOT, Model, Server

SECONDS = 40.0
"""At each rate: longer than a transaction is remembered, so that what is remembered has stopped growing."""

P95_MAX_MS = 50.0
FIRST_RATE = 20
PRECISION = 1.1
"""Rates that differ by less are not told apart."""

CALL_MS = 100
ERRORS_SHOWN = 500
"""Characters of what SIPp says went wrong at a rate."""

SETTLE_S = 60.0
"""For the last call to end; far more than it takes."""

LINE = "{rate:>8} {calls:>7} {failed:>7} {p50_ms:>8.0f} {p95_ms:>8.0f} {core_percent:>7.0f} {verdict}"
TITLE = "calls/s    calls  failed   p50 ms   p95 ms  core %"


@dataclass(frozen=True, slots=True)
class Step:
    """A rate that was tried."""

    rate: int
    calls: int
    failed: int
    p50_ms: float
    p95_ms: float
    core_percent: float
    """Of one core, what the program took; SIPp and the model not counted."""

    @property
    def is_sustained(self) -> bool:
        """Whether it is a rate to live with."""
        return self.failed == 0 and self.p95_ms <= P95_MAX_MS


def seconds_used(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def attempt(folder: Path, server: Server, rate: int, seconds: float) -> Step:
    """Call at a rate."""
    calls, used = round(rate * seconds), seconds_used(server.pid)
    name = f"{rate}-for-{seconds:g}"
    timeout_s = seconds + SETTLE_S
    count = await play(
        folder, (HOST, server.sip_port), name=name, calls=calls, rate=rate, call_ms=CALL_MS, timeout_s=timeout_s
    )
    if count.successful < calls and count.errors:
        print(count.errors[:ERRORS_SHOWN])
    share = (seconds_used(server.pid) - used) / seconds
    times = sorted(count.response_ms)
    p50_ms = times[len(times) // 2] if times else float("inf")
    return Step(rate, calls, calls - count.successful, p50_ms, count.p95_ms, 100 * share)


def next_rate(steps: Sequence[Step]) -> int | None:
    """Choose what to try next; ``None`` when it is known well enough."""
    good = max((step.rate for step in steps if step.is_sustained), default=0)
    bad = min((step.rate for step in steps if not step.is_sustained and step.rate > good), default=0)
    if not bad:
        return 2 * good or FIRST_RATE
    if bad <= max(1, good) * PRECISION or bad - good <= 1:
        return None
    return round((good * bad) ** 0.5) if good else bad // 2


async def measure(folder: Path, server: Server, seconds: float) -> list[Step]:
    """Try rates until the highest that is sustained is known."""
    steps: list[Step] = []
    await attempt(folder, server, FIRST_RATE, 2.0)  # what is slow once only
    print(TITLE)
    while (rate := next_rate(steps)) is not None:
        step = await attempt(folder, server, rate, seconds)
        steps.append(step)
        print(LINE.format(**asdict(step), verdict="ok" if step.is_sustained else "too many"), flush=True)
    return steps


def summary(steps: Sequence[Step]) -> Iterator[tuple[str, float]]:
    """What is to be remembered of it."""
    best = max((step for step in steps if step.is_sustained), key=lambda step: step.rate, default=None)
    if best is not None:
        yield "sustained_calls_per_s", best.rate
        yield "p50_ms", best.p50_ms
        yield "p95_ms", best.p95_ms
        yield "core_percent", round(best.core_percent, 1)
        yield "calls_per_s_of_a_core", round(100 * best.rate / best.core_percent, 1)


def main(arguments: Sequence[str]) -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="at each rate")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, Model("") as model:
        settings = {
            "engines": {"model": model.engine},
            "agents": {"tested": {"greeting": None}},
            "log": {"level": "info"},
        }
        with Server(Path(name) / "server", settings) as server:
            steps = asyncio.run(measure(Path(name), server, given.seconds))
    figures = dict(summary(steps))
    for key, value in figures.items():
        print(f"{key:24} {value:g}")
    (ROOT / "build").mkdir(exist_ok=True)
    report = {"cores": os.cpu_count(), **figures, "steps": [asdict(step) for step in steps]}
    (ROOT / "build" / "sip_rate.json").write_text(json.dumps(report, indent=1) + "\n")
    return 0 if figures else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
