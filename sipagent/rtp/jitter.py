"""The reorder window: packets go out in order, each at most once, and only a gap makes them wait.

The listener is a model, not a loudspeaker: it needs packets in order, not in time. So there is no play-out delay: a
packet in order leaves in the call that brought it. What comes after a gap is held until the gap is filled, for as
long as ``Patience`` has learnt to wait, or until ``MAX_HELD`` packets wait; then the missing ones are given up. A jump
over more than ``MAX_GAP`` packets waits for nothing.
"""

from math import inf
from typing import Final, NamedTuple

from sipagent.rtp.losses import Losses, LossLog
from sipagent.rtp.packet import Packet
from sipagent.rtp.patience import Patience
from sipagent.rtp.source import MAX_DROPOUT

MAX_HELD: Final = 10
"""How many followers a gap holds, however quickly they come: as many packets of 10 ms as patience ever waits for."""

MAX_GAP: Final = 10
"""Packets missing in a row that are still a gap. More (200 ms) is an outage or a new start: nothing to wait for."""

GIVEN_UP_MEMORY: Final = 64
"""How many numbers given up are remembered, to tell a late packet from a duplicate; a second and more."""


class Released(NamedTuple):
    """A packet whose turn has come."""

    packet: Packet
    missing: int
    """How many packets just before it were given up; -1 for one that was and came after all (``Passage``)."""


class ReorderWindow:
    """Packets by extended sequence number; :meth:`pass_through` first, and :meth:`insert` when it says no."""

    __slots__ = ("_given_up", "_held", "_next", "_start", "due_at", "duplicate", "late", "losses", "patience")

    def __init__(self) -> None:
        self.losses = LossLog()
        """Packets given up; those that a sender's new start skips never were."""
        self.late = 0
        """Packets that came after they were given up, or from before the first."""
        self.duplicate = 0
        """Packets that had come already."""
        self.patience = Patience()
        self._next = 0
        self.reset(0)

    def reset(self, number: int) -> None:
        """Begin anew at ``number``; what is held is forgotten, so :meth:`release_all` before. The counters stay."""
        self.due_at = inf
        """When :meth:`release_due` is to be called; infinity while no packet waits."""
        self.losses.restart(self._next, number)
        self._next = number
        self._start = number
        self._held: dict[int, tuple[Packet, float]] = {}
        self._given_up: dict[int, float] = {}
        """When the first follower of each came, the oldest first."""

    @property
    def lost(self) -> int:
        """Packets given up."""
        return self.losses.lost

    @property
    def wait_s(self) -> float:
        """How long a gap is waited for now."""
        return self.patience.wait_s

    def summarize(self) -> Losses:
        """Return how the losses lie."""
        return self.losses.summarize(self._next)

    def pass_through(self, number: int) -> bool:
        """Whether this packet is the next while none waits, which is the common case; then it's done, play it."""
        if number != self._next or self._held:
            return False
        self._next = number + 1
        return True

    def insert(self, number: int, packet: Packet, *, now: float) -> list[Released]:
        """Put the packet in its place and return, in order, those whose turn has come."""
        if number < self._next:
            self._note_late(number, now)
            return []
        if number in self._held:
            self.duplicate += 1
            return []
        highest = max(self._held, default=self._next - 1)
        is_jump = number - highest - 1 > MAX_GAP
        released = self.release_all() if is_jump else []
        if number < highest:
            followed_at = min(arrived for other, (_, arrived) in self._held.items() if other > number)
            self.patience.filled(now - followed_at, now=now)
        self._held[number] = (packet, now)
        if is_jump or len(self._held) >= MAX_HELD:
            released.append(self._give_up())
        released += self._release_consecutive()
        return released + self.release_due(now=now)

    def release_due(self, *, now: float) -> list[Released]:
        """Give up the gaps that have been waited for long enough."""
        released = []
        while self._held and now >= self.due_at:
            self.patience.waited_in_vain(now=now)
            released.append(self._give_up())
            released += self._release_consecutive()
        return released

    def release_all(self) -> list[Released]:
        """Give up every gap and return all that is held."""
        released = []
        while self._held:
            released.append(self._give_up())
            released += self._release_consecutive()
        return released

    def _note_late(self, number: int, now: float) -> None:
        """Tell a packet whose turn has passed from one that came already."""
        followed_at = self._given_up.pop(number, None)
        if followed_at is not None:
            self.losses.discarded += 1
            self.patience.filled(now - followed_at, now=now)
        if followed_at is not None or number < self._start:
            self.late += 1
        else:
            self.duplicate += 1

    def _give_up(self) -> Released:
        """Skip the first gap and release the packet behind it."""
        number = min(self._held)
        missing = number - self._next
        if missing >= MAX_DROPOUT:
            self.losses.restart(self._next, number)
        elif missing:
            self.losses.lose(self._next, missing)
        self._remember(range(max(self._next, number - GIVEN_UP_MEMORY), number))
        self._next = number + 1
        return Released(self._held.pop(number)[0], missing)

    def _remember(self, given_up: range) -> None:
        followed_at = min(arrived for _, arrived in self._held.values())
        self._given_up.update(dict.fromkeys(given_up, followed_at))
        while len(self._given_up) > GIVEN_UP_MEMORY:
            del self._given_up[next(iter(self._given_up))]

    def _release_consecutive(self) -> list[Released]:
        released = []
        while self._next in self._held:
            released.append(Released(self._held.pop(self._next)[0], 0))
            self._next += 1
        self.due_at = min((arrived for _, arrived in self._held.values()), default=inf) + self.patience.wait_s
        return released
