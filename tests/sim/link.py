"""One direction of a network: it delays, loses in bursts, doubles and reorders, always alike for the same seed."""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """How bad it is; a plain one is a good line of 20 ms."""

    latency_s: float = 0.020
    jitter_s: float = 0.0
    """The most that is added to the latency; jitter alone keeps the order."""
    loss: float = 0.0
    """The share that is lost in the long run."""
    burst: float = 1.0
    """How many are lost in a row, on average."""
    duplicate: float = 0.0
    """The share that comes twice."""
    reorder: float = 0.0
    """The share that others overtake."""
    reorder_s: float = 0.050
    """How long those are held back."""


class Link:
    """Says when each packet arrives: not at all, once, or twice."""

    def __init__(self, settings: LinkSettings, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._is_losing = False
        self._last_at = 0.0
        self._recovers = 1 / max(settings.burst, 1.0)
        self._fails = min(1.0, settings.loss * self._recovers / max(1 - settings.loss, 1e-9))

    def arrivals(self, now: float) -> tuple[float, ...]:
        """When the packet that is sent now arrives."""
        if self._is_lost():
            return ()
        settings, random = self._settings, self._random.random
        at = now + settings.latency_s + settings.jitter_s * random()
        if settings.reorder and random() < settings.reorder:
            at += settings.reorder_s
        else:
            at = self._last_at = max(at, self._last_at)
        if settings.duplicate and random() < settings.duplicate:
            return (at, at + 0.001 + settings.jitter_s * random())
        return (at,)

    def _is_lost(self) -> bool:
        """Gilbert's model: a good state that passes all and a bad one that passes nothing."""
        if not self._settings.loss:
            return False
        turns = self._recovers if self._is_losing else self._fails
        if self._random.random() < turns:
            self._is_losing = not self._is_losing
        return self._is_losing
