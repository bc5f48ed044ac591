"""The pictures of the report: sound against loss, delays, evenness, and what the resampler lets pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from quality.echo import Echo
from quality.figures import DEVIATION_MS, DIRECTIONS, ROUND_TRIP_MS, Mean
from quality.filters import Filter
from quality.findings import Findings
from quality.plan import APPENDIX_I, BARS, BURSTS, RANDOM
from quality.scores import BASELINE

matplotlib.use("Agg")

BLUE, ORANGE, GREY, RED, GREEN = "#1f5fa8", "#d9822b", "#8a8f98", "#b3261e", "#3d8b5f"
COLOURS = dict(zip((*DIRECTIONS, BASELINE), (BLUE, ORANGE, GREY), strict=True))
SIZE = (7.2, 4.2)
DPI = 110
LOWEST_DB = -100
BURST_PERCENT = 12.0
"""Where the bursts stand on the axis, apart from the line."""


def draw(findings: Findings, folder: Path) -> list[Path]:
    """Draw everything; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    with _picture(folder / "pesq.png") as axes:
        _draw_pesq(axes, findings.means)
    with _picture(folder / "delay.png") as axes:
        _draw_delays(axes, [echo for echo in findings.echoes if not echo.is_unbroken])
    with _picture(folder / "pacing.png") as axes:
        _draw_pacing(axes, max(findings.echoes, key=lambda echo: echo.calls))
    with _picture(folder / "resampler.png") as axes:
        _draw_filters(axes, findings.filters)
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


def _draw_pesq(axes: Axes, means: Sequence[Mean]) -> None:
    for direction, colour in COLOURS.items():
        these = {mean.network.name: mean for mean in means if mean.direction == direction}
        line = [these[network.name] for network in RANDOM if network.name in these]
        percent = [100 * mean.network.loss for mean in line]
        style = "--" if direction == BASELINE else "-"
        axes.plot(percent, [mean.pesq for mean in line], style, marker="o", ms=5, color=colour, label=direction)
        if direction in DIRECTIONS:
            axes.plot(percent, [mean.worst for mean in line], ":", lw=1, color=colour)
        if BURSTS.name in these:
            axes.plot(BURST_PERCENT, these[BURSTS.name].pesq, "o", ms=5, color=colour)
    places = [(100 * network.loss, network.name) for network in RANDOM] + [(BURST_PERCENT, BURSTS.name)]
    known = [(at, APPENDIX_I[name]) for at, name in places if name in APPENDIX_I]
    axes.plot(*zip(*known, strict=True), ls="", marker="D", ms=5, mfc="none", color=GREEN, label="G.711 Appendix I")
    bars = [(at, BARS[name]) for at, name in places if name in BARS]
    axes.plot(*zip(*bars, strict=True), ls="", marker="_", ms=18, mew=2, color=RED, label="bar")
    axes.axvline((BURST_PERCENT + 10) / 2, color=GREY, lw=0.8)
    axes.set_xticks([*(100 * network.loss for network in RANDOM), BURST_PERCENT])
    axes.set_xticklabels([*(f"{100 * network.loss:g}" for network in RANDOM), "5, in\nbursts"])
    axes.set(xlabel="packets lost, %", ylabel="PESQ-NB (MOS-LQO)", ylim=(1.5, 4.6))
    axes.set_title("Speech after losses: mean, and dotted the worst clip", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _draw_delays(axes: Axes, echoes: Sequence[Echo]) -> None:
    longest = max(float(np.percentile(echo.round_trips, 99.9)) for echo in echoes) * 1000
    edges = np.linspace(0, max(60.0, min(200.0, longest)), 61)
    for echo, colour in zip(echoes, (BLUE, ORANGE), strict=False):
        milliseconds = np.minimum(echo.round_trips * 1000, edges[-1])
        weights = np.full(len(milliseconds), 100 / len(milliseconds))
        label = f"{echo.calls} call{'s' * (echo.calls > 1)}"
        axes.hist(milliseconds, edges, weights=weights, color=colour, alpha=0.55, label=label)
    _mark_bars(axes, zip(("p50", "p99"), ROUND_TRIP_MS, strict=True))
    axes.set(xlabel="ms from a pulse's packet to its echo's", ylabel="pulses, %", xlim=(0, edges[-1]))
    axes.set_title("Round trip: RTP, model, echo, RTP", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9)


def _draw_pacing(axes: Axes, echo: Echo) -> None:
    milliseconds = echo.deviations * 1000
    edges = np.linspace(0, max(8.0, min(40.0, float(milliseconds.max(initial=0.0)))), 81)
    axes.hist(np.minimum(milliseconds, edges[-1]), edges, color=BLUE, log=True)
    _mark_bars(axes, zip(("p99", "p99.9"), DEVIATION_MS, strict=True))
    axes.set(xlabel="ms off an even 20 ms grid", ylabel="packets", xlim=(0, edges[-1]))
    axes.set_title(f"Packets sent in {echo.calls} calls", loc="left", fontsize=11)


def _draw_filters(axes: Axes, filters: Sequence[Filter]) -> None:
    for each, colour, style in zip(filters, (BLUE, BLUE, ORANGE, ORANGE), ("-", "--", "-", "--"), strict=True):
        hertz, gains = zip(*each.response, strict=True)
        label = f"{each.source_rate // 1000} to {each.target_rate // 1000} kHz"
        axes.plot(hertz, np.maximum(gains, LOWEST_DB), style, color=colour, label=label)
    axes.axvspan(0, 3400, color=GREEN, alpha=0.08)
    axes.text(100, -17, "the telephone's band:\nto be within 0.1 dB", fontsize=9, color=GREEN)
    axes.set(xlabel="Hz", ylabel="dB", ylim=(LOWEST_DB, 4), xlim=(0, 12_000))
    axes.set_title("What the resampler lets pass", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _mark_bars(axes: Axes, bars: "zip[tuple[str, float]]") -> None:
    for name, bar in bars:
        axes.axvline(bar, color=RED, lw=1.2, ls="--")
        place = axes.get_xaxis_transform()
        axes.text(bar, 0.98, f" {name} at most {bar:g}", color=RED, fontsize=9, va="top", transform=place)
