"""The flows that are kept open, and all who want that: one of them sees to it for the others.

Ten thousand accounts may share one connection, and a sign of life over it is one for all of them. The first that came
gives the signs, and when it goes, the next does. When the flow is dead, it is so for all.
"""

from collections.abc import Callable
from typing import Protocol

from sipagent.sip.events import Address, Event, Flow, FlowDead


class FlowKeeper(Protocol):
    """Whoever wants a flow kept open."""

    def lead(self, *, now: float) -> None:
        """Give the signs of life from now on."""

    def receive_pong(self, *, now: float) -> None:
        """The peer answers pings."""

    def receive_death(self, *, now: float) -> None:
        """There is nothing to keep any more."""


class Flows:
    """Who keeps which flow.

    :param emit: called with whatever is to be sent.
    """

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit
        self._keepers: dict[tuple[str, Address], dict[FlowKeeper, None]] = {}

    def __len__(self) -> int:
        return len(self._keepers)

    def join(self, flow: Flow, keeper: FlowKeeper, *, now: float) -> None:
        """Have the flow kept open."""
        keepers = self._keepers.setdefault(flow.key, {})
        keepers[keeper] = None
        if len(keepers) == 1:
            keeper.lead(now=now)

    def leave(self, flow: Flow, keeper: FlowKeeper, *, now: float) -> None:
        """Want that no more; to leave what was never joined is no error."""
        keepers = self._keepers.get(flow.key)
        if keepers is None or keeper not in keepers:
            return
        was_first = next(iter(keepers)) is keeper
        del keepers[keeper]
        if not keepers:
            del self._keepers[flow.key]
        elif was_first:
            next(iter(keepers)).lead(now=now)

    def receive_pong(self, flow: Flow, *, now: float) -> None:
        """A pong came."""
        keepers = self._keepers.get(flow.key)
        if keepers is not None:
            next(iter(keepers)).receive_pong(now=now)

    def die(self, flow: Flow, *, now: float) -> None:
        """Nothing comes back over it."""
        if flow.reliable:
            self._emit(FlowDead(flow))
        for keeper in self._keepers.pop(flow.key, {}):
            keeper.receive_death(now=now)
