"""The bars, all of them data: when a step is clean, when a measurement says nothing, what the program has to reach.

A step is one number of calls. It is clean when no caller and no model would notice that there are others.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

# Clean

MAX_LOST_SHARE: Final = 1e-4
"""Of the agent's packets."""
LATE_S: Final = 0.020
"""So far behind its place in the grid, and a caller's jitter buffer of 20 ms plays without it."""
MAX_LATE_SHARE: Final = 1e-3
MAX_DEVIATION_P99_MS: Final = 5.0
"""A caller's jitter buffer holds 20 ms and more; 5 ms leave the rest to the network."""
MAX_UPLINK_P99_MS: Final = 10.0
"""From a caller's packet to its message at the model: half a packet."""
MAX_SETUP_P95_MS: Final = 200.0
"""INVITE to 200 OK, while all the others talk."""

# Valid

TOLERANCE: Final = 0.03
"""By so much a rate may miss its nominal value; beyond it the load was not the one planned, and says nothing."""
MAX_CLOCK_STEP_S: Final = 0.001
"""The wall clock stamps the packets; if it was set meanwhile, so were they."""
MAX_OTHERS_SHARE: Final = 0.85
"""Of their processor: when callers and model take more, they are what is measured."""
MAX_GENERATOR_LATE_P99_MS: Final = 5.0
"""By how much callers may miss their own beat."""

# One load by itself, as it is measured beside other things

MAX_CPU_US: Final = 3000.0
"""User and system time of the program for a call-second. Other programs of this kind take 3,500 to 14,400."""
JUDGED_CALLS: Final = 50
"""With fewer calls, each wakes the program for itself and costs more; the limit is not for them."""

# What the program has to reach

Sense: TypeAlias = Literal["at most", "at least"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One of them."""

    what: str
    load: str
    """Which load, by its title; of a difference the dearer."""
    figure: str
    """Which figure of a step, or ``knee``."""
    sense: Sense
    value: float
    unit: str
    calls: int | None = None
    """At how many; ``None`` for what is true of a load as a whole."""
    beyond: str | None = None
    """The load whose figure is subtracted."""

    def is_met(self, value: float) -> bool:
        """Whether a figure is good enough."""
        return value <= self.value if self.sense == "at most" else value >= self.value


PLAIN: Final = "plain, energy"
TLS: Final = "TLS, energy"
FUSED: Final = "plain, fused"

CALLS: Final = 300

BARS: Final[tuple[Bar, ...]] = (
    Bar("CPU a call", PLAIN, "cpu_percent", "at most", 0.12, "% of a core", CALLS),
    Bar("CPU a call with TLS", TLS, "cpu_percent", "at most", 0.15, "% of a core", CALLS),
    Bar("what gated, batched silero adds", FUSED, "cpu_percent", "at most", 0.02, "% of a core", CALLS, beyond=PLAIN),
    Bar("CPU as a multiple of the limit", PLAIN, "ratio_to_limit", "at most", 2.3, "times", CALLS),
    Bar("RTP deviation p99", PLAIN, "deviation_p99_ms", "at most", 1.0, "ms", CALLS),
    Bar("RTP deviation p99.9", PLAIN, "deviation_p999_ms", "at most", 5.0, "ms", CALLS),
    Bar("uplink delay p99", PLAIN, "uplink_p99_ms", "at most", 2.0, "ms", CALLS),
    Bar("memory a call", PLAIN, "memory_kb", "at most", 150.0, "kB", CALLS),
    Bar("clean calls on one core", PLAIN, "knee", "at least", 750, "calls"),
    Bar("clean calls on one core with TLS", TLS, "knee", "at least", 550, "calls"),
)

SETUP_PER_S: Final = 100.0
"""New calls a second, for so long, and within what the 95th of 100 is answered."""
SETUP_S: Final = 60.0
SETUP_P95_MS: Final = 10.0

SOAK_CALLS: Final = 100
SOAK_CALL_S: Final = 60.0
SOAK_MINUTES: Final = 20.0
SOAK_WARM_UP_S: Final = 40.0
"""Beyond a call's length: so long SIP remembers a call that has ended (64*T1), and a little more."""
SOAK_JUDGED_MINUTES: Final = 5.0
"""In less a program may still learn what it needs for calls that come and go."""
SOAK_MAX_MEMORY_GROWTH_KB_MINUTE: Final = 100.0
"""By the straight line through the looks after the warm-up: 20 minutes of it are 2 MB."""
SOAK_MAX_COUNT_GROWTH_MINUTE: Final = 0.2
"""Of descriptors and ports, which are whole: 20 minutes of it are four."""
SOAK_MAX_LATE_GROWTH: Final = 1e-5
"""Of the share of late packets, each minute."""
