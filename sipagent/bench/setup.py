"""New calls: so many a second, each a second long, and how soon they are answered."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from sipagent.bench.bars import SETUP_P95_MS
from sipagent.bench.figures import Measurement
from sipagent.bench.plan import Plan
from sipagent.bench.rig import Rig
from sipagent.bench.stage import open_stage

CALL_S = 1.0
WARM_UP_S = 3.0
"""Until as many calls end as begin, and what is slow once only has been."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What was found."""

    per_s: float
    seconds: float
    call_s: float
    found: Measurement

    @property
    def sentences(self) -> tuple[str, ...]:
        """What falls short."""
        answer = self.found.answer
        sentences = [f"{len(self.found.ended)} calls failed: {', '.join(sorted(set(self.found.ended)))}"]
        wanted = self.per_s * self.seconds
        if answer is None or answer.count < 0.99 * wanted:
            sentences.append(f"{answer.count if answer else 0} calls were answered of {wanted:.0f}")
        if answer is not None and answer.p95_ms > SETUP_P95_MS:
            sentences.append(f"setup p95: {answer.p95_ms:.1f} ms, more than {SETUP_P95_MS:g}")
        return tuple(sentences if self.found.ended else sentences[1:])

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        answer, cpu_us = self.found.answer, self.found.cpu_us
        share = None if cpu_us is None else cpu_us * self.found.call_seconds / self.found.window_s / 1e6
        return {
            "ok": not self.sentences,
            "sentences": self.sentences,
            "per_s": self.per_s,
            "seconds": self.seconds,
            "call_s": self.call_s,
            "attempts": round(self.per_s * self.seconds),
            "failed": len(self.found.ended),
            "setup_p50_ms": answer and answer.p50_ms,
            "setup_p95_ms": answer and answer.p95_ms,
            "setup_p99_ms": answer and answer.p99_ms,
            "bar_ms": SETUP_P95_MS,
            "core_share": share,
            "others_share": self.found.others.share,
        }


def measure_setup(plan: Plan, *, per_s: float, console: Console) -> Setup:
    """Measure, and print.

    :raises SipagentError: when it can't be measured.
    """
    with (
        open_stage(console, plan) as (kit, show),
        Rig(plan, kit, progress=show(f"{per_s:g} new calls a second")) as rig,
    ):
        rig.churn(per_s, CALL_S)
        rig.settle(WARM_UP_S)
        setup = Setup(per_s, plan.seconds, CALL_S, rig.measure(plan.seconds, is_steady=False))
    data = setup.as_data()
    console.print(
        f"{data['attempts']} calls, {data['failed']} failed; setup p50 {data['setup_p50_ms'] or 0:.1f} ms, "
        f"p95 [bold]{data['setup_p95_ms'] or 0:.1f} ms[/bold], p99 {data['setup_p99_ms'] or 0:.1f} ms; "
        f"the program took {data['core_share'] or 0:.0%} of a core, callers and model {data['others_share']:.0%}",
        highlight=False,
    )
    for sentence in (*setup.sentences, *setup.found.doubts()):
        console.print(f"[bold red]short:[/bold red] {sentence}", highlight=False)
    return setup
