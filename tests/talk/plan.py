"""What is tried in ``make talk``, and what must come of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Place: TypeAlias = Literal["quiet", "20 dB", "10 dB"]
"""Where the caller is: on a quiet line, or in a street so far below his voice."""

PLACES: Final[tuple[Place, ...]] = ("quiet", "20 dB", "10 dB")

DUCK_P50_MS: Final = 60.0
SILENCE_P50_MS: Final = 110.0
SILENCE_P95_MS: Final = {"quiet": 220.0, "10 dB": 300.0}
RESUME_MS: Final = 400.0
LOST_MS: Final = 0.0
TRUNCATE_MS: Final = 20.0
GREETING_P95_MS: Final = 150.0
FILLER_MS: Final = 300.0
RESUMED_P95_MS: Final = 1500.0
ROLL_OVER_MS: Final = 200.0

FALSE_CUTS: Final = {"coughs and backchannels": 0, "echo at 10 dB": 0, "street at 10 dB": 1}
"""How many cuts are too many by one: of 50 sounds, and in ten minutes each."""

SPEAKING: Final = {"echo at 10 dB": 0.95}
"""The least share of the time in which the agent is heard: to pause at every echo is no cut, but stutters."""

LATE_P95_MS: Final = 5.0
"""A run in which callers miss their own beat by more says nothing of the program."""
LATE_P99_MS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried."""

    at_once: int = 20
    """Calls; what two processors take without being late."""
    interruptions: Sequence[tuple[Place, int]] = (("quiet", 100), ("20 dB", 50), ("10 dB", 50))
    per_call: int = 5
    """Interruptions."""
    little_sounds: int = 50
    noise_calls: int = 20
    noise_s: float = 30.0
    other_calls: int = 4
    """Of every kind of noise that nothing is asked of."""
    faults: int = 5
    """Runs of each."""
    worlds: int = 140
    """In the simulation; each has three to five barge-ins."""
    simulated_faults: int = 200
    is_realtime: bool = False
    """Whether the program, and callers and model after it, have their processors before all others."""


QUICK: Final = Plan(
    interruptions=(("quiet", 20), ("20 dB", 10), ("10 dB", 10)), little_sounds=25, noise_calls=10, noise_s=10.0,
    other_calls=2, faults=1, worlds=4, simulated_faults=5,
)
"""A look rather than a judgement."""
