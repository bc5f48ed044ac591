"""How many calls: ramps climbed a few times over, the limit measured before, between and after, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from sipagent.bench.bars import BARS, CALLS, FUSED, Bar
from sipagent.bench.foreign import Foreign
from sipagent.bench.plan import Plan
from sipagent.bench.ramp import Climbed, Limits, Ramp, climb
from sipagent.bench.report import print_capacity, print_judgements, print_step
from sipagent.bench.rig import Kit
from sipagent.bench.stage import Show, open_stage
from sipagent.bench.verdict import Judgement, Load, judge, shortcomings

RUNS = 3
STEP_S = 10.0
QUICK_STEP_S = 4.0
STEPS = (50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)
QUICK_STEPS = (50, 300)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was found."""

    climbed: tuple[Climbed, ...]
    limits: Limits
    limit_in: str
    missing: str
    judgements: tuple[Judgement, ...] = ()
    sentences: tuple[str, ...] = ()
    """What falls short."""

    def as_data(self) -> dict[str, Any]:
        """For a file."""
        return {
            "ok": not self.sentences,
            "sentences": self.sentences,
            "runs": max(len(each.runs) for each in self.climbed),
            "limit_in": self.limit_in,
            "missing": self.missing,
            "limits": self.limits.as_data(),
            "verdict": [judgement.as_data() for judgement in self.judgements],
            "loads": [each.as_data(self.limits) for each in self.climbed],
        }


def measure_all(
    *, console: Console, runs: int, steps: tuple[int, ...], seconds: float, quick: bool, is_realtime: bool
) -> Capacity:
    """Do what the bars ask for: plain, with TLS, and with Silero's model.

    :param seconds: of each step.
    :param quick: one run and no knee, which is not judged then.
    """
    plan = Plan(seconds=seconds, vad="energy", is_realtime=is_realtime)
    ramps = [
        Ramp(plan, steps, refines=not quick),
        Ramp(replace(plan, tls=True), steps, refines=not quick),
        Ramp(replace(plan, vad="fused"), (min(CALLS, steps[-1]),), refines=False),
    ]
    found = climb_all(ramps, console=console, runs=runs)
    loads = _loads(found, with_knees=not quick)
    judgements = tuple(judge(loads))
    sentences = tuple(shortcomings(loads, judgements, wants_all=not quick, calls=CALLS))
    return replace(found, judgements=judgements, sentences=sentences)


def measure_one(ramp: Ramp, *, console: Console, runs: int, foreign: Foreign | None = None) -> Capacity:
    """Climb one ramp; the bars of its load are judged where they were measured."""
    found = climb_all([ramp], console=console, runs=runs, foreign=foreign)
    loads = _loads(found, with_knees=ramp.refines and not found.climbed[0].is_open)
    bars: tuple[Bar, ...] = () if foreign is not None else tuple(bar for bar in BARS if bar.load == ramp.plan.title)
    judgements = tuple(judge(loads, bars))
    known = tuple(judgement for judgement in judgements if judgement.value is not None)
    sentences = tuple(shortcomings({}, known, wants_all=False, calls=CALLS))
    return replace(found, judgements=known, sentences=sentences)


def climb_all(ramps: Sequence[Ramp], *, console: Console, runs: int, foreign: Foreign | None = None) -> Capacity:
    """Climb them in turn, and again."""
    with open_stage(console, ramps[0].plan) as (kit, show):
        limits = Limits(kit)
        climbed = tuple(Climbed(ramp, foreign.name if foreign else None) for ramp in ramps)
        for run in range(1, runs + 1):
            for each in climbed:
                _climb_once(each, kit, show, limits, console=console, name=f"run {run}", foreign=foreign)
        if foreign is None:
            limits.measure(climbed[0].ramp.steps, show("at last"))
    return Capacity(climbed, limits, "C" if kit.tools.limit else "Python, of one call", kit.tools.missing)


def _climb_once(
    each: Climbed, kit: Kit, show: Show, limits: Limits, *, console: Console, name: str, foreign: Foreign | None
) -> None:
    title = f"{name}, {each.title}"
    line = show(title)
    if foreign is None:
        limits.measure(each.ramp.steps, line)
    steps = climb(
        each.ramp,
        kit,
        progress=line,
        foreign=foreign,
        shown=lambda step: print_step(title, step.with_limit(limits.of(step.calls)), console=console),
    )
    each.runs.append(steps)


def _loads(found: Capacity, *, with_knees: bool) -> Mapping[str, Load]:
    return {
        each.title: Load(each.knee if with_knees and each.title != FUSED else None, each.steps(found.limits))
        for each in found.climbed
    }


def show_capacity(found: Capacity, *, console: Console) -> None:
    """Print it."""
    for each in found.climbed:
        print_capacity(each.as_data(found.limits), console=console)
    print_judgements(found.judgements, console=console)
    judged = {str(judgement) for judgement in found.judgements}
    for sentence in (sentence for sentence in found.sentences if sentence not in judged):
        console.print(f"[bold red]short:[/bold red] {sentence}", highlight=False)
    doubts = {doubt for each in found.climbed for step in each.steps(found.limits) for doubt in step.doubts}
    for doubt in sorted(doubts):
        console.print(f"[yellow]in doubt:[/yellow] {doubt}", highlight=False)
