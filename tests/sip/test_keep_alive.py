"""Signs of life at exact times, by each method, and what is made of silence."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from test_stun import message, xored

from sipagent.sip.account import Account, KeepAliveMethod
from sipagent.sip.core import Core, UserAgentSettings
from sipagent.sip.events import Event, Flow, FlowDead, Ping, Transmit
from sipagent.sip.keep_alive import ANSWER_S, DATAGRAM, KeepAlive, Method, choose_method
from sipagent.sip.message import Request, make_response, parse_message
from sipagent.sip.uri import Uri
from sipagent.stun import is_stun

PBX = ("203.0.113.5", 5060)
UDP = Flow("UDP", PBX, ("192.0.2.1", 5060))
TCP = Flow("TCP", PBX, ("192.0.2.1", 5060))
TLS, WSS = replace(TCP, transport="TLS"), replace(TCP, transport="WSS")
STREAMS = pytest.mark.parametrize("flow", [TCP, TLS, WSS], ids=lambda flow: flow.transport)


class Steady(Random):
    """Draws the middle; what is random otherwise comes from a seed."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class Bench:
    """A keep-alive on a core of its own. Beats come after 9 s, and the time is :attr:`now`."""

    def __init__(
        self, flow: Flow, method: KeepAliveMethod = "auto", *, random: Random | None = None, **options: float | bool
    ) -> None:
        self.core = Core(UserAgentSettings(), random or Steady(1))
        account = Account(
            name="office",
            address=Uri.parse("sip:100@pbx.example.com"),
            contact_user="x",
            keep_alive=method,
            keep_alive_s=10.0,
        )
        self.flow = flow
        self.now = 0.0
        self.dead_at: list[float] = []
        self.outputs: list[tuple[float, Event]] = []
        self.keep_alive = KeepAlive(self.core, flow, account, self, **options)  # type: ignore[arg-type]
        self.keep_alive.start(now=0.0)

    def on_flow_dead(self, *, now: float) -> None:
        self.dead_at.append(now)

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

    def pong(self) -> None:
        self.core.flows.receive_pong(replace(self.flow, local=None), now=self.now)
        self.drain()

    def answer_options(self, status: int = 200) -> None:
        response = parse_message(bytes(make_response(self.options[-1], status)))
        assert not isinstance(response, Request)
        self.core.transactions.receive_response(response, now=self.now)

    def answer_stun(self, port: int = 40_000) -> None:
        data = message(xored("198.51.100.1", port))
        request = [event.data for _, event in self.outputs if isinstance(event, Transmit)][-1]
        assert self.core.stun.receive(data[:8] + request[8:20] + data[20:], self.flow, now=self.now)

    @property
    def pings(self) -> list[float]:
        return [at for at, event in self.outputs if isinstance(event, Ping)]

    @property
    def sent(self) -> list[tuple[float, bytes]]:
        return [(at, event.data) for at, event in self.outputs if isinstance(event, Transmit)]

    @property
    def options(self) -> list[Request]:
        messages = [parse_message(data) for _, data in self.sent if data.startswith(b"OPTIONS")]
        return [request for request in messages if isinstance(request, Request)]

    def assert_over(self) -> None:
        """Nothing more will come."""
        before = len(self.outputs)
        self.run(self.now + 1_000.0)
        assert len(self.outputs) == before
        assert (len(self.core.stun), len(self.core.flows)) == (0, 0)


@pytest.mark.parametrize(
    ("wanted", "flow", "method"),
    [
        ("auto", UDP, None),
        ("auto", TCP, Method.PING),
        ("auto", WSS, Method.PING),
        ("crlf", UDP, Method.DATAGRAM),
        ("crlf", TLS, Method.PING),
        ("stun", UDP, Method.STUN),
        ("stun", TCP, Method.PING),
        ("options", UDP, Method.OPTIONS),
        ("options", TCP, Method.OPTIONS),
        ("off", UDP, None),
        ("off", TCP, None),
    ],
)
def test_the_method(wanted: KeepAliveMethod, flow: Flow, method: Method | None) -> None:
    assert choose_method(wanted, flow) is method
    bench = Bench(flow, wanted)
    bench.run(9.0)
    assert (len(bench.outputs) > 0) is (method is not None)


