"""Reliable provisional responses: copies until the PRACK, their order, and the number that a PRACK bears."""

from random import Random

import pytest
from sip.peers import invite, respond

from sipagent.sip.core import Core, UserAgentSettings
from sipagent.sip.headers import CSeq, Headers
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.reliable import (
    FIRST_RSEQ_MAX,
    WAITING_MAX,
    RAck,
    ReliableOrder,
    ReliableProvisionals,
    read_rack,
    read_rseq,
)

INVITE = CSeq(7, "INVITE")


def ringing(status: int = 180, *, headers: str = "", body: bytes = b"") -> Response:
    request = parse_message(invite())
    assert isinstance(request, Request)
    message = parse_message(respond(request, status, headers=headers, body=body))
    assert isinstance(message, Response)
    return message


class Server:
    """An INVITE that rings: what it sent, and when."""

    def __init__(self) -> None:
        self.core = Core(UserAgentSettings(), random=Random(1))
        self.sent: list[tuple[float, int]] = []
        self.unheard_at: float | None = None
        self.reliable = ReliableProvisionals(self.core, INVITE, self)

    def send_provisional(self, response: Response, *, now: float) -> None:
        self.last = read_rseq(response)
        self.sent.append((now, response.status))

    def on_unheard(self, *, now: float) -> None:
        self.unheard_at = now

    def prack(self, number: int | None = None, now: float = 0.0) -> bool:
        number = self.last if number is None else number
        return self.reliable.receive_prack(RAck(number or 0, INVITE), now=now) is not None

    def run(self, to: float) -> None:
        while (at := self.core.timers.next_at()) is not None and at <= to:
            key = self.core.timers.pop_due(at)
            assert key is not None
            key[0].on_timer(key[1], now=at)


class TestServer:
    def test_copies_until_the_prack(self) -> None:
        server = Server()
        server.reliable.send(ringing(), now=0.0)
        server.run(4.0)
        assert server.sent == [(0.0, 180), (0.5, 180), (1.5, 180), (3.5, 180)]
        assert server.prack()
        server.run(100.0)
        assert len(server.sent) == 4
        assert server.unheard_at is None

    def test_nobody_hears(self) -> None:
        server = Server()
        server.reliable.send(ringing(), now=0.0)
        server.run(100.0)
        assert [at for at, _ in server.sent] == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert server.unheard_at == 32.0
        assert len(server.core.timers) == 0

    def test_the_first_number_is_a_chance_one_and_the_next_one_more(self) -> None:
        server = Server()
        server.reliable.send(ringing(), now=0.0)
        first = server.last or 0
        assert 1 < first <= FIRST_RSEQ_MAX
        assert server.prack()
        server.reliable.send(ringing(183), now=1.0)
        assert server.last == first + 1

    def test_one_at_a_time(self) -> None:
        server = Server()
        server.reliable.send(ringing(180), now=0.0)
        server.reliable.send(ringing(183), now=0.1)
        assert server.sent == [(0.0, 180)]
        assert server.prack(now=0.2)
        assert server.sent[-1] == (0.2, 183)

    def test_a_prack_counts_once_and_for_its_response_only(self) -> None:
        server = Server()
        server.reliable.send(ringing(), now=0.0)
        number = server.last or 0
        assert not server.prack(number + 1)
        assert server.reliable.receive_prack(RAck(number, CSeq(8, "INVITE")), now=0.0) is None
        assert server.reliable.receive_prack(None, now=0.0) is None
        assert server.prack(number)
        assert not server.prack(number)

    def test_what_waits_is_bounded_and_descriptions_are_kept(self) -> None:
        server = Server()
        server.reliable.send(ringing(180), now=0.0)
        server.reliable.send(ringing(183, body=b"sdp"), now=0.0)
        for _ in range(100):
            server.reliable.send(ringing(182), now=0.0)
        assert len(server.reliable._waiting) == WAITING_MAX
        assert server.prack()
        assert server.sent[-1] == (0.0, 183)

    def test_a_2xx_waits_for_a_description(self) -> None:
        server = Server()
        assert not server.reliable.holds_description
        server.reliable.send(ringing(180), now=0.0)
        assert not server.reliable.holds_description
        server.reliable.send(ringing(183, body=b"sdp"), now=0.0)
        assert server.reliable.holds_description
        assert server.prack()
        assert server.reliable.holds_description
        assert server.prack()
        assert not server.reliable.holds_description

    def test_after_the_final_response_a_late_prack_still_counts(self) -> None:
        server = Server()
        server.reliable.send(ringing(), now=0.0)
        server.reliable.send(ringing(183), now=0.0)
        server.reliable.stop()
        server.run(100.0)
        assert server.unheard_at is None
        assert server.prack()
        assert len(server.sent) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("776656 1 INVITE", RAck(776656, CSeq(1, "INVITE"))),
        ("1\t2   INVITE", RAck(1, CSeq(2, "INVITE"))),
        ("", None),
        ("1 INVITE", None),
        ("x 1 INVITE", None),
        (f"1 {10**4000} INVITE", None),
    ],
)
def test_rack(text: str, value: RAck | None) -> None:
    assert read_rack(Headers([("RAck", text)])) == value
    if value:
        assert RAck.parse(str(value)) == value


@pytest.mark.parametrize(
    ("status", "headers", "number"),
    [
        (101, "Require: 100rel\nRSeq: 5", 5),
        (199, "Require: 100rel\nRSeq: 5", 5),
        (183, "Require: timer, 100REL\nRSeq: 5", 5),
        (180, "Require: 100rel", None),
        (180, "Require: 100rel\nRSeq: five", None),
        (180, "RSeq: 5", None),
        (100, "Require: 100rel\nRSeq: 5", None),
        (200, "Require: 100rel\nRSeq: 5", None),
    ],
)
def test_which_responses_want_a_prack(status: int, headers: str, number: int | None) -> None:
    assert read_rseq(ringing(status, headers=headers)) == number


def test_they_count_in_their_order_only() -> None:
    order = ReliableOrder()
    numbers = (9, 9, 11, 10, 10, 9, 11, 12)
    assert [order.receive(number) for number in numbers] == [True, False, False, True, False, False, True, True]
