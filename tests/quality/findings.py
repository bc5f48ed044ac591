"""All that one run found, as the report, the plots and the file of figures need it."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from quality.echo import Echo
from quality.figures import (
    DIRECTIONS,
    Figure,
    Mean,
    echo_figures,
    filter_figures,
    load_figures,
    means,
    speech_figures,
    stall_figures,
    tone_figures,
)
from quality.filters import Filter
from quality.plan import Plan
from quality.scores import Score
from quality.tone import Steadiness

from sipagent.bench.figures import Measurement


@dataclass(frozen=True)
class Findings:
    """What was measured."""

    plan: Plan
    is_quick: bool
    scores: Sequence[Score]
    tones: tuple[Steadiness, Steadiness]
    """By direction."""
    echoes: Sequence[Echo]
    filters: Sequence[Filter]
    load: Measurement
    stalled: Measurement
    """The same load while the control side was held up for 200 ms each second."""
    seconds: float
    """How long it all took."""

    @cached_property
    def means(self) -> list[Mean]:
        """Of PESQ and PLCMOS."""
        return means(self.scores)

    @cached_property
    def figures(self) -> list[Figure]:
        """Every figure, with its bar."""
        found = list(speech_figures(self.means))
        for direction, tone in zip(DIRECTIONS, self.tones, strict=True):
            found += tone_figures(direction, tone)
        found += filter_figures(self.filters)
        for echo in self.echoes:
            found += echo_figures(echo)
        found += load_figures(self.load)
        found += stall_figures(self.stalled)
        return found

    @property
    def missed(self) -> list[str]:
        """The bars that were missed, and why the load was none, in words."""
        faults = (*self.load.faults(), *self.stalled.faults())
        return [*(str(figure) for figure in self.figures if figure.is_missed), *faults]

    def as_data(self) -> dict[str, object]:
        """For a file."""
        return {
            "ok": not self.missed,
            "missed": self.missed,
            "quick": self.is_quick,
            "seconds": round(self.seconds, 1),
            "machine": machine(),
            "figures": [asdict(figure) | {"missed": figure.is_missed} for figure in self.figures],
            "scores": [asdict(score) for score in self.scores],
            "load": asdict(self.load),
            "stalled": asdict(self.stalled),
        }


def machine() -> dict[str, object]:
    """On what it was measured."""
    return {
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "load": os.getloadavg()[1],
    }