class TestPing:
    @STREAMS
    def test_a_peer_that_answers(self, flow: Flow) -> None:
        bench = Bench(flow)
        for beat in range(1, 5):
            bench.run(9.0 * beat)
            bench.pong()
        assert (bench.pings, bench.dead_at) == ([9.0, 18.0, 27.0, 36.0], [])
        assert [event for _, event in bench.outputs] == [Ping(flow)] * 4

    @STREAMS
    def test_one_that_answered_and_does_no_more_is_dead_after_ten_seconds(self, flow: Flow) -> None:
        bench = Bench(flow)
        bench.run(9.0)
        bench.pong()
        bench.run(18.0 + ANSWER_S)
        assert bench.dead_at == [28.0]
        assert bench.outputs[-1] == (28.0, FlowDead(flow))
        bench.assert_over()

    def test_one_that_never_answers_is_asked_by_options(self) -> None:
        """Asterisk leaves pings unanswered; a flow that is well must not be torn down each half minute for that."""
        bench = Bench(TCP)
        bench.run(19.0)
        assert (bench.pings, bench.dead_at) == ([9.0], [])
        bench.run(28.0)
        bench.answer_options(404)
        bench.run(37.0)
        bench.answer_options()
        assert (bench.pings, len(bench.options), bench.dead_at) == ([9.0], 2, [])
        bench.run(46.0 + ANSWER_S)
        assert bench.dead_at == [56.0]
        bench.assert_over()

    def test_where_pings_were_asked_for_it_is_pinged_on_and_never_dead(self) -> None:
        bench = Bench(TCP, "crlf")
        bench.run(60.0)
        assert (bench.pings, bench.options, bench.dead_at) == ([9.0, 28.0, 47.0], [], [])

    def test_a_registrar_that_promises_pongs_is_held_to_it(self) -> None:
        bench = Bench(TCP, expects_pong=True)
        bench.run(30.0)
        assert bench.dead_at == [19.0]

    def test_a_pong_of_another_connection_is_none(self) -> None:
        bench = Bench(TCP, expects_pong=True)
        bench.run(9.0)
        bench.core.flows.receive_pong(replace(TCP, remote=("203.0.113.5", 5061)), now=9.0)
        bench.core.flows.receive_pong(TLS, now=9.0)
        bench.run(30.0)
        assert bench.dead_at == [19.0]

    def test_a_late_pong_changes_nothing(self) -> None:
        bench = Bench(TCP, expects_pong=True)
        bench.run(20.0)
        bench.pong()
        assert bench.dead_at == [19.0]
        bench.assert_over()


class TestDatagram:
    def test_a_crlf_each_time_and_nothing_comes_of_it(self) -> None:
        bench = Bench(UDP, "crlf")
        bench.run(40.0)
        assert bench.sent == [(at, DATAGRAM) for at in (9.0, 18.0, 27.0, 36.0)]
        assert bench.dead_at == []


class TestStun:
    def test_a_peer_that_answers(self) -> None:
        bench = Bench(UDP, "stun")
        for beat in (9.0, 18.0):
            bench.run(beat)
            bench.answer_stun()
        assert [at for at, data in bench.sent if is_stun(data)] == [9.0, 18.0]
        assert bench.dead_at == []

    def test_one_that_does_not(self) -> None:
        bench = Bench(UDP, "stun")
        bench.run(100.0)
        assert [at for at, _ in bench.sent] == [9.0, 9.5, 10.5, 12.5]
        assert bench.dead_at == [20.5]
        bench.assert_over()

    def test_a_mapping_that_moved_is_a_dead_flow(self) -> None:
        bench = Bench(UDP, "stun")
        bench.run(9.0)
        bench.answer_stun()
        bench.run(18.0)
        bench.answer_stun(40_001)
        assert bench.dead_at == [18.0]
        bench.assert_over()


class TestOptions:
    def test_what_it_holds(self) -> None:
        bench = Bench(UDP, "options")
        bench.run(9.0)
        (request,) = bench.options
        assert (str(request.uri), str(request.to)) == ("sip:pbx.example.com", "<sip:pbx.example.com>")
        assert str(request.from_.uri) == "sip:100@pbx.example.com"
        assert "Authorization" not in request.headers

    @pytest.mark.parametrize("status", [200, 401, 404, 483, 503])
    def test_any_answer_is_life(self, status: int) -> None:
        bench = Bench(UDP, "options")
        for beat in (9.0, 18.0):
            bench.run(beat)
            bench.answer_options(status)
        bench.run(26.9)
        assert (len(bench.options), bench.dead_at) == (2, [])

    @pytest.mark.parametrize("flow", [UDP, TCP], ids=["udp", "tcp"])
    def test_silence_is_not(self, flow: Flow) -> None:
        bench = Bench(flow, "options")
        bench.run(19.0)
        assert bench.dead_at == [19.0]
        assert len(bench.options) == (1 if flow.reliable else 5), "UDP sends copies"
        bench.assert_over()

    def test_a_connection_that_is_lost(self) -> None:
        bench = Bench(TCP, "options")
        bench.run(9.0)
        bench.core.transactions.transport_failed(TCP, now=9.0)
        assert bench.dead_at == [9.0]
        bench.drain()
        bench.assert_over()


