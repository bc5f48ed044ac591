"""Our address as a STUN server sees it, at exact times."""

from random import Random

import pytest
from test_stun import attribute, message, xored

from sipagent.sip.core import Core, UserAgentSettings
from sipagent.sip.discovery import INTERVAL_S, RETRY_S, SERVERS_MAX, Discovery
from sipagent.sip.events import AddressSeen, Event, Flow, Locate, Transmit
from sipagent.sip.uri import Uri

SERVER = Uri.parse("sip:stun.example.com:3478")
TARGETS = [Flow("UDP", (f"198.51.100.{number}", 3478), ("192.168.1.5", 5060)) for number in range(1, 9)]
GIVEN_UP_S = 11.5


class Bench:
    def __init__(self) -> None:
        self.core = Core(UserAgentSettings(), Random(1))
        self.discovery = Discovery(self.core, SERVER)
        self.now = 0.0
        self.outputs: list[tuple[float, Event]] = []
        self.discovery.start(now=0.0)
        self.run(0.0)

    def run(self, until: float) -> None:
        self.drain()
        while (at := self.core.timers.next_at()) is not None and at <= until:
            self.now = at
            key = self.core.timers.pop_due(at)
            assert key is not None
            key[0].on_timer(key[1], now=at)
            self.drain()
        self.now = until

    def drain(self) -> None:
        while self.core.outputs:
            self.outputs.append((self.now, self.core.outputs.popleft()))

    def located(self, *targets: Flow) -> None:
        self.core.located(self.queries[-1], targets, reason="", now=self.now)
        self.drain()

    def answer(self, data: bytes) -> None:
        flow, request = self.asked[-1]
        assert self.core.stun.receive(data[:8] + request[8:20] + data[20:], flow, now=self.now)
        self.drain()

    @property
    def queries(self) -> list[int]:
        return [event.query for _, event in self.outputs if isinstance(event, Locate)]

    @property
    def asked(self) -> list[tuple[Flow, bytes]]:
        return [(event.flow, event.data) for _, event in self.outputs if isinstance(event, Transmit)]

    @property
    def seen(self) -> list[tuple[float, AddressSeen]]:
        return [(at, event) for at, event in self.outputs if isinstance(event, AddressSeen)]


FOUND = message(xored("203.0.113.9", 40_000))
REFUSED = message(attribute(0x0009, b"\0\0\5\0"), kind=0x0111)


def test_it_is_asked_at_once_and_again_and_again() -> None:
    bench = Bench()
    assert bench.outputs == [(0.0, Locate(1, SERVER))]
    for at in (0.0, INTERVAL_S):
        bench.run(at)
        bench.located(*TARGETS)
        bench.answer(FOUND)
    assert bench.seen == [(at, AddressSeen(("203.0.113.9", 40_000), TARGETS[0])) for at in (0.0, INTERVAL_S)]
    assert len(bench.asked) == 2
    bench.run(2 * INTERVAL_S)
    assert len(bench.queries) == 3


def test_a_server_that_is_silent_or_refuses_makes_room_for_the_next() -> None:
    bench = Bench()
    bench.located(*TARGETS[:3])
    bench.run(GIVEN_UP_S)
    bench.answer(REFUSED)
    bench.answer(FOUND)
    assert [flow for flow, _ in bench.asked] == [TARGETS[0]] * 4 + TARGETS[1:3]
    assert [at for at, _ in bench.seen] == [GIVEN_UP_S]


def test_when_none_answers_it_is_tried_again_before_long() -> None:
    bench = Bench()
    bench.located(*TARGETS)
    bench.run(SERVERS_MAX * GIVEN_UP_S + RETRY_S - 0.1)
    assert {flow for flow, _ in bench.asked} == set(TARGETS[:SERVERS_MAX])
    assert len(bench.queries) == 1
    bench.run(SERVERS_MAX * GIVEN_UP_S + RETRY_S)
    assert len(bench.queries) == 2


def test_a_name_that_leads_nowhere_is_looked_up_again() -> None:
    bench = Bench()
    bench.located()
    bench.run(RETRY_S)
    assert (len(bench.queries), bench.asked) == (2, [])
    bench.located(Flow("TCP", TARGETS[0].remote))
    bench.run(2 * RETRY_S)
    assert (len(bench.queries), bench.asked) == (3, [])


@pytest.mark.parametrize("is_located", [False, True])
def test_what_is_stopped_asks_no_more(is_located: bool) -> None:
    bench = Bench()
    if is_located:
        bench.located(TARGETS[0])
    bench.discovery.stop()
    if not is_located:
        bench.located(TARGETS[0])
    bench.run(1_000.0)
    assert (len(bench.queries), len(bench.asked), len(bench.core.stun)) == (1, int(is_located), 0)
