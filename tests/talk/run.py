"""How the program converses, measured through the program: ``python tests/talk/run.py [--quick] [--realtime]``.

Callers interrupt the agent, cough, agree, echo, stand in streets and play music; the model is cut off and comes back.
The report goes to ``docs/conversation.md``, or to ``build/`` with ``--quick``, its pictures beside it, the figures to
``build/talk.json``. The exit status is 1 when a bar is missed, and the last lines say which.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).parents[1]))  # for who starts this by hand
sys.path.insert(0, str(Path(__file__).parents[2]))

from program import ROOT
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from talk import sounds
from talk.faults import Recovery, make_failures
from talk.findings import Findings
from talk.plan import QUICK, Plan
from talk.plots import draw
from talk.report import print_report, write_report
from talk.scenes import scenes
from talk.simulated import play_all
from talk.trials import make_calls

from sipagent.aio import log, loop
from sipagent.errors import SipagentError

PAPER = 140
"""Characters a line, where nobody looks at a terminal."""


class Steps:
    """The progress on the terminal: a line a step."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._rows: dict[str, TaskID] = {}

    def __call__(self, title: str, share: float) -> None:
        """Show how much of a step is done, 0 to 1."""
        if title not in self._rows:
            self._rows[title] = self._bar.add_task(title, total=1.0)
        self._bar.update(self._rows[title], completed=share)


def measure(plan: Plan, *, is_quick: bool, bar: Progress) -> Findings:
    """Do everything.

    :raises SipagentError: when something could not be measured
    """
    steps, began_at = Steps(bar), monotonic()
    with tempfile.TemporaryDirectory() as name:
        calls = make_calls(
            list(scenes(plan)), Path(name), at_once=plan.at_once, is_realtime=plan.is_realtime, progress=steps
        )
        judgements = loop.run(calls)
    recoveries, trouble = make_all_failures(plan, steps)
    simulated = play_all(plan.worlds, plan.simulated_faults, progress=lambda share: steps("the simulation", share))
    return Findings(plan, is_quick, judgements, recoveries, *simulated, monotonic() - began_at, trouble)


def make_all_failures(plan: Plan, steps: Steps) -> tuple[Sequence[Recovery], str]:
    """Make every failure; what went before is not to be lost when that can't be done, so it is told why."""
    with tempfile.TemporaryDirectory() as name:
        failures = make_failures(
            plan.faults,
            Path(name),
            is_realtime=plan.is_realtime,
            progress=lambda share: steps("a model that fails", share),
        )
        try:
            return loop.run(failures), ""
        except SipagentError as error:
            return [], f"the failures of the model could not be measured: {error}"


def main(arguments: Sequence[str]) -> int:
    """Measure, report, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer calls, and shorter ones; the report to build/")
    parser.add_argument("--realtime", action="store_true", help="before all else on this machine; needs root")
    given = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else PAPER)
    if sounds.missing():
        console.print(f"the sounds are missing: apt-get install {' '.join(sounds.missing())}")
        return 2
    log.set_up(level="warning", style="console")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, refresh_per_second=2) as bar:
            plan = replace(QUICK if given.quick else Plan(), is_realtime=given.realtime)
            findings = measure(plan, is_quick=given.quick, bar=bar)
    except SipagentError as error:
        console.print(f"[bold red]it could not be measured:[/bold red] {error}")
        return 2
    folder = ROOT / ("build" if given.quick else "docs")
    draw(findings, folder / "conversation")
    write_report(findings, page=folder / "conversation.md", data=ROOT / "build" / "talk.json")
    print_report(findings, console)
    console.print(f"[dim]The report: {folder / 'conversation.md'}[/dim]")
    return 1 if findings.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
