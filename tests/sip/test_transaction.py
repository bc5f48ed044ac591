"""The four machines against the figures of RFC 3261 and RFC 6026, at exact times."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from sip.peers import describe, respond, write
from sip.peers import request as write_request

from sipagent.sip.events import Flow, Transmit
from sipagent.sip.message import Request, Response, make_response, parse_message
from sipagent.sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Event,
    State,
    Table,
    TimerKey,
    Transactions,
    make_cancel,
)
from sipagent.timers import Timers

UDP = Flow("UDP", ("192.0.2.2", 5060), ("192.0.2.1", 5060))
TCP = Flow("TCP", ("192.0.2.2", 5060), ("192.0.2.1", 5060))
EVENTS = [Event.REQUEST, Event.ACK, Event.PROVISIONAL, Event.SUCCESS, Event.FAILURE, Event.TRANSPORT_ERROR]
STATUS = {Event.PROVISIONAL: 180, Event.SUCCESS: 200, Event.FAILURE: 486, Event.TRANSPORT_ERROR: 200}
TABLES = [INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER]


class User:
    """Takes note of all it is told."""

    local_tag = "us"

    def __init__(self) -> None:
        self.told: list[str] = []

    def receive_response(self, response: Response, *, now: float) -> None:
        self.told.append(str(response.status))

    def receive_ack(self, request: Request, *, now: float) -> None:
        self.told.append("ACK")

    def receive_cancel(self, *, now: float) -> None:
        self.told.append("CANCEL")

    def transaction_failed(self, failure: str, *, now: float) -> None:
        self.told.append(failure)


class Lab:
    """A transaction layer, its clock, and its wire."""

    def __init__(self) -> None:
        self.timers: Timers[TimerKey] = Timers()
        self.sent: list[Transmit] = []
        self.user = User()
        self.layer = Transactions(self.timers, self.sent.append, limit=3)

    def client(self, method: str, flow: Flow) -> Request:
        message = parse(write(f"{method} sip:bob@192.0.2.2 SIP/2.0", cseq=f"1 {method}", transport=flow.transport))
        assert isinstance(message, Request)
        self.layer.request(message, flow, self.user, now=0.0)
        assert self.pop() == [method]
        return message

    def server(self, method: str, flow: Flow, **fields: Any) -> Callable[..., None]:
        message = parse(write_request(method, transport=flow.transport, **fields))
        assert isinstance(message, Request)
        assert not self.layer.receive_request(message, now=0.0)
        transaction = self.layer.serve(message, flow, self.user)
        return lambda status, now=0.0: transaction.respond(make_response(message, status, to_tag="us"), now=now)

    def receive(self, data: bytes, now: float = 0.0) -> bool:
        message = parse(data)
        if isinstance(message, Request):
            return self.layer.receive_request(message, now=now)
        return self.layer.receive_response(message, now=now)

    def pop(self) -> list[str]:
        out = [describe(parse(transmit.data)) for transmit in self.sent]
        self.sent.clear()
        return out

    def run(self, until: float = 1000.0) -> list[float]:
        """Fire all timers up to ``until``; return when each copy was sent."""
        times = []
        while (at := self.timers.next_at()) is not None and at <= until:
            key = self.timers.pop_due(at)
            assert key is not None
            key[0].on_timer(key[1], now=at)
            times += [at] * len(self.pop())
        return times

    def assert_clean(self) -> None:
        assert len(self.layer) == len(self.timers) == 0
        assert self.timers.next_at() is None
        assert not self.layer._origins
        assert not self.layer._at_ends


def parse(data: bytes) -> Request | Response:
    return parse_message(data)


@pytest.fixture
def lab() -> Lab:
    return Lab()


class TestTables:
    @pytest.mark.parametrize("table", TABLES)
    def test_every_state_can_be_reached(self, table: Table) -> None:
        states = {state for state, _ in table}
        begins = next(iter(table))[0]
        reached = {begins} | {state for state, _ in table.values()}
        assert reached == states | {State.TERMINATED}
        assert State.TERMINATED not in states

    @pytest.mark.parametrize("flow", [UDP, TCP])
    @pytest.mark.parametrize("table", TABLES)
    def test_whatever_happens_nothing_lives_for_ever(self, lab: Lab, table: Table, flow: Flow) -> None:
        """Only a user that never answers, or a peer that rings for ever, keeps a transaction."""
        for seed in range(100):
            random = Random(seed)
            invite = table in (INVITE_CLIENT, INVITE_SERVER)
            data = write_request("INVITE" if invite else "BYE", branch=f"z9hG4bK{seed}", transport=flow.transport)
            request = parse(data)
            assert isinstance(request, Request)
            if table in (INVITE_CLIENT, NON_INVITE_CLIENT):
                transaction = lab.layer.request(request, flow, now=0.0)
            else:
                transaction = lab.layer.serve(request, flow)
            for at in range(random.randint(0, 6)):
                event = random.choice(EVENTS)
                message = request if event in (Event.REQUEST, Event.ACK) else parse(respond(request, STATUS[event]))
                transaction.on_event(event, message, now=float(at))
            transaction.on_event(Event.FAILURE, parse(respond(request, 486, tag="b")), now=6.0)
            lab.run()
            lab.assert_clean()


class TestInviteClient:
    def test_copies_double_until_timer_b(self, lab: Lab) -> None:
        lab.client("INVITE", UDP)
        assert lab.run() == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert lab.user.told == ["timeout"]
        lab.assert_clean()

    def test_no_copies_over_tcp(self, lab: Lab) -> None:
        lab.client("INVITE", TCP)
        assert lab.timers.next_at() == 32.0
        assert lab.run() == []
        assert lab.user.told == ["timeout"]
        lab.assert_clean()

    def test_a_provisional_response_ends_copies_and_timeout(self, lab: Lab) -> None:
        request = lab.client("INVITE", UDP)
        lab.receive(respond(request, 100), 0.2)
        lab.receive(respond(request, 180, tag="b"), 0.3)
        lab.receive(respond(request, 180, tag="b"), 0.4)
        assert lab.user.told == ["100", "180", "180"]
        assert len(lab.timers) == 0

    @pytest.mark.parametrize(("flow", "gone_at"), [(UDP, 33.0), (TCP, 1.0)])
    def test_a_refusal_is_acknowledged_as_often_as_it_comes(self, lab: Lab, flow: Flow, gone_at: float) -> None:
        request = lab.client("INVITE", flow)
        lab.receive(respond(request, 486, tag="b"), 1.0)
        ack = parse(lab.sent[0].data)
        assert isinstance(ack, Request)
        assert lab.pop() == ["ACK"]
        assert (ack.uri, ack.via, ack.cseq.number, ack.call_id) == (request.uri, request.via, 1, request.call_id)
        assert ack.to.tag == "b"
        assert ack.from_ == request.from_
        if flow is UDP:
            assert lab.receive(respond(request, 486, tag="b"), 2.0)
            assert lab.pop() == ["ACK"]
            assert lab.timers.next_at() == gone_at
        assert lab.user.told == ["486"]
        lab.run()
        assert not lab.receive(respond(request, 486, tag="b"), 34.0)
        lab.assert_clean()

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_every_2xx_is_passed_up_until_timer_m(self, lab: Lab, flow: Flow) -> None:
        request = lab.client("INVITE", flow)
        for tag in "bbc":
            assert lab.receive(respond(request, 200, tag=tag), 1.0)
        assert lab.user.told == ["200", "200", "200"]
        assert lab.pop() == []
        assert lab.timers.next_at() == 33.0
        lab.run()
        assert not lab.receive(respond(request, 200, tag="b"), 33.0)
        lab.assert_clean()

    def test_a_late_provisional_or_refusal_is_ignored_after_a_2xx(self, lab: Lab) -> None:
        request = lab.client("INVITE", UDP)
        lab.receive(respond(request, 200, tag="b"))
        lab.receive(respond(request, 180, tag="b"))
        lab.receive(respond(request, 486, tag="b"))
        assert lab.user.told == ["200"]

    def test_the_transport_fails(self, lab: Lab) -> None:
        lab.client("INVITE", TCP)
        lab.layer.transport_failed(UDP, now=0.1)
        assert lab.user.told == []
        lab.layer.transport_failed(TCP, now=0.1)
        assert lab.user.told == ["transport"]
        lab.assert_clean()

    def test_abandoned_after_a_cancel(self, lab: Lab) -> None:
        message = parse(write("INVITE sip:bob@192.0.2.2 SIP/2.0"))
        assert isinstance(message, Request)
        transaction = lab.layer.request(message, UDP, lab.user, now=0.0)
        lab.receive(respond(message, 180))
        transaction.on_event(Event.ABANDONED, None, now=32.0)
        lab.assert_clean()


class TestNonInviteClient:
    def test_copies_up_to_t2_until_timer_f(self, lab: Lab) -> None:
        lab.client("OPTIONS", UDP)
        assert lab.run() == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert lab.user.told == ["timeout"]
        lab.assert_clean()

    def test_copies_every_t2_after_a_provisional_response(self, lab: Lab) -> None:
        request = lab.client("BYE", UDP)
        lab.receive(respond(request, 100), 0.1)
        assert lab.run(13.0) == [0.5, 4.5, 8.5, 12.5]
        lab.receive(respond(request, 200), 13.0)
        assert lab.timers.next_at() == 18.0
        assert lab.user.told == ["100", "200"]
        lab.run()
        lab.assert_clean()

    def test_timer_f_runs_through_proceeding(self, lab: Lab) -> None:
        request = lab.client("BYE", TCP)
        lab.receive(respond(request, 100), 0.1)
        assert lab.timers.next_at() == 32.0
        lab.run()
        assert lab.user.told == ["100", "timeout"]
        lab.assert_clean()

    @pytest.mark.parametrize("status", [200, 302, 481, 603])
    def test_copies_of_the_final_response_are_absorbed_for_t4(self, lab: Lab, status: int) -> None:
        request = lab.client("BYE", UDP)
        lab.receive(respond(request, status), 1.0)
        assert lab.receive(respond(request, status), 2.0)
        assert lab.user.told == [str(status)]
        assert lab.timers.next_at() == 6.0
        lab.run()
        lab.assert_clean()

    def test_over_tcp_nothing_is_left_after_the_final_response(self, lab: Lab) -> None:
        request = lab.client("BYE", TCP)
        lab.receive(respond(request, 200), 1.0)
        lab.assert_clean()


class TestInviteServer:
    def test_a_copy_gets_the_last_provisional_response(self, lab: Lab) -> None:
        answer = lab.server("INVITE", UDP)
        assert lab.receive(write_request("INVITE"))
        assert lab.pop() == []
        answer(100)
        answer(180)
        lab.pop()
        assert lab.receive(write_request("INVITE"), 0.5)
        assert lab.pop() == ["180 INVITE"]
        assert len(lab.timers) == 0

    def test_a_refusal_is_repeated_up_to_t2_until_timer_h(self, lab: Lab) -> None:
        lab.server("INVITE", UDP)(486)
        assert lab.pop() == ["486 INVITE"]
        assert lab.run() == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert lab.user.told == ["timeout"]
        lab.assert_clean()

    def test_over_tcp_a_refusal_is_sent_once(self, lab: Lab) -> None:
        lab.server("INVITE", TCP)(486)
        assert lab.timers.next_at() == 32.0
        assert lab.pop() == ["486 INVITE"]
        assert lab.run() == []
        lab.assert_clean()

    def test_a_copy_gets_the_refusal(self, lab: Lab) -> None:
        lab.server("INVITE", UDP)(486)
        lab.pop()
        assert lab.receive(write_request("INVITE"), 0.2)
        assert lab.pop() == ["486 INVITE"]

    @pytest.mark.parametrize(("flow", "left"), [(UDP, [6.0]), (TCP, [])])
    def test_the_ack_of_a_refusal_ends_the_copies(self, lab: Lab, flow: Flow, left: list[float]) -> None:
        lab.server("INVITE", flow)(486)
        lab.pop()
        ack = write("ACK sip:bob@192.0.2.2 SIP/2.0", branch="z9hG4bKINVITE1", cseq="1 ACK", transport=flow.transport)
        assert lab.receive(ack, 1.0)
        at = lab.timers.next_at()
        assert ([] if at is None else [at]) == left
        assert lab.receive(ack, 1.5) == bool(left)
        assert lab.run() == []
        assert lab.user.told == []
        lab.assert_clean()

    @pytest.mark.parametrize("flow", [UDP, TCP])
    def test_accepted_absorbs_copies_and_passes_2xx_and_ack_until_timer_l(self, lab: Lab, flow: Flow) -> None:
        answer = lab.server("INVITE", flow)
        answer(200, 1.0)
        answer(200, 1.5)
        assert lab.pop() == ["200 INVITE", "200 INVITE"]
        assert lab.receive(write_request("INVITE", transport=flow.transport), 2.0)
        assert lab.pop() == []
        ack = write("ACK sip:bob@192.0.2.2 SIP/2.0", branch="z9hG4bKINVITE1", cseq="1 ACK", transport=flow.transport)
        assert lab.receive(ack, 2.0)
        assert lab.user.told == ["ACK"]
        answer(486, 3.0)
        assert lab.pop() == []
        assert lab.timers.next_at() == 33.0
        lab.run()
        lab.assert_clean()

    def test_the_transport_fails(self, lab: Lab) -> None:
        answer = lab.server("INVITE", TCP)
        lab.layer.transport_failed(TCP, now=0.0)
        assert lab.user.told == ["transport"]
        answer(503)
        lab.layer.transport_failed(TCP, now=1.0)
        lab.run()
        lab.assert_clean()


class TestNonInviteServer:
    def test_a_copy_gets_the_response_until_timer_j(self, lab: Lab) -> None:
        answer = lab.server("BYE", UDP)
        assert lab.receive(write_request("BYE"))
        assert lab.pop() == []
        answer(100)
        answer(200, 1.0)
        answer(500, 1.0)
        assert lab.pop() == ["100 BYE", "200 BYE"]
        assert lab.receive(write_request("BYE"), 2.0)
        assert lab.pop() == ["200 BYE"]
        assert lab.timers.next_at() == 33.0
        lab.run()
        assert not lab.receive(write_request("BYE"), 33.0)
        lab.assert_clean()

    def test_over_tcp_nothing_is_left_after_the_response(self, lab: Lab) -> None:
        lab.server("BYE", TCP)(200)
        lab.assert_clean()

    def test_the_transport_fails(self, lab: Lab) -> None:
        lab.server("BYE", UDP)(200)
        lab.layer.transport_failed(UDP, now=1.0)
        assert lab.user.told == ["transport"]
        lab.assert_clean()


class TestMatching:
    def test_a_server_is_known_by_branch_sent_by_and_method(self, lab: Lab) -> None:
        lab.server("INVITE", UDP, branch="z9hG4bKx")
        assert lab.receive(write_request("INVITE", branch="z9hG4bKx"))
        assert not lab.receive(write_request("INVITE", branch="z9hG4bKy"))
        assert not lab.receive(write_request("BYE", branch="z9hG4bKx"))
        assert lab.receive(write_request("ACK", branch="z9hG4bKx"))
        other = write_request("INVITE", branch="z9hG4bKx").replace(b"UDP 192.0.2.1", b"UDP 192.0.2.9")
        assert not lab.receive(other)

    @pytest.mark.parametrize("branch", ["1", "oldstyle"])
    def test_without_the_cookie_everything_that_names_a_request_counts(self, lab: Lab, branch: str) -> None:
        lab.server("INVITE", UDP, branch=branch)
        assert lab.receive(write_request("INVITE", branch=branch))
        assert lab.receive(write_request("ACK", branch=branch, to_tag="us"))
        assert not lab.receive(write_request("INVITE", branch=branch, call_id="another"))
        assert not lab.receive(write_request("INVITE", branch=branch, from_tag="another"))
        assert not lab.receive(write_request("INVITE", 2, branch=branch))

    def test_no_branch_at_all(self, lab: Lab) -> None:
        def old(method: str, **fields: Any) -> bytes:
            return write_request(method, branch="", **fields).replace(b";branch=;", b";")

        message = parse(old("INVITE"))
        assert isinstance(message, Request)
        lab.layer.serve(message, UDP, lab.user).respond(make_response(message, 486, to_tag="us"), now=0.0)
        assert lab.receive(old("ACK", to_tag="us"))
        assert not lab.receive(old("ACK", to_tag="us", call_id="another"))

    def test_a_response_is_known_by_branch_and_method_and_a_single_via(self, lab: Lab) -> None:
        request = lab.client("INVITE", UDP)
        answer = respond(request, 180, tag="b")
        assert lab.receive(answer)
        assert not lab.receive(answer.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"))
        assert not lab.receive(answer.replace(b"z9hG4bKone", b"z9hG4bKtwo"))
        via = f"Via: {request.via}\r\n".encode()
        assert not lab.receive(answer.replace(via, via + via))

    def test_a_cancel_finds_its_invite(self, lab: Lab) -> None:
        lab.server("INVITE", UDP, branch="z9hG4bKx")

        def find(**fields: Any) -> bool:
            cancel = parse(write_request("CANCEL", **{"branch": "z9hG4bKx", **fields}))
            assert isinstance(cancel, Request)
            return lab.layer.find_invite(cancel) is not None

        assert find()
        assert not find(branch="z9hG4bKy")
        assert not find(call_id="another")
        assert not find(from_tag="another")

    def test_a_request_that_comes_by_two_paths_is_merged(self, lab: Lab) -> None:
        def is_merged(**fields: Any) -> bool:
            message = parse(write_request("INVITE", **fields))
            assert isinstance(message, Request)
            return lab.layer.is_merged(message)

        assert not is_merged(branch="z9hG4bKy")
        lab.server("INVITE", UDP, branch="z9hG4bKx")(486)
        assert is_merged(branch="z9hG4bKy")
        assert not is_merged(branch="z9hG4bKy", to_tag="b")
        assert not is_merged(branch="z9hG4bKy", from_tag="another")
        lab.run()
        assert not is_merged(branch="z9hG4bKy")

    def test_the_limit(self, lab: Lab) -> None:
        for number in range(3):
            assert not lab.layer.is_full
            lab.server("BYE", UDP, branch=f"z9hG4bK{number}")(200)
        assert lab.layer.is_full
        lab.run()
        assert not lab.layer.is_full


def test_a_cancel_repeats_what_names_its_request() -> None:
    message = parse(write("INVITE sip:bob@192.0.2.2 SIP/2.0", headers="Route: <sip:p1;lr>, <sip:p2;lr>"))
    assert isinstance(message, Request)
    cancel = parse(bytes(make_cancel(message)))
    assert isinstance(cancel, Request)
    assert (cancel.method, cancel.uri, cancel.via, cancel.to) == ("CANCEL", message.uri, message.via, message.to)
    assert (cancel.cseq.number, cancel.call_id, cancel.from_) == (1, message.call_id, message.from_)
    assert cancel.headers.get_all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
