"""The targets that failed of late: they come last, so that no call sticks to a dead one, and they come back in time."""

from collections.abc import Sequence

from sipagent.sip.events import Address, Flow

DEAD_S = 60.0
"""Twice as long as a request to a dead server takes to fail, so that it is not every other one that waits."""

MAX_DEAD = 1_024
"""Targets that are remembered; beyond it the oldest is forgotten."""


class DeadTargets:
    """Which targets failed, and until when that counts (:rfc:`3263#section-4.3`)."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, Address], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, target: Flow, *, now: float) -> None:
        """Put a target last for :data:`DEAD_S`."""
        key = (target.transport, target.remote)
        self._until.pop(key, None)
        if len(self._until) >= MAX_DEAD:
            del self._until[next(iter(self._until))]
        self._until[key] = now + DEAD_S

    def put_last(self, targets: Sequence[Flow], *, now: float) -> list[Flow]:
        """Return the targets in their order, those that are dead behind the others, the one longest dead in front."""
        return sorted(targets, key=lambda target: self._dead_until(target, now))

    def _dead_until(self, target: Flow, now: float) -> float:
        key = (target.transport, target.remote)
        until = self._until.get(key, now)
        if until <= now:
            self._until.pop(key, None)
            return 0.0
        return until
