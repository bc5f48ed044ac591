"""What is tried: every clip over every network, with several seeds; and what must come of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

FRAME_S: Final = 0.020
BURST_S: Final = 0.080
"""The mean length of a burst of losses: four packets, what a busy radio link takes."""


@dataclass(frozen=True, slots=True)
class Network:
    """A way with faults; shares are 0 to 1, times seconds."""

    name: str
    loss: float = 0.0
    burst_s: float = FRAME_S
    """The mean length of a loss; of one packet, losses are independent of each other."""
    reordered: float = 0.0
    """The share of packets that come 50 ms late, so that two or three overtake them."""
    duplicated: float = 0.0
    jitter_s: float = 0.0
    """Every packet is late by anything up to that, and overtakes others as it comes."""


PERFECT: Final = Network("no loss")
RANDOM: Final = (
    PERFECT,
    Network("1 % random", loss=0.01),
    Network("3 % random", loss=0.03),
    Network("5 % random", loss=0.05),
    Network("10 % random", loss=0.10),
)
BURSTS: Final = Network("5 % in 80 ms bursts", loss=0.05, burst_s=BURST_S)
OTHERS: Final = (
    Network("5 % reordered", reordered=0.05),
    Network("5 % duplicated", duplicated=0.05),
    Network("40 ms jitter", jitter_s=0.040),
)
NETWORKS: Final = (*RANDOM, BURSTS, *OTHERS)
QUICK_NETWORKS: Final = (PERFECT, RANDOM[3], BURSTS)

BARS: Final[Mapping[str, float]] = {
    "no loss": 4.20,
    "1 % random": 3.98,
    "5 % random": 3.25,
    "10 % random": 2.75,
    "5 % in 80 ms bursts": 3.40,
    "5 % reordered": 4.05,
    "5 % duplicated": 4.20,
}
"""The least mean of PESQ-NB, either way. What comes twice is not to be heard at all; what comes in
another order may be, until a receiver has learnt how long to wait."""

APPENDIX_I: Final[Mapping[str, float]] = {
    "no loss": 4.19,
    "1 % random": 3.93,
    "3 % random": 3.54,
    "5 % random": 3.18,
    "10 % random": 2.70,
    "5 % in 80 ms bursts": 3.34,
}
"""What the concealment of G.711 Appendix I reached with clips of the same kind: to compare with."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One call."""

    network: Network
    clip: int
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is tried."""

    networks: tuple[Network, ...] = NETWORKS
    clips: int = 8
    seeds: int = 5
    at_once: int = 40
    """Calls; the program's share of a core stays small, so that it is the network alone that loses packets."""
    tone_s: float = 10.0
    echo_s: float = 30.0
    load_s: float = 30.0
    echo_calls: int = 50
    load_calls: int = 50
    is_realtime: bool = False
    """Whether the program, and telephones and model after it, have their processors before all others."""

    def trials(self) -> Iterator[Trial]:
        """Every call; the seeds of no two are the same."""
        for number, network in enumerate(self.networks):
            for clip in range(self.clips):
                for seed in range(self.seeds):
                    yield Trial(network, clip, 1 + seed + 100 * clip + 10_000 * number)


QUICK: Final = Plan(QUICK_NETWORKS, clips=4, seeds=2, tone_s=3.0, echo_s=5.0, load_s=8.0)
"""A look rather than a judgement."""