class TestSharing:
    """Two accounts, the other of which began four seconds later."""

    def other(self, bench: Bench) -> KeepAlive:
        bench.run(4.0)
        account = replace(bench.keep_alive._account, name="other")
        other = KeepAlive(bench.core, bench.flow, account, bench)
        other.start(now=4.0)
        return other

    @pytest.mark.parametrize(
        ("method", "flow"), [("crlf", UDP), ("crlf", TCP), ("stun", UDP), ("options", UDP), ("options", TCP)]
    )
    def test_a_sign_to_one_is_a_sign_to_both(self, method: KeepAliveMethod, flow: Flow) -> None:
        bench = Bench(flow, method)
        self.other(bench)
        for beat in (9.0, 18.0, 27.0):
            bench.run(beat)
            if bench.options:
                bench.answer_options()
            elif method == "stun":
                bench.answer_stun()
            elif flow.reliable:
                bench.pong()
        assert [at for at, _ in bench.outputs] == [9.0, 18.0, 27.0]
        assert bench.dead_at == []

    @pytest.mark.parametrize(("method", "flow"), [("crlf", TCP), ("stun", UDP), ("options", UDP)])
    def test_what_is_dead_for_one_is_for_both(self, method: KeepAliveMethod, flow: Flow) -> None:
        bench = Bench(flow, method, expects_pong=True)
        self.other(bench)
        bench.run(25.0)
        assert len(bench.dead_at) == 2
        assert len(set(bench.dead_at)) == 1
        assert [event for _, event in bench.outputs].count(FlowDead(flow)) == flow.reliable
        bench.assert_over()

    def test_when_the_first_leaves_the_other_goes_on(self) -> None:
        bench = Bench(TCP, expects_pong=True)
        other = self.other(bench)
        bench.run(13.0)
        assert bench.pings == [9.0]
        bench.keep_alive.stop(now=13.0)
        bench.run(22.0)
        assert bench.pings == [9.0, 22.0]
        bench.pong()
        bench.run(41.0)
        assert (bench.pings, bench.dead_at) == ([9.0, 22.0, 31.0], [41.0])
        other.stop(now=41.0)
        bench.assert_over()

    def test_when_the_other_leaves_the_first_goes_on(self) -> None:
        bench = Bench(TCP, expects_pong=True)
        self.other(bench).stop(now=4.0)
        bench.run(9.0)
        bench.pong()
        bench.run(18.0)
        assert bench.pings == [9.0, 18.0]
        bench.keep_alive.stop(now=18.0)
        bench.assert_over()


class TestTimes:
    def test_beats_are_uneven(self) -> None:
        bench = Bench(UDP, "crlf", random=Random(1))
        bench.run(1_000.0)
        times = [0.0, *(at for at, _ in bench.sent)]
        gaps = [after - before for before, after in pairwise(times)]
        assert all(8.0 <= gap <= 10.0 for gap in gaps)
        assert max(gaps) - min(gaps) > 1.0

    @pytest.mark.parametrize(("flow_timer_s", "first"), [(5.0, 4.5), (60.0, 9.0), (None, 9.0)])
    def test_the_registrar_may_want_them_sooner(self, flow_timer_s: float | None, first: float) -> None:
        bench = Bench(TCP, flow_timer_s=flow_timer_s)  # type: ignore[arg-type]
        bench.run(10.0)
        assert bench.pings == [first]

    @pytest.mark.parametrize("method", ["crlf", "stun", "options"])
    @pytest.mark.parametrize("flow", [UDP, TCP], ids=["udp", "tcp"])
    @pytest.mark.parametrize("until", [5.0, 9.0, 9.7])
    def test_what_is_stopped_is_silent(self, method: KeepAliveMethod, flow: Flow, until: float) -> None:
        bench = Bench(flow, method, expects_pong=True)
        bench.run(until)
        bench.keep_alive.stop(now=until)
        bench.drain()
        bench.assert_over()
        assert bench.dead_at == []
