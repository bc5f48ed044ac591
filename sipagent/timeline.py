"""Draws a call: both voices as they were heard, who spoke when, and what happened, on one axis.

Run as ``python -m sipagent.timeline CALL.json CALL.wav CALL.png``, in a process of its own: the service has no use for a
plotting library.
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
        3, 1, sharex=True, figsize=(max(12.0, length_s * 0.42), 7.2), height_ratios=(1.5, 1, 1), layout="constrained"
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
    for fact in facts:
        at_s = fact["at_s"]
        match fact["kind"]:
            case "LineSaid":
                _write(axes, at_s, 2.95, fact["text"], CALLER, width=24)
            case "AgentSaid":
                heard_s = fact["heard_ms"] / 1000
                _write(axes, at_s - heard_s, 2.2, fact["text"], AGENT, width=max(12, round(heard_s * 7)))
            case "ToolCalled":
                _write(axes, at_s, 0.75, f"tool: {fact['name']}", TOOL, width=30)
            case "ToolReturned":
                _write(axes, at_s, 0.5, f"→ {fact['output']}", TOOL, width=40, lines=1)
            case "DigitPressed":
                _write(axes, at_s, 0.75, f"key {fact['digit']}", TOOL, width=30)
            case "Truncated":
                _write(axes, at_s, 0.75, f"cut at {fact['audio_end_ms']} ms of {fact['received_ms']} ms", CUT, width=24)


def _write(axes: Axes, at_s: float, y: float, text: str, colour: str, *, width: int, lines: int = 5) -> None:
    wrapped = textwrap.wrap(text, width)
    shown = wrapped[:lines]
    if len(wrapped) > lines:
        shown[-1] = f"{shown[-1][: width - 2]} …"
    axes.text(at_s, y, "\n".join(shown), color=colour, fontsize=7.5, va="top", ha="left", clip_on=False)


def _draw_cuts(axes: Axes, facts: list[dict[str, Any]]) -> None:
    """Where the caller cut the agent short."""
    for fact in facts:
        if fact["kind"] == "BargedIn":
            axes.axvline(fact["at_s"], color=CUT, linewidth=1.2, linestyle="--")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
