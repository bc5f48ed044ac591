"""STUN Binding transactions over UDP (:rfc:`8489#section-6.2.1`): asked, asked again, answered or given up."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol

from sipagent.sip.events import Address, Flow, Transmit
from sipagent.sip.transaction import TimerKey
from sipagent.stun import Kind, build_request, parse_message
from sipagent.timers import Timers

RTO_S = 0.5
"""Until a request is sent again; then twice that, and so on."""

RC = 7
"""Requests in all."""

RM = 16
"""Times RTO from the last request to giving up."""

TRANSACTION_BITS = 96


class StunUser(Protocol):
    """Whoever wants to know."""

    def on_bound(self, mapped: Address, *, now: float) -> None:
        """The server sees us at this address."""

    def on_unbound(self, *, now: float) -> None:
        """The server keeps silent, or refuses."""


class StunClient:
    """The live transactions.

    :param transmit: called with whatever is to be sent.
    """

    def __init__(self, timers: Timers[TimerKey], transmit: Callable[[Transmit], None], *, random: Random) -> None:
        self._timers = timers
        self._transmit = transmit
        self._random = random
        self._live: dict[bytes, StunTransaction] = {}

    def __len__(self) -> int:
        return len(self._live)

    def ask(self, flow: Flow, user: StunUser, *, now: float, tries: int = RC) -> "StunTransaction":
        """Ask the far end of a flow how it sees us; ``user`` is told, unless the transaction is cancelled.

        :param tries: requests in all.
        """
        number = self._random.getrandbits(TRANSACTION_BITS).to_bytes(TRANSACTION_BITS // 8, "big")
        transmit = partial(self._transmit, Transmit(build_request(number), flow))
        forget = partial(self._live.pop, number, None)
        transaction = StunTransaction(flow, user, self._timers, transmit=transmit, forget=forget)
        self._live[number] = transaction
        transaction.start(tries, now=now)
        return transaction

    def receive(self, data: bytes, flow: Flow, *, now: float) -> bool:
        """Take a STUN message; return whether it answers one of ours, from where that was sent to."""
        message = parse_message(data)
        if message is None or message.kind not in (Kind.SUCCESS, Kind.ERROR):
            return False
        transaction = self._live.get(message.transaction)
        if transaction is None or transaction.flow.remote != flow.remote:
            return False
        transaction.finish(message.mapped, now=now)
        return True


class StunTransaction:
    """One transaction."""

    def __init__(
        self,
        flow: Flow,
        user: StunUser,
        timers: Timers[TimerKey],
        *,
        transmit: Callable[[], None],
        forget: Callable[[], object],
    ) -> None:
        self.flow = flow
        self._user = user
        self._timers = timers
        self._transmit = transmit
        self._forget = forget
        self._tries = 0
        self._rto_s = RTO_S

    def start(self, tries: int, *, now: float) -> None:
        """Send the first of so many requests."""
        self._tries = tries
        self._send(now)

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._timers.cancel((self, "retry"))
        self._forget()

    def finish(self, mapped: Address | None, *, now: float) -> None:
        """It was answered, or given up."""
        self.cancel()
        if mapped is None:
            self._user.on_unbound(now=now)
        else:
            self._user.on_bound(mapped, now=now)

    def on_timer(self, timer: str, *, now: float) -> None:
        """Ask again, or give up."""
        if self._tries:
            self._send(now)
        else:
            self.finish(None, now=now)

    def _send(self, now: float) -> None:
        self._tries -= 1
        self._transmit()
        wait_s, self._rto_s = (self._rto_s if self._tries else RM * RTO_S), 2 * self._rto_s
        self._timers.set((self, "retry"), now + wait_s)
