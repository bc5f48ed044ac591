"""Call-progress tones by country: what a telephone network plays while it rings, is busy or has no way through.

Each tone is returned for one period of its cadence, made to be repeated: a continuous one lasts a second, which all
its frequencies divide, and the bursts of the others have soft edges. Frequencies and cadences are those that the
administrations reported to the ITU (E.180, supplement 2); ``eu`` is what networks that follow ETSI have in common.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from sipagent.audio.g711 import SAMPLE_RATE, Pcm
from sipagent.audio.tones import chord, fade, silence

Country: TypeAlias = Literal["us", "uk", "de", "eu"]
Name: TypeAlias = Literal["dial", "ring", "busy", "congestion"]

LEVEL_DBFS: Final = -19.0
"""About -13 dBm0, as networks play them: heard well, and softer than speech."""

CONTINUOUS_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Cadence:
    """Which frequencies, in Hz, and for how long: on and off by turns, in ms; without times it never stops."""

    frequencies_hz: tuple[int, ...]
    times_ms: tuple[int, ...] = ()


_425 = (425,)

TONES: Final[Mapping[Country, Mapping[Name, Cadence]]] = {
    "us": {
        "dial": Cadence((350, 440)),
        "ring": Cadence((440, 480), (2_000, 4_000)),
        "busy": Cadence((480, 620), (500, 500)),
        "congestion": Cadence((480, 620), (250, 250)),
    },
    "uk": {
        "dial": Cadence((350, 440)),
        "ring": Cadence((400, 450), (400, 200, 400, 2_000)),
        "busy": Cadence((400,), (375, 375)),
        "congestion": Cadence((400,), (400, 350, 225, 525)),
    },
    "de": {
        "dial": Cadence(_425),
        "ring": Cadence(_425, (1_000, 4_000)),
        "busy": Cadence(_425, (480, 480)),
        "congestion": Cadence(_425, (240, 240)),
    },
    "eu": {
        "dial": Cadence(_425),
        "ring": Cadence(_425, (1_000, 4_000)),
        "busy": Cadence(_425, (500, 500)),
        "congestion": Cadence(_425, (250, 250)),
    },
}


def progress_tone(
    name: Name, country: Country = "eu", *, level_dbfs: float = LEVEL_DBFS, rate: int = SAMPLE_RATE
) -> Pcm:
    """Return one period of a tone.

    :param level_dbfs: RMS while it sounds, relative to 32,768.
    :param rate: Hz.
    """
    cadence = TONES[country][name]
    if not cadence.times_ms:
        return chord(cadence.frequencies_hz, CONTINUOUS_MS, level_dbfs=level_dbfs, rate=rate)
    parts = []
    for on_ms, off_ms in zip(cadence.times_ms[::2], cadence.times_ms[1::2], strict=True):
        burst = chord(cadence.frequencies_hz, on_ms, level_dbfs=level_dbfs, rate=rate)
        parts += [fade(burst, rate=rate), silence(off_ms, rate=rate)]
    return np.concatenate(parts)
