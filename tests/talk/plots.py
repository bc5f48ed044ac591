"""The pictures of the report: how soon the agent is silent, by what it is cut for nothing, and how it recovers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from talk.faults import ROLL_OVER, Recovery
from talk.findings import Findings
from talk.plan import FALSE_CUTS, FILLER_MS, GREETING_P95_MS, RESUMED_P95_MS, SILENCE_P95_MS

matplotlib.use("Agg")

BLUE, ORANGE, GREY, RED, GREEN = "#1f5fa8", "#d9822b", "#8a8f98", "#b3261e", "#3d8b5f"
SIZE = (7.2, 4.2)
DPI = 110
MOST_MS = 600.0
"""What is slower stands at the edge."""
MOST_RECOVERY_MS = 3000.0


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Draw everything; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    with _picture(folder / "silence.png") as axes:
        _draw_silences(axes, findings.silences)
    with _picture(folder / "false_cuts.png") as axes:
        _draw_false_cuts(axes, findings.false_cuts)
    with _picture(folder / "greeting.png") as axes:
        _draw_greetings(axes, [judgement.greeting for judgement in findings.judgements])
    with _picture(folder / "recovery.png") as axes:
        _draw_recoveries(axes, findings.recoveries)
    return sorted(folder.glob("*.png"))


@contextmanager
def _picture(path: Path) -> Iterator[Axes]:
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    yield axes
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


def _draw_silences(axes: Axes, silences: Mapping[str, Sequence[float]]) -> None:
    """Each kind's share that is silent by a time; what never is, does not reach the top."""
    for (name, seconds), colour in zip(silences.items(), (BLUE, GREEN, ORANGE, GREY), strict=False):
        if seconds:
            ordered = np.sort(np.minimum(np.array(seconds) * 1000, MOST_MS))
            shares = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
            axes.step(ordered, shares, where="post", color=colour, label=f"{name} ({len(seconds)})")
    for (place, bar), side in zip(SILENCE_P95_MS.items(), ("right", "left"), strict=True):  # so that words don't meet
        axes.plot(bar, 95, marker="x", ms=8, mew=2, color=RED)
        axes.text(bar, 91, f"{bar:g} ms, {place}", color=RED, fontsize=9, ha=side, va="top")
    axes.set(xlabel="ms from the caller's first packet of speech", ylabel="of interruptions, %", xlim=(0, MOST_MS))
    axes.set(ylim=(0, 101))
    axes.set_title("When the agent is silent", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower right")


def _draw_false_cuts(axes: Axes, cuts: Mapping[str, tuple[int, float]]) -> None:
    kinds = list(cuts)
    counts = [count for count, _ in cuts.values()]
    bad = [count > FALSE_CUTS.get(kind, count) for kind, count in zip(kinds, counts, strict=True)]
    colours = [RED if is_bad else BLUE if kind in FALSE_CUTS else GREY for kind, is_bad in zip(kinds, bad, strict=True)]
    axes.barh(kinds, counts, color=colours, height=0.6)
    for at, (kind, (count, of)) in enumerate(cuts.items()):
        unit = "minutes" if kind.startswith(("echo", "street", "hold")) else "sounds"
        wanted = f", at most {FALSE_CUTS[kind]}" if kind in FALSE_CUTS else ""
        axes.text(count, at, f" {count} in {of:.3g} {unit}{wanted}", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set(xlabel="false cuts", xlim=(0, max(1, *counts) * 1.5))
    axes.set_title("What stops the agent for nothing", loc="left", fontsize=11)


def _draw_greetings(axes: Axes, greetings: Sequence[float]) -> None:
    edges = np.linspace(0, 400, 81)
    axes.hist(np.minimum([1000 * each for each in greetings if isfinite(each)], edges[-1]), edges, color=BLUE)
    axes.axvline(GREETING_P95_MS, color=RED, lw=1.2, ls="--")
    place = axes.get_xaxis_transform()
    label = f" p95 at most {GREETING_P95_MS:g}"
    axes.text(GREETING_P95_MS, 0.98, label, color=RED, fontsize=9, va="top", transform=place)
    axes.set(xlabel="ms from the 200 to the first audible packet", ylabel="calls", xlim=(0, edges[-1]))
    axes.set_title("The first word", loc="left", fontsize=11)


def _draw_recoveries(axes: Axes, recoveries: Sequence[Recovery]) -> None:
    """A mark a call: how long nothing was to be heard, and how long no agent; what never came stands at the edge."""
    kinds = list(dict.fromkeys(each.kind for each in recoveries))
    for each in recoveries:
        row = kinds.index(each.kind)
        if each.kind == ROLL_OVER:
            axes.plot(min(1000 * each.longest_gap, MOST_RECOVERY_MS), row, "o", ms=6, color=ORANGE, alpha=0.5)
            continue
        axes.plot(min(1000 * each.gap, MOST_RECOVERY_MS), row - 0.12, "o", ms=6, color=ORANGE, alpha=0.5)
        axes.plot(min(1000 * each.resumed, MOST_RECOVERY_MS), row + 0.12, "s", ms=6, color=BLUE, alpha=0.5)
    for bar, colour, label in ((FILLER_MS, ORANGE, "something is heard"), (RESUMED_P95_MS, BLUE, "the agent goes on")):
        axes.axvline(bar, color=colour, lw=1.2, ls="--", label=f"{label}: {bar:g} ms at most")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set(xlabel="ms of silence", xlim=(-30, MOST_RECOVERY_MS * 1.02))
    axes.set_title("When the model fails", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
