"""The report: ``docs/quality.md``, the table on the terminal and the figures as a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

from quality.figures import DIRECTIONS, Figure, Mean
from quality.findings import Findings, machine
from quality.plan import APPENDIX_I, BARS
from quality.scores import BASELINE, Direction, has_second_opinion
from rich.console import Console
from rich.table import Table

HEAD = """\
# How it sounds

Written by `make quality`{quick}; `build/quality.json` has the same as data. Every call goes through the running
program, over the loopback: telephones of our own on one side, a model that speaks the Realtime protocol on the other,
in real time. Measured on {processors} processors with Python {python} in {minutes:.0f} minutes{realtime}; the load of
the machine was {load:.1f}.

**{verdict}**
"""

SPEECH = """\
## Speech over a bad network

{count} calls: {clips} clips of recorded speech, {seeds} seeds, {networks} networks, the same clip both ways at once.
What the model was sent, and what a telephone played, is compared with the recording by PESQ narrow-band (ITU-T P.862).
Packets are 20 ms of PCMU. The worst clip is the mean of its seeds, up and down. "Silence" is the same speech with
nothing in place of what was lost, by no program: it tells how hard the clips are. Appendix I is the concealment that
ITU-T published for G.711, measured with clips as hard as these. PLCMOS, a network that hears the result alone, is a
second opinion, up and down; nothing is asked of it.

![PESQ against loss](quality/pesq.png)
"""

DELAYS = """\
## Delays and evenness

![Round trips](quality/delay.png)

![Pacing](quality/pacing.png)

A round trip is timed by pulses of one packet: sent by a telephone, given to the model, sent back by it at once as
audio, and by the program with its next beat; the kernel writes down when it comes. The beat alone makes 0 to 20 ms of
it. One call means ten, one after the other, whose beats lie otherwise. In an unbroken sound there is no silence
between pulses, and whatever is late once makes all that follows later; nothing is asked of that.

What is said of 50 calls is measured as by `make bench`.
"""

FILTERS = """\
## Tones and rates

![Resampler](quality/resampler.png)

The milliwatt is 1004 Hz at 0 dBm0, held both ways through the program; what came to the caller is taken from the wire.
The tone that the resampler is given has 16 bits and their noise; what soxr makes of it, in one piece, stands beside.
"""


def write_report(findings: Findings, *, page: Path, data: Path) -> None:
    """Write both files."""
    data.parent.mkdir(exist_ok=True)
    data.write_text(json.dumps(findings.as_data(), indent=1) + "\n")
    page.write_text("\n".join(_page(findings)), "utf-8")


def print_report(findings: Findings, console: Console) -> None:
    """Print every figure, and what was missed."""
    table = Table(title="How it sounds", title_justify="left")
    for name in ("", "", "measured", "wanted", ""):
        table.add_column(name)
    part = ""
    for figure in findings.figures:
        value = _value(figure)
        shown = f"[bold red]{value}[/bold red]" if figure.is_missed else value
        table.add_row("" if figure.part == part else figure.part, figure.name, shown, _bar(figure), figure.note)
        part = figure.part
    console.print(table)
    for sentence in findings.missed:
        console.print(f"[bold red]missed:[/bold red] {sentence}")


def _page(findings: Findings) -> Iterator[str]:
    plan, missed = findings.plan, findings.missed
    verdict = "Every bar is met." if not missed else f"Bars missed: {len(missed)}."
    realtime = ", before all else on the machine" if plan.is_realtime else ""
    quick = " in its quick form" if findings.is_quick else ""
    yield HEAD.format(quick=quick, realtime=realtime, minutes=findings.seconds / 60, verdict=verdict, **machine())
    if missed:
        yield from (f"- {sentence}" for sentence in missed)
        yield ""
    networks = len(plan.networks)
    count = networks * plan.clips * plan.seeds
    yield SPEECH.format(count=count, clips=plan.clips, seeds=plan.seeds, networks=networks)
    yield from _speech_table(findings.means)
    yield ""
    yield DELAYS
    yield from _table(findings.figures, ("round trip", f"{findings.load.plan.calls} calls"))
    yield ""
    yield FILTERS
    yield from _table(findings.figures, ("milliwatt", "resampler"))
    yield ""


def _speech_table(means: Sequence[Mean]) -> Iterator[str]:
    """A line a network: both ways, the worst clip, what is wanted, and what others reach."""
    yield "| network | wanted | " + " | ".join(DIRECTIONS) + " | worst clip | silence | Appendix I | PLCMOS |"
    yield "|---|---|---|---|---|---|---|---|"
    for network in dict.fromkeys(mean.network for mean in means):
        these = {mean.direction: mean for mean in means if mean.network == network}
        bar = BARS.get(network.name)
        cells = [_pesq(these[direction], bar) for direction in DIRECTIONS]
        worst = " · ".join(f"{these[direction].worst:.2f}" for direction in DIRECTIONS)
        opinions = [these[direction].plcmos for direction in DIRECTIONS]
        second = " · ".join(f"{each:.2f}" for each in opinions if each is not None) or "–"
        appendix = APPENDIX_I.get(network.name)
        yield (
            "| "
            + " | ".join((network.name, _number(bar), *cells, worst, _baseline(these), _number(appendix), second))
            + " |"
        )
    if not has_second_opinion():
        yield ""
        yield "PLCMOS was not asked: speechmos and onnxruntime, the extra `quality`, are not installed."


def _table(figures: Sequence[Figure], parts: tuple[str, ...]) -> Iterator[str]:
    yield "| | | measured | wanted | |"
    yield "|---|---|---|---|---|"
    for figure in figures:
        if figure.part.startswith(parts):
            value = f"**{_value(figure)}**" if figure.is_missed else _value(figure)
            yield f"| {figure.part} | {figure.name} | {value} | {_bar(figure)} | {figure.note} |"


def _pesq(mean: Mean, bar: float | None) -> str:
    is_missed = bar is not None and mean.pesq < bar
    return f"**{mean.pesq:.2f}**" if is_missed else f"{mean.pesq:.2f}"


def _baseline(means: Mapping[Direction, Mean]) -> str:
    return f"{means[BASELINE].pesq:.2f}" if BASELINE in means else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _value(figure: Figure) -> str:
    return f"{figure.value:.2f} {figure.unit}".rstrip() if isfinite(figure.value) else "never"


def _bar(figure: Figure) -> str:
    return "–" if figure.bar is None else f"{figure.sense} {figure.bar:g} {figure.unit}".rstrip()
