"""Binding transactions at exact times."""

from random import Random

from test_stun import attribute, message, xored

from sipagent.sip.events import Address, Flow, Transmit
from sipagent.sip.stun_client import RC, RM, RTO_S, StunClient
from sipagent.sip.transaction import TimerKey
from sipagent.stun import Kind, parse_message
from sipagent.timers import Timers

SERVER = Flow("UDP", ("198.51.100.1", 3478), ("192.0.2.1", 5060))
SEEN: Address = ("203.0.113.5", 40_000)


class Asker:
    """StunClient, their timers, and a user that notes what it is told."""

    def __init__(self) -> None:
        self.timers: Timers[TimerKey] = Timers()
        self.sent: list[tuple[float, Transmit]] = []
        self.told: list[tuple[float, Address | None]] = []
        self.now = 0.0
        self.client = StunClient(self.timers, self.transmit, random=Random(1))

    def transmit(self, transmit: Transmit) -> None:
        self.sent.append((self.now, transmit))

    def on_bound(self, mapped: Address, *, now: float) -> None:
        self.told.append((now, mapped))

    def on_unbound(self, *, now: float) -> None:
        self.told.append((now, None))

    def run(self, until: float) -> None:
        while (at := self.timers.next_at()) is not None and at <= until:
            self.now = at
            key = self.timers.pop_due(at)
            assert key is not None
            key[0].on_timer(key[1], now=at)
        self.now = until

    @property
    def transaction(self) -> bytes:
        request = parse_message(self.sent[-1][1].data)
        assert request is not None
        assert request.kind is Kind.REQUEST
        return request.transaction

    def answer(self, *attributes: bytes, kind: int = 0x0101, flow: Flow = SERVER, transaction: bytes = b"") -> bool:
        data = message(*attributes, kind=kind)
        data = data[:8] + (transaction or self.transaction) + data[20:]
        return self.client.receive(data, flow, now=self.now)


def mapped() -> bytes:
    """SEEN, in a form that does not depend on the transaction."""
    return xored(SEEN[0], SEEN[1])


def test_an_answer() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0)
    assert [(at, transmit.flow) for at, transmit in asker.sent] == [(0.0, SERVER)]
    asker.run(0.2)
    assert asker.answer(mapped())
    assert asker.told == [(0.2, SEEN)]
    assert (len(asker.client), len(asker.timers)) == (0, 0)
    assert not asker.answer(mapped()), "only once"


def test_it_is_asked_again_at_growing_intervals_and_then_given_up() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0)
    asker.run(100.0)
    assert [at for at, _ in asker.sent] == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert len(asker.sent) == RC
    assert len({transmit.data for _, transmit in asker.sent}) == 1
    assert asker.told == [(31.5 + RM * RTO_S, None)]
    assert (len(asker.client), len(asker.timers)) == (0, 0)


def test_a_late_answer_to_any_of_them_counts() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0, tries=2)
    asker.run(8.4)
    assert len(asker.sent) == 2
    assert asker.answer(mapped())
    assert asker.told == [(8.4, SEEN)]
    asker.run(100.0)
    assert len(asker.told) == 1


def test_fewer_tries_give_up_sooner() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0, tries=4)
    asker.run(100.0)
    assert ([at for at, _ in asker.sent], asker.told) == ([0.0, 0.5, 1.5, 3.5], [(11.5, None)])


def test_a_refusal_is_no_address() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0)
    assert asker.answer(attribute(0x0009, b"\0\0\5\0"), kind=0x0111)
    assert asker.told == [(0.0, None)]


def test_nobody_else_is_believed() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0)
    assert not asker.answer(mapped(), flow=Flow("UDP", ("198.51.100.1", 9), SERVER.local))
    assert not asker.answer(mapped(), flow=Flow("UDP", ("198.51.100.2", 3478), SERVER.local))
    assert not asker.answer(mapped(), transaction=bytes(12))
    assert not asker.answer(kind=0x0001), "our own request that comes back is no answer"
    assert not asker.answer(), "a success without an address"
    assert asker.told == []
    assert asker.answer(mapped())


def test_what_is_cancelled_is_not_told() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0).cancel()
    assert not asker.answer(mapped())
    asker.run(100.0)
    assert (asker.told, len(asker.sent), len(asker.client)) == ([], 1, 0)


def test_transactions_are_not_mixed_up() -> None:
    asker = Asker()
    asker.client.ask(SERVER, asker, now=0.0)
    first = asker.transaction
    asker.client.ask(SERVER, asker, now=0.0)
    assert asker.transaction != first
    assert asker.answer(mapped(), transaction=first)
    assert len(asker.client) == 1
