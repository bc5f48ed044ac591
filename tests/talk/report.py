"""The report: ``docs/conversation.md``, the table on the terminal and the figures as a file."""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path

from figure import Figure
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from talk.faults import KILLED, KINDS
from talk.figures import DOUBLE_TALK, FALSE_STARTS, SURROUNDINGS
from talk.findings import MAX_LINES, MAX_TRACES, Findings, line_of, machine, trace

MAX_SHOWN = 6
"""Calls gone wrong of which the log is shown on the terminal."""

HEAD = """\
# How it converses

Written by `make talk`{quick}; `build/talk.json` has the same as data. Callers of our own telephone the running program
over the loopback, by SIP and RTP and in real time; the embedded model answers, and notes what it said and was told.
Measured on {processors} processors with Python {python} in {minutes:.0f} minutes{realtime}; the load of the machine was
{load:.1f}.

**{verdict}**
"""

INTERRUPTIONS = """\
## Interruptions

![When the agent is silent](conversation/silence.png)

Recorded sentences begin over the agent's voice, each with the first sample above -40 dBFS, which is the onset. The
callers are on a quiet line, or in a street so many decibels below their voice. The agent is silent with the last packet
that holds anything of it, and ducked with the last one at full level, both by the kernel's time stamps. An interruption
is missed when the agent speaks on for two seconds, or is not cut by then. Double talk is the same with an echo of the
agent 10 dB below its voice.
"""

FALSE_STARTS_HEAD = """\
## What is no interruption

![What stops the agent for nothing](conversation/false_cuts.png)

A cut is what the model is told of: a truncate. To pause and go on is none; but it has to go on soon, and with the
sample that was due. What came before the pause and after it is compared with what the model sent, sample by sample.
Little words are spoken by five voices; coughs, breaths and streets are made from noise (`tests/talk/sounds.py`). An
echo comes back by a direct way of 20 to 180 ms and six reflections; its level is that of all of them together.
"""

MEMORY = """\
## What the model believes was heard

![The first word](conversation/greeting.png)

Whenever the agent is cut the model is told how many milliseconds were heard; here that is compared with the samples
that came to the caller. The simulation (`tests/sim`) does the same with callers who never let the agent finish.
"""


FAILURES = """\
## When the model fails

![When the model fails](conversation/recovery.png)

Each call has a model of its own, whose first session fails in the middle of a word: the socket is cut, once with a
refusal on the way back; the audio stops and nothing else is said; the session comes to the limit that it told at its
beginning. One model is a process that is killed, with all its calls, and started a second later. Where the key
is refused there is a second engine. The models speak hardly faster than time, so there is little left to say when one
dies. A call is lost when the program ends it, or when the
caller, who speaks at the end, is not answered. The same failures in the simulation strike anywhere in a word.
"""


def write_report(findings: Findings, *, page: Path, data: Path) -> None:
    """Write both files."""
    data.parent.mkdir(exist_ok=True)
    data.write_text(json.dumps(findings.as_data(), indent=1, default=str) + "\n")
    page.write_text("\n".join(_page(findings)), "utf-8")


def print_report(findings: Findings, console: Console) -> None:
    """Print every figure, what was missed, and what the program's log says of it."""
    table = Table(title="How it converses", title_justify="left")
    for name in ("", "", "measured", "wanted", "", ""):
        table.add_column(name)
    part = ""
    for figure in findings.figures:
        value = _value(figure)
        shown = f"[bold red]{value}[/bold red]" if figure.is_missed else value
        table.add_row(
            "" if figure.part == part else figure.part, figure.name, shown, _bar(figure), _verdict(figure), figure.note
        )
        part = figure.part
    console.print(table)
    for (words, judgement, overlap), _ in zip(findings.wrongs(), range(MAX_SHOWN), strict=False):
        console.print(f"[bold]{escape(words)}[/bold] (sip:{judgement.record.called})", highlight=False)
        for line in trace(judgement, overlap):
            console.print(f"  [dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)
    wrong = {recovery.kind: recovery for recovery in findings.recoveries if recovery.is_wrong}
    for kind, recovery in wrong.items():
        console.print(f"[bold]{escape(kind)}[/bold]", highlight=False)
        for line in (line_of(entry, recovery.answered_at) for entry in recovery.trace[:MAX_LINES]):
            console.print(f"  [dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)
    for sentence in findings.missed:
        console.print(f"[bold red]missed:[/bold red] {escape(sentence)}", highlight=False, soft_wrap=True)


def _page(findings: Findings) -> Iterator[str]:
    plan, missed = findings.plan, findings.missed
    verdict = "Every bar is met." if not missed else f"Bars missed: {len(missed)}."
    realtime = ", before all else on the machine" if plan.is_realtime else ""
    quick = " in its quick form" if findings.is_quick else ""
    yield HEAD.format(quick=quick, realtime=realtime, minutes=findings.seconds / 60, verdict=verdict, **machine())
    if missed:
        yield from (f"- {sentence}" for sentence in missed)
        yield ""
    yield INTERRUPTIONS
    yield from _table(findings.figures, ("interruption", f"interruption, {DOUBLE_TALK}"))
    yield ""
    yield FALSE_STARTS_HEAD
    yield from _table(findings.figures, (*FALSE_STARTS, *SURROUNDINGS))
    yield ""
    yield MEMORY
    yield from _table(findings.figures, ("greeting", "truncation"))
    yield ""
    yield FAILURES
    yield from _table(findings.figures, (*(kind.name for kind in KINDS), KILLED))
    yield ""
    wrong = [words for (words, _, _), _ in zip(findings.wrongs(), range(MAX_TRACES), strict=False)]
    if wrong:
        yield "What went wrong, the first of it; the program's log of each is in `build/talk.json`:"
        yield ""
        yield from (f"- {words}" for words in wrong)
        yield ""


def _table(figures: Sequence[Figure], parts: tuple[str, ...]) -> Iterator[str]:
    yield "| | | measured | wanted | | |"
    yield "|---|---|---|---|---|---|"
    for figure in figures:
        if figure.part.startswith(parts):
            value = f"**{_value(figure)}**" if figure.is_missed else _value(figure)
            cells = (figure.part, figure.name, value, _bar(figure), _verdict(figure), figure.note)
            yield f"| {' | '.join(cells)} |"


def _value(figure: Figure) -> str:
    if not isfinite(figure.value):
        return "never"
    is_whole = figure.unit == "ms" or figure.value == int(figure.value)
    return f"{figure.value:.{0 if is_whole else 2}f} {figure.unit}".rstrip()


def _bar(figure: Figure) -> str:
    return "–" if figure.bar is None else f"{figure.sense} {figure.bar:g} {figure.unit}".rstrip()


def _verdict(figure: Figure) -> str:
    return "" if figure.bar is None else "missed" if figure.is_missed else "met"
