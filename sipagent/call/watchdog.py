"""Dead air: nothing comes from the caller, neither sound nor RTCP. A warning, a question by SIP, goodbye.

A phone that sends no silence is heard of by its reports. The question revives media that a proxy or a NAT forgot, and
ends the call at once when its other end is gone; a phone that answers it and still sends nothing is given the rest of
the time. Whoever is on hold, or is being transferred, has every reason to be silent.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import inf


@dataclass(frozen=True, slots=True)
class DeadAirSettings:
    """When what is done, in seconds since anything came."""

    warn_s: float = 5.0
    """More than two reports may take to come (:rfc:`3550#section-6.2`), so seldom in vain."""
    probe_s: float = 20.0
    hang_up_s: float = 60.0


class Step(IntEnum):
    """What is done about it."""

    NOTHING = 0
    WARN = 1
    PROBE = 2
    HANG_UP = 3


class Watchdog:
    """One call's: asked by a timer, so that a packet costs it nothing."""

    def __init__(self, settings: DeadAirSettings) -> None:
        self._at = {Step.WARN: settings.warn_s, Step.PROBE: settings.probe_s, Step.HANG_UP: settings.hang_up_s}
        self._done = Step.NOTHING
        self._since = 0.0

    def look(self, since: float, *, now: float) -> Step:
        """Return what is to be done now, each step once in a silence.

        :param since: when anything came last, or was to begin to come; ``now`` when silence is no wonder.
        """
        if since > self._since:
            self._since, self._done = since, Step.NOTHING
        due = max((step for step, after_s in self._at.items() if now >= self._since + after_s), default=Step.NOTHING)
        if due <= self._done:
            return Step.NOTHING
        self._done = due
        return due

    @property
    def due_at(self) -> float:
        """When to look next, if nothing comes until then."""
        return self._since + min((after_s for step, after_s in self._at.items() if step > self._done), default=inf)
