"""A network with faults: what becomes of each packet, by a seed; nothing is sent here."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random
from typing import TypeAlias

from quality.plan import FRAME_S, Network

REORDER_S = 0.050
CLIP_PACKETS = 450
"""9 s."""
TOLERANCE = 0.1
"""In so few packets chance alone would make 5 % in bursts anything from 1 to 10 %."""

Fate: TypeAlias = tuple[float, ...]
"""By how many seconds each copy of a packet is delayed; none if it is lost."""


def fates(network: Network, seed: int) -> Iterator[Fate]:
    """Yield what becomes of one packet after the other, without end.

    Losses are Gilbert and Elliott's: a good state that loses nothing and a bad one that loses all, in which the network
    stays for ``burst_s`` on average. With bursts of one packet every packet is lost for itself. What a clip loses is as
    much as the network is said to lose: of what the seed has to offer, the first course is taken of which that is true.
    """
    source = Random(seed)
    while True:
        course = source.getrandbits(64)
        lost = sum(not fate for fate in islice(_course(network, Random(course)), CLIP_PACKETS))
        expected = network.loss * CLIP_PACKETS
        if abs(lost - expected) <= max(1.0, expected * TOLERANCE):
            return _course(network, Random(course))


def _course(network: Network, random: Random) -> Iterator[Fate]:
    is_bad = False
    while True:
        is_bad = random.random() < _next_is_bad(network, is_bad=is_bad)
        delay = random.random() * network.jitter_s
        if random.random() < network.reordered:
            delay += REORDER_S
        copies = 2 if random.random() < network.duplicated else 1
        yield () if is_bad else (delay,) * copies


def carry(packets: Sequence[tuple[float, bytes]], network: Network, seed: int) -> list[tuple[float, bytes]]:
    """Return when each packet arrives on the far side of a network, in order of arrival.

    :param packets: when each was sent, in seconds, and its bytes.
    """
    pairs = zip(packets, fates(network, seed), strict=False)
    arrivals = [(at + delay, packet) for (at, packet), fate in pairs for delay in fate]
    return sorted(arrivals, key=lambda arrival: arrival[0])


def _next_is_bad(network: Network, *, is_bad: bool) -> float:
    """The probability that the next packet is lost."""
    if network.burst_s <= FRAME_S:
        return network.loss
    leave = FRAME_S / network.burst_s
    return 1 - leave if is_bad else leave * network.loss / (1 - network.loss)
