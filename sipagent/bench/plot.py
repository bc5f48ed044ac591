"""Draws the ramps: CPU a call, lateness and the uplink's delay, by the number of calls.

Run as ``python -m sipagent.bench.plot build/bench.json PICTURE.png``, in a process of its own: nothing else here has a
use for a plotting library.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

mpl.use("Agg")

COLOURS = ("#1f5fa8", "#d9822b", "#3d8b5f", "#8a8f98", "#7a4fa3")
RED = "#b3261e"
SIZE = (11.0, 3.8)
DPI = 110


def main(arguments: Sequence[str]) -> int:
    """Draw one picture."""
    record, picture = (Path(argument) for argument in arguments)
    draw(json.loads(record.read_text())["capacity"], picture)
    return 0


def draw(capacity: Mapping[str, Any], picture: Path) -> None:
    """Draw what ramps came to."""
    figure, (cpu, late, uplink) = plt.subplots(1, 3, figsize=SIZE, layout="constrained")
    _draw_limit(cpu, capacity["limits"])
    for load, colour in zip(capacity["loads"], COLOURS, strict=False):
        steps = load["steps"]
        _draw_line(cpu, steps, "cpu_percent", colour, label=load["title"])
        _draw_line(late, steps, "deviation_p99_ms", colour, label=f"{load['title']}, p99")
        _draw_line(late, steps, "deviation_p999_ms", colour, style=":", label=f"{load['title']}, p99.9")
        _draw_line(uplink, steps, "uplink_p99_ms", colour, label=f"{load['title']}, p99")
        _draw_line(uplink, steps, "uplink_p50_ms", colour, style=":", label=f"{load['title']}, p50")
    _finish(cpu, "CPU a call, % of a core")
    _finish(late, "packets off the 20 ms grid, ms", scale="log")
    _finish(uplink, "caller's packet to the model, ms", scale="log")
    figure.savefig(picture, dpi=DPI, metadata={"Software": None})
    plt.close(figure)


def _draw_limit(axes: Axes, limits: Mapping[str, Mapping[str, float]]) -> None:
    calls = [int(number) for number in limits]
    percent = [limit["us"] / 10_000 for limit in limits.values()]
    spread = [limit["spread_us"] / 10_000 for limit in limits.values()]
    if calls:
        axes.errorbar(calls, percent, yerr=spread, color=RED, lw=1, ls="--", capsize=2, label="limit: the kernel alone")


def _draw_line(
    axes: Axes, steps: Sequence[Mapping[str, Any]], name: str, colour: str, *, label: str, style: str = "-"
) -> None:
    """A step that is not clean is a hollow point."""
    known = [step for step in steps if step.get(name) is not None]
    calls, values = [step["calls"] for step in known], [step[name] for step in known]
    axes.plot(calls, values, color=colour, ls=style, lw=1.4, label=label)
    for is_clean, face in ((True, colour), (False, "white")):
        some = [step for step in known if step["is_clean"] is is_clean]
        places = [step["calls"] for step in some], [step[name] for step in some]
        axes.plot(*places, "o", ms=4, color=colour, markerfacecolor=face)


def _finish(axes: Axes, title: str, *, scale: str = "linear") -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("calls at once; hollow: not clean")
    axes.set_yscale(scale)
    axes.set_xlim(left=0)
    if scale == "linear":
        axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(fontsize=7, frameon=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
