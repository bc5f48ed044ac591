"""Pings over connections, and whoever waits for their pongs (:rfc:`5626#section-3.5.1`)."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from sipagent.sip.events import Address, Flow, Ping

Key: TypeAlias = tuple[str, Address]


class PingUser(Protocol):
    """Whoever pings."""

    def receive_pong(self, *, now: float) -> None:
        """The peer is there."""


class Pings:
    """Those that are not answered. Accounts may share a connection, and then one pong answers them all.

    :param emit: called with whatever is to be sent.
    """

    def __init__(self, emit: Callable[[Ping], None]) -> None:
        self._emit = emit
        self._waiting: dict[Key, list[PingUser]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def send(self, flow: Flow, user: PingUser) -> None:
        """Ping the far end of a flow; ``user`` is told, unless it forgets the ping before."""
        self._waiting.setdefault(_key(flow), []).append(user)
        self._emit(Ping(flow))

    def forget(self, flow: Flow, user: PingUser) -> None:
        """Nobody waits any more; to forget what is not there is no error."""
        waiting = [each for each in self._waiting.pop(_key(flow), []) if each is not user]
        if waiting:
            self._waiting[_key(flow)] = waiting

    def receive_pong(self, flow: Flow, *, now: float) -> None:
        """A pong came over a flow."""
        for user in self._waiting.pop(_key(flow), []):
            user.receive_pong(now=now)


def _key(flow: Flow) -> Key:
    return flow.transport, flow.remote
