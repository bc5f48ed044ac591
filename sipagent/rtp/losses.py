"""How losses lie in a stream: in bursts and in gaps (:rfc:`3611#section-4.7.2`), one by one or in a row.

A burst begins and ends with a lost packet, and has no ``GAP_MIN`` packets in a row that were heard; what lies between
bursts is a gap, in which losses are single. The log is fed by losses alone, so that what is heard costs nothing.
"""

from typing import NamedTuple

GAP_MIN = 16
"""The value that the RFC recommends: in a burst more than 5 or 6 % are lost, enough to be audible."""


class Losses(NamedTuple):
    """What the losses so far come to."""

    expected: int
    """Packets, heard or not."""
    lost: int
    """Packets that are missing in the sound."""
    discarded: int
    """Those of them that came too late."""
    burst_density: float
    """The part that is missing within bursts, 0 to 1."""
    gap_density: float
    """The part that is missing within gaps, 0 to 1."""
    burst_packets: float
    """Mean length of a burst; 0 without any."""
    gap_packets: float
    """Mean length of a gap."""
    burst_ratio: float
    """BurstR of ITU-T G.107: the mean run of lost packets in relation to that of as many random losses; 1 at least."""

    @property
    def fraction(self) -> float:
        """The part of the packets that is missing, 0 to 1."""
        return self.lost / self.expected if self.expected else 0.0


class LossLog:
    """Losses by extended sequence number, in order, over all the sources of a call."""

    __slots__ = (
        "_begin", "_burst_lost", "_burst_size", "_bursts", "_expected", "_in_bursts", "_lost_in_bursts", "_next",
        "_runs", "discarded", "lost",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lost = 0
        self.discarded = 0
        """Lost ones that came yet; whoever sees one come counts it."""
        self._begin = self._next = 0
        self._expected = 0
        self._runs = 0
        self._bursts = self._in_bursts = self._lost_in_bursts = 0
        self._burst_size = self._burst_lost = 0

    def restart(self, end: int, begin: int) -> None:
        """The numbers went up to ``end``, exclusively, and go on from ``begin``; none between was ever sent."""
        self._close_burst()
        self._expected += end - self._begin
        self._begin = self._next = begin

    def lose(self, first: int, count: int) -> None:
        """Take note that ``count`` packets from ``first`` on are given up."""
        heard = first - self._next
        self._next = first + count
        self.lost += count
        if heard or not self._burst_lost:
            self._runs += 1
        if not self._burst_lost or heard >= GAP_MIN:
            self._close_burst()
            heard = 0
        self._burst_size += heard + count
        self._burst_lost += count

    def summarize(self, end: int) -> Losses:
        """Return what it comes to when the numbers have gone up to ``end``, exclusively."""
        expected = self._expected + end - self._begin
        is_burst = self._burst_lost > 1
        bursts = self._bursts + is_burst
        in_bursts = self._in_bursts + is_burst * self._burst_size
        lost_in_bursts = self._lost_in_bursts + is_burst * self._burst_lost
        in_gaps = expected - in_bursts
        run = self.lost / self._runs if self._runs else 1.0
        return Losses(
            expected=expected,
            lost=self.lost,
            discarded=self.discarded,
            burst_density=lost_in_bursts / in_bursts if in_bursts else 0.0,
            gap_density=(self.lost - lost_in_bursts) / in_gaps if in_gaps > 0 else 0.0,
            burst_packets=in_bursts / bursts if bursts else 0.0,
            gap_packets=max(0, in_gaps) / (bursts + 1),
            burst_ratio=max(1.0, run * (1 - self.lost / expected)) if expected > 0 else 1.0,
        )

    def _close_burst(self) -> None:
        """What is lost next is not of this burst; a single loss was none."""
        if self._burst_lost > 1:
            self._bursts += 1
            self._in_bursts += self._burst_size
            self._lost_in_bursts += self._burst_lost
        self._burst_size = self._burst_lost = 0
