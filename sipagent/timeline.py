"""Draws a call: both voices as they were heard, who spoke when, and what happened, on one axis.

Run as ``python -m sipagent.timeline CALL.json CALL.wav CALL.png``, in a process of its own: the service has no use for
a plotting library.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from sipagent.audio.wav import read_wav

mpl.use("Agg")

CALLER, AGENT, CUT, TOOL = "#2f6f9f", "#c8783a", "#b3261e", "#5b7f3a"
ENVELOPE_MS = 20
INCHES_A_S = 0.46
S_A_CHARACTER = 0.165
"""How many seconds of the axis a character covers, at this width and size of type."""
LINE_HEIGHT = 0.3


def main(arguments: list[str]) -> int:
    """Draw one picture."""
    facts, recording, picture = (Path(argument) for argument in arguments)
    draw(json.loads(facts.read_text()), recording, picture)
    return 0


def draw(facts: list[dict[str, Any]], recording: Path, picture: Path) -> None:
    """Draw the facts over the recording, whose left channel is the caller's."""
    rate, samples = read_wav(recording.read_bytes())
    length_s = len(samples) / rate
    figure, (words, caller, agent) = plt.subplots(
        3,
        1,
        sharex=True,
        figsize=(max(12.0, length_s * INCHES_A_S), 6.4),
        height_ratios=(1.6, 1, 1),
        layout="constrained",
    )
    _draw_voice(caller, samples[:, 0], rate, CALLER, "caller")
    _draw_voice(agent, samples[:, 1], rate, AGENT, "agent, as the caller hears it")
    _draw_words(words, facts)
    for axes in (caller, agent):
        _draw_cuts(axes, facts)
    agent.set_xlabel("seconds since the call was answered")
    agent.set_xlim(0, length_s)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _draw_voice(axes: Axes, samples: np.ndarray[Any, Any], rate: int, colour: str, label: str) -> None:
    """The envelope of a voice: the loudest sample of each 20 ms, both ways."""
    step = rate * ENVELOPE_MS // 1000
    whole = samples[: len(samples) // step * step].astype(np.float64).reshape(-1, step) / 32768
    time = np.arange(len(whole)) * ENVELOPE_MS / 1000
    axes.fill_between(time, whole.min(axis=1), whole.max(axis=1), step="post", color=colour, linewidth=0)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_ylabel(label, color=colour)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _draw_words(axes: Axes, facts: list[dict[str, Any]]) -> None:
    """What was said, in rows: the caller, the agent, and what happened behind the scenes."""
    axes.set_ylim(0, 3)
    axes.axis("off")
    rows = {"caller": Row(axes, 2.95, CALLER), "agent": Row(axes, 2.15, AGENT), "behind": Row(axes, 0.8, TOOL)}
    for fact in facts:
        at_s = fact["at_s"]
        match fact["kind"]:
            case "LineSaid":
                rows["caller"].write(at_s, fact["text"], width=24)
            case "AgentSaid":
                heard_s = fact["heard_ms"] / 1000
                rows["agent"].write(at_s - heard_s, fact["text"], width=max(14, round(heard_s / S_A_CHARACTER)))
            case "ToolCalled":
                rows["behind"].write(at_s, f"tool: {fact['name']}", width=40)
            case "ToolReturned":
                rows["behind"].write(at_s, f"→ {fact['output']}", width=40)
            case "DigitPressed":
                rows["behind"].write(at_s, f"key {fact['digit']}", width=40)
            case "Truncated":
                cut = f"cut: {fact['audio_end_ms']} ms of {fact['received_ms']} ms heard"
                rows["behind"].write(at_s, cut, width=40, colour=CUT)


class Row:
    """Text along the time axis; what would run into the text before it moves a line down."""

    def __init__(self, axes: Axes, y: float, colour: str) -> None:
        self._axes = axes
        self._y = y
        self._colour = colour
        self._ends_s: list[float] = []

    def write(self, at_s: float, text: str, *, width: int, colour: str | None = None) -> None:
        """Write at a time, wrapped at so many characters."""
        lines = textwrap.wrap(text, width)
        end_s = at_s + max(map(len, lines), default=0) * S_A_CHARACTER
        lane = next((number for number, taken_s in enumerate(self._ends_s) if taken_s <= at_s), len(self._ends_s))
        self._ends_s[lane : lane + 1] = [end_s]
        y = self._y - lane * LINE_HEIGHT
        self._axes.text(at_s, y, "\n".join(lines), color=colour or self._colour, fontsize=9, va="top", ha="left")


def _draw_cuts(axes: Axes, facts: list[dict[str, Any]]) -> None:
    """Where the caller cut the agent short."""
    for fact in facts:
        if fact["kind"] == "BargedIn":
            axes.axvline(fact["at_s"], color=CUT, linewidth=1.2, linestyle="--")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
