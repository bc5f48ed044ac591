"""How the program sounds, measured through the program: ``python tests/quality/run.py [--quick] [--realtime]``.

Recorded speech goes both ways through ``sipagent run`` over networks with faults and is judged by PESQ and PLCMOS; then
a steady tone, round trips, the load of ``sipagent bench`` and the resampler. The report goes to ``docs/quality.md``, or
to ``build/`` with ``--quick``, its pictures beside it, the figures to ``build/quality.json``. The exit status is 1 when
a bar is missed, and the last lines say which.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).parents[1]))  # for who starts this by hand
sys.path.insert(0, str(Path(__file__).parents[2]))

from program import ROOT
from quality import clips
from quality.echo import Echo, run_echo, run_single_echoes
from quality.exchange import open_exchange
from quality.filters import measure_filters
from quality.findings import Findings
from quality.plan import QUICK, Plan
from quality.plots import draw
from quality.report import print_report, write_report
from quality.scores import has_second_opinion, score_all
from quality.tone import measure_tone
from quality.trials import Heard, run_tone, run_trials
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sipagent.aio import loop
from sipagent.audio.g711 import Pcm
from sipagent.bench import plan as bench
from sipagent.bench.figures import Measurement
from sipagent.bench.load import run_load
from sipagent.errors import SipagentError

Step = Callable[[float], None]
"""Is told how much of a step is done, 0 to 1."""


class Steps:
    """The progress on the terminal: a line a step."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step; it is done at the end."""
        row = self._bar.add_task(title, total=1.0)
        yield lambda share: self._bar.update(row, completed=share)
        self._bar.update(row, completed=1.0)


async def make_calls(plan: Plan, folder: Path, steps: Steps) -> tuple[list[Heard], tuple[Pcm, Pcm], list[Echo]]:
    """Make every call to one and the same program."""
    async with open_exchange(folder, is_realtime=plan.is_realtime) as exchange:
        trials = list(plan.trials())
        with steps.step(f"{len(trials)} calls with speech") as step:
            heard = await run_trials(
                exchange, trials, at_once=plan.at_once, progress=lambda done: step(done / len(trials))
            )
        with steps.step("a tone"):
            tone = await run_tone(exchange, plan.tone_s)
        with steps.step("round trips, 1 call") as step:
            echoes = [await run_single_echoes(exchange, plan.echo_s, progress=step)]
        with steps.step(f"round trips, {plan.echo_calls} calls") as step:
            echoes.append(await run_echo(exchange, plan.echo_calls, plan.echo_s, progress=step))
        with steps.step("an unbroken sound, 1 call") as step:
            echoes.append(await run_echo(exchange, 1, plan.echo_s, is_unbroken=True, progress=step))
    return heard, tone, echoes


def make_load(plan: Plan, folder: Path, step: Step, *, stalls: bool = False) -> Measurement:
    """Measure many calls at once as ``sipagent bench`` does."""
    return run_load(
        bench.Plan(calls=plan.load_calls, seconds=plan.load_s, is_realtime=plan.is_realtime, stalls=stalls),
        processors=bench.share_processors(),
        folder=folder,
        progress=lambda what, share: step(share if what == "measuring" else 0.0),
    )


def measure(plan: Plan, *, is_quick: bool, bar: Progress) -> Findings:
    """Do everything.

    :raises SipagentError: when something could not be measured
    """
    steps, began_at = Steps(bar), monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        heard, tone, echoes = loop.run(make_calls(plan, folder, steps))
        with steps.step(f"{plan.load_calls} calls as in the bench") as step:
            load = make_load(plan, folder, step)
        with steps.step("the same, the control side held up") as step:
            stalled = make_load(plan, folder, step, stalls=True)
    with steps.step("the resampler"):
        filters = measure_filters()
    with steps.step("PESQ and PLCMOS" if has_second_opinion() else "PESQ") as step:
        scores = score_all(heard, seeds=plan.seeds, progress=step)
    tones = measure_tone(tone[0]), measure_tone(tone[1])
    return Findings(plan, is_quick, scores, tones, echoes, filters, load, stalled, monotonic() - began_at)


def main(arguments: Sequence[str]) -> int:
    """Measure, report, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer clips, seeds and networks; the report to build/")
    parser.add_argument("--realtime", action="store_true", help="before all else on this machine; needs root")
    given = parser.parse_args(arguments)
    console = Console()
    if not clips.is_installed():
        console.print(f"the recordings are missing: apt-get install {clips.PACKAGE}")
        return 2
    if not has_second_opinion():
        console.print("no PLCMOS: speechmos and onnxruntime, the extra quality, are not installed")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, refresh_per_second=2) as bar:
            plan = replace(QUICK if given.quick else Plan(), is_realtime=given.realtime)
            findings = measure(plan, is_quick=given.quick, bar=bar)
    except SipagentError as error:
        console.print(f"[bold red]it could not be measured:[/bold red] {error}")
        return 2
    folder = ROOT / ("build" if given.quick else "docs")
    draw(findings, folder / "quality")
    write_report(findings, page=folder / "quality.md", data=ROOT / "build" / "quality.json")
    print_report(findings, console)
    console.print(f"[dim]The report: {folder / 'quality.md'}[/dim]")
    return 1 if findings.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
