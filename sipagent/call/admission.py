"""Whether one more call is taken: by number, and where that is left to us by how the process is doing.

A process that is asked for more than it has spoils every call in it, so the calls in progress come first. Two things
tell how it is: the processor time it takes, of one core, for its event loop has no more than that; and the share of
its beats that come late, for a core that others take shows only there. Both are smoothed over a second.

- What a call costs is learnt: what all take, by their number, both smoothed. That they cost more is believed at once,
  that they cost less slowly.
- A call that has just been admitted is not in the smoothed figures yet, so what it is going to take is added to them. A
  hundred INVITEs that come between two looks are therefore not admitted on the news from before the first.
- Who has not served many calls yet does not know their cost, so there are never more than a hundred and twice as many
  as were served for a while, whatever they seem to cost.
- Once closed it stays so until the news has settled and the load is well below what closed it, so it does not flap.
- With nobody in a call there is nobody to protect: the first one is taken, however the process is.
"""

from dataclasses import dataclass
from math import exp
from typing import Final, Literal, TypeAlias

Pressure: TypeAlias = Literal["calls", "rush", "cpu", "late", "nobody"]
"""Why no call is taken: as many as may be; many more than ever; the processor; packets that leave late; no worker."""

CLOSE_CPU: Final = 0.80
OPEN_CPU: Final = 0.70
"""Of one core. Queueing delay grows as 1 / (1 - load), and a call that is set up takes in a moment what it then takes
in seconds: a fifth of the core is left for both."""

CLOSE_LATE: Final = 0.05
OPEN_LATE: Final = 0.02
"""Of the beats. One stop of 50 ms is below it, one of 150 ms is not."""

FEW_BEATS: Final = 20
"""Of fewer, between two looks, a single late one would be too large a share."""

SMOOTHING_S: Final = 1.0
"""Of the load."""

SETTLING_S: Final = 3.0
"""After so long the smoothed figures are within 5 % of the new truth."""

SERVING_S: Final = 2.0
"""The number of calls is smoothed over more than the load, for a call rings before it costs anything."""

USUAL_COST: Final = 0.003
"""Of a core: what a call costs until we know. `sipagent bench` allows no more."""

LEARNING_CALLS: Final = 10
"""With fewer, what the process takes for itself would be counted as theirs."""

NEW_CALLS: Final = 0.2
"""With a larger part of them new, what it takes to set them up would be counted as what they take from then on."""

FORGETTING_S: Final = 10.0
"""Over so long a cost is believed to have become less."""

FIRST_CALLS: Final = 100
"""They fit into a core on which they cost twice as much as the usual."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a process has come to since its start."""

    cpu_s: float
    """User and system time of all its threads."""
    beats: int
    late_beats: int
    """Those of them that came late."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one more call is taken, and what that was judged by; small enough to be told to another process."""

    refusal: Pressure | None
    """Why not."""
    calls: int
    """As many as there are."""
    room: int
    """How many more would be taken before the next look."""
    cpu: float = 0.0
    """Of one core, what calls just admitted are going to take included."""
    late: float = 0.0
    """Share of the beats."""

    @property
    def is_pressed(self) -> bool:
        """Whether it is the load that stands against it."""
        return self.refusal in ("cpu", "late")

    @property
    def words(self) -> str:
        """What is said to those who ask why."""
        match self.refusal:
            case "calls":
                return f"too many calls: there may be no more than {self.calls}"
            case "rush":
                return f"too many calls at once: {self.calls}, and what so many cost is not known yet"
            case "cpu":
                return f"too busy: {self.calls} calls take {self.cpu:.0%} of a core"
            case "late":
                return f"too busy: {self.late:.0%} of the packets of {self.calls} calls leave late"
            case "nobody":
                return "no worker is running"
        return f"room for {self.room}"


class Admission:
    """Of one process, which tells it the load every now and then.

    :param most: calls at once, whatever else.
    :param by_health: whether calls are refused for the load as well.
    """

    def __init__(self, most: int, *, by_health: bool = False) -> None:
        self._most = most
        self._by_health = by_health
        self._load: Load | None = None
        self._looked_at = 0.0
        self._cpu = 0.0
        self._late = 0.0
        self._served = 0.0
        self._known = 0.0
        self._known_at = 0.0
        self._cost = USUAL_COST
        self._closed: Pressure | None = None
        self._closed_at = 0.0

    def wants_load(self, calls: int) -> bool:
        """Whether it is to be told the load while there are so many calls."""
        return self._by_health and (calls > 0 or self._closed is not None)

    def receive_load(self, load: Load, calls: int, *, now: float) -> None:
        """Take what the process has come to, with so many calls."""
        before, elapsed_s = self._load, now - self._looked_at
        if before is not None and elapsed_s <= 0:
            return
        self._load, self._looked_at = load, now
        if before is not None:
            late = (load.late_beats - before.late_beats) / max(FEW_BEATS, load.beats - before.beats)
            weight = _weight(elapsed_s, SMOOTHING_S)
            self._cpu += weight * ((load.cpu_s - before.cpu_s) / elapsed_s - self._cpu)
            self._late += weight * (late - self._late)
            self._served += _weight(elapsed_s, SERVING_S) * (calls - self._served)
            self._learn(calls, elapsed_s, now)
        self._open_again(calls, now)

    def judge(self, calls: int, *, now: float) -> Verdict:
        """Say whether one more than so many calls is taken."""
        expected = self._expected(calls) if self._by_health else 0.0
        refusal = self._refuse(calls, expected, now) if self._by_health and calls else None
        if refusal is None and calls >= self._most:
            refusal = "calls"
        room = 0 if refusal else max(1, self._room(calls, expected))
        return Verdict(refusal, calls, room, expected, self._late)

    # Within

    def _learn(self, calls: int, elapsed_s: float, now: float) -> None:
        """See what a call costs; how many that is known of is believed only when the news of them has settled."""
        if now >= self._known_at + SETTLING_S:
            self._known, self._known_at = max(self._known, self._served), now
        if self._served >= LEARNING_CALLS and self._new(calls) <= NEW_CALLS * self._served:
            cost = self._cpu / self._served
            self._cost = max(cost, self._cost + _weight(elapsed_s, FORGETTING_S) * (cost - self._cost))

    @property
    def _trusted(self) -> float:
        """How many calls may be tried."""
        return FIRST_CALLS + 2 * self._known

    def _new(self, calls: int) -> float:
        """How many calls are not in the smoothed figures yet."""
        return max(0.0, calls - self._served)

    def _expected(self, calls: int) -> float:
        """What is going to be taken of a core."""
        return self._cpu + self._new(calls) * self._cost

    def _room(self, calls: int, expected: float) -> int:
        """How many calls more until one is refused."""
        if not self._by_health:
            return self._most - calls
        by_cpu = (CLOSE_CPU - expected) / self._cost
        return min(self._most - calls, int(min(by_cpu, self._trusted - calls)))

    def _refuse(self, calls: int, expected: float, now: float) -> Pressure | None:
        """Say what the load has against a call, and close for it."""
        if self._closed is None:
            self._closed = self._press(expected + self._cost, CLOSE_CPU, CLOSE_LATE)
            self._closed_at = now
        if self._closed is None and calls >= self._trusted:
            return "rush"
        return self._closed

    def _open_again(self, calls: int, now: float) -> None:
        """Open, if the load is well below what closed it; or stay closed for what it is now."""
        if self._closed is None:
            return
        pressure = self._press(self._expected(calls), OPEN_CPU, OPEN_LATE)
        if pressure is not None:
            self._closed = pressure
        elif now >= self._closed_at + SETTLING_S:
            self._closed = None

    def _press(self, cpu: float, most_cpu: float, most_late: float) -> Pressure | None:
        """What is beyond its limit."""
        if self._late > most_late:
            return "late"
        return "cpu" if cpu > most_cpu else None


def _weight(elapsed_s: float, smoothing_s: float) -> float:
    """By how much news of so long counts against what was known."""
    return 1 - exp(-elapsed_s / smoothing_s)
