"""An INVITE that comes: rung, accepted, refused, taken back."""

from typing import Any

import pytest
from sip.peers import (
    ANSWER,
    BOB,
    OFFER,
    TCP,
    UDP,
    Callee,
    describe,
    describe_all,
    invite,
    request,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import (
    Acknowledged,
    Flow,
    IncomingInvite,
)
from sipagent.sip.message import Request, Response

FLOWS = pytest.mark.parametrize("flow", [UDP, TCP], ids=["udp", "tcp"])
COPIES_OF_2XX = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


class TestIncoming:
    def test_what_the_application_is_told(self) -> None:
        bob = Callee()
        assert bob.say(invite()) == ["100 INVITE"]
        event = bob.take(IncomingInvite)
        assert (event.body, event.flow, event.request.from_.tag) == (OFFER, UDP, "alice-tag")
        assert bob.agent.sessions == 1

    def test_trying_has_no_tag_and_ringing_has(self) -> None:
        bob = Callee()
        trying = bob.receive(invite(), UDP, 0.0)[0]
        assert trying.to.tag is None
        bob.agent.ring(bob.take(IncomingInvite).handle, now=0.0, status=183, body=ANSWER)
        (progress,) = bob.messages()
        assert isinstance(progress, Response)
        assert (progress.status, progress.body, len(progress.to.tag or "")) == (183, ANSWER, 24)

    def test_what_a_200_holds(self) -> None:
        bob = Callee()
        bob.ring(record_route="Record-Route: <sip:p2;lr>, <sip:p1;lr>")
        response = bob.accept()
        assert (response.status, response.body, response.content_type) == (200, ANSWER, "application/sdp")
        assert str(response.contact) == "<sip:agent@192.0.2.2:5060>"
        assert response.headers.get_all("Record-Route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
        assert response.to.tag == bob.tag
        assert {"INVITE", "BYE", "CANCEL", "ACK", "OPTIONS"} <= set(response.allow)

    def test_the_contact_over_tcp_says_so(self) -> None:
        bob = Callee(TCP)
        bob.ring()
        assert str(bob.accept().contact) == "<sip:agent@192.0.2.2:5060;transport=tcp>"

    @FLOWS
    def test_the_2xx_is_repeated_until_its_ack(self, flow: Flow) -> None:
        bob = Callee(flow)
        bob.ring()
        first = bob.accept(now=1.0)
        copies = bob.advance(5.0)
        assert [at for at, _ in copies] == [1.5, 2.5, 4.5]
        assert {bytes(message) for _, message in copies} == {bytes(first)}
        assert bob.say(request("ACK", to_tag=bob.tag, body=b""), 5.0) == []
        assert bob.take(Acknowledged) == Acknowledged(bob.handle, b"")
        assert bob.say(request("ACK", to_tag=bob.tag), 5.1) == []
        assert bob.advance(40.0) == []
        assert bob.events == []

    @FLOWS
    def test_without_an_ack_the_call_ends_by_bye(self, flow: Flow) -> None:
        bob = Callee(flow)
        bob.ring()
        bob.accept()
        out = bob.advance(32.0)
        assert [(at, describe(message)) for at, message in out] == [
            *((at, "200 INVITE") for at in COPIES_OF_2XX),
            (32.0, "BYE"),
        ]
        bye = out[-1][1]
        assert isinstance(bye, Request)
        assert bob.say(respond(bye, 481), 32.1) == []
        bob.end("no_ack")

    def test_an_ack_with_the_branch_of_the_invite_counts(self) -> None:
        bob = Callee()
        bob.ring(branch="z9hG4bKsame")
        bob.accept()
        assert bob.say(request("ACK", branch="z9hG4bKsame", to_tag=bob.tag)) == []
        bob.take(Acknowledged)

    @pytest.mark.parametrize("fields", [{"number": 2}, {"from_tag": "x"}, {"call_id": "x"}, {"to_tag": "x"}])
    def test_an_ack_of_something_else_does_not(self, fields: dict[str, Any]) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert bob.say(request("ACK", **{"to_tag": bob.tag, **fields})) == []
        assert bob.events == []
        assert len(bob.advance(1.0)) == 1

    def test_copies_of_the_invite_are_absorbed(self) -> None:
        bob = Callee()
        assert bob.say(invite()) == ["100 INVITE"]
        assert bob.say(invite(), 0.5) == ["100 INVITE"]
        bob.handle = bob.take(IncomingInvite).handle
        bob.agent.ring(bob.handle, now=1.0)
        assert bob.say(invite(), 1.5) == ["180 INVITE", "180 INVITE"]
        bob.accept(now=2.0)
        assert bob.say(invite(), 2.1) == []
        assert bob.events == []
        assert bob.agent.sessions == 1

    def test_a_late_offer(self) -> None:
        bob = Callee()
        assert bob.say(invite(body=b"")) == ["100 INVITE"]
        event = bob.take(IncomingInvite)
        assert event.body == b""
        bob.agent.accept(event.handle, b"our offer", now=0.0)
        (response,) = bob.messages()
        assert response.body == b"our offer"
        assert bob.say(request("ACK", to_tag=response.to.tag, body=ANSWER)) == []
        assert bob.take(Acknowledged).body == ANSWER

    @pytest.mark.parametrize("status", [302, 404, 480, 486, 488, 503, 603])
    def test_refused(self, status: int) -> None:
        bob = Callee()
        bob.ring()
        bob.agent.reject(bob.handle, status, now=0.0, headers=[("Retry-After", "7")])
        (response,) = bob.messages()
        assert describe(response) == f"{status} INVITE"
        assert (response.headers.get("Retry-After"), response.to.tag) == ("7", bob.tag)
        assert [at for at, _ in bob.advance(2.0)] == [0.5, 1.5]
        assert bob.say(request("ACK", branch="z9hG4bKone", to_tag=bob.tag), 2.0) == []
        bob.end("rejected", status)

    def test_refused_in_our_own_words(self) -> None:
        bob = Callee()
        bob.ring()
        with pytest.raises(LocalProtocolError):
            bob.agent.reject(bob.handle, 486, now=0.0, reason="Busy\r\nX: y")
        bob.agent.reject(bob.handle, 486, now=0.0, reason="Out for lunch")
        (response,) = bob.messages()
        assert isinstance(response, Response)
        assert response.reason == "Out for lunch"

    def test_hung_up_before_it_was_answered(self) -> None:
        bob = Callee()
        bob.ring()
        bob.agent.hang_up(bob.handle, now=0.0)
        assert describe_all(bob.messages()) == ["480 INVITE"]
        bob.end("hung_up")

    def test_nobody_picks_up(self) -> None:
        bob = Callee()
        bob.ring()
        assert [(at, describe(message)) for at, message in bob.advance(180.0)] == [(180.0, "480 INVITE")]
        bob.end("timeout")

    @pytest.mark.parametrize(("expires", "at", "status"), [("20", 20.0, 487), ("3600", 180.0, 480), ("x", 180.0, 480)])
    def test_an_invitation_may_expire(self, expires: str, at: float, status: int) -> None:
        bob = Callee()
        bob.ring(headers=f"Expires: {expires}")
        first = bob.advance(180.0)[0]
        assert (first[0], describe(first[1])) == (at, f"{status} INVITE")
        bob.end("timeout")

    def test_an_invitation_that_was_accepted_in_time_does_not(self) -> None:
        bob = Callee()
        bob.talk(headers="Expires: 20")
        assert bob.advance(60.0) == []
        assert bob.agent.sessions == 1

    def test_the_connection_is_lost_while_it_rings(self) -> None:
        bob = Callee(TCP)
        bob.ring()
        bob.agent.transport_failed(TCP, now=1.0)
        assert describe_all(bob.messages()) == ["503 INVITE"]
        bob.agent.transport_failed(TCP, now=1.0)
        bob.end("transport")

    def test_the_connection_is_lost_during_the_call(self) -> None:
        bob = Callee(TCP)
        bob.talk(contact="<sip:alice@192.0.2.1:5070;transport=tcp>")
        bob.agent.transport_failed(TCP, now=1.0)
        assert bob.events == []
        bob.agent.hang_up(bob.handle, now=2.0)
        assert describe_all(bob.messages()) == ["BYE"]
        assert bob.sent[-1].flow == Flow("TCP", ("192.0.2.1", 5070), BOB)

    def test_a_bye_over_a_connection_lost_unnoticed_gets_a_second_chance(self) -> None:
        bob = Callee(TCP)
        bob.talk(contact="<sip:alice@192.0.2.1:5070;transport=tcp>")
        bob.agent.hang_up(bob.handle, now=1.0)
        assert describe_all(bob.messages()) == ["BYE"]
        assert bob.sent[-1].flow == TCP
        bob.agent.transport_failed(TCP, now=1.1)
        assert describe_all(bob.messages()) == ["BYE"]
        assert bob.sent[-1].flow.remote == ("192.0.2.1", 5070)
        bob.agent.transport_failed(bob.sent[-1].flow, now=1.2)
        assert bob.messages() == []
        bob.end("hung_up")

    def test_what_comes_in_the_wrong_order_from_the_application_is_refused(self) -> None:
        bob = Callee()
        bob.ring()
        agent = bob.agent
        for wrong in (
            lambda: agent.ring(bob.handle, now=0.0, status=200),
            lambda: agent.ring(bob.handle, now=0.0, status=100),
            lambda: agent.reject(bob.handle, 200, now=0.0),
            lambda: agent.reinvite(bob.handle, OFFER, now=0.0),
            lambda: agent.accept(99, ANSWER, now=0.0),
            lambda: agent.accept(bob.handle, ANSWER, now=0.0, headers=[("Contact", "<sip:evil>")]),
            lambda: agent.accept(bob.handle, ANSWER, now=0.0, headers=[("X-Note", "a\r\nContact: <sip:evil>")]),
        ):
            with pytest.raises(LocalProtocolError):
                wrong()
        bob.accept()
        for wrong in (
            lambda: agent.ring(bob.handle, now=0.0),
            lambda: agent.accept(bob.handle, ANSWER, now=0.0),
            lambda: agent.reject(bob.handle, 486, now=0.0),
            lambda: agent.reinvite(bob.handle, OFFER, now=0.0),
        ):
            with pytest.raises(LocalProtocolError):
                wrong()
        agent.hang_up(bob.handle, now=0.0)
        with pytest.raises(LocalProtocolError):
            agent.hang_up(bob.handle, now=0.0)


class TestCancelOfTheirs:
    @FLOWS
    def test_before_the_answer(self, flow: Flow) -> None:
        bob = Callee(flow)
        bob.ring(branch="z9hG4bKx")
        out = bob.receive(request("CANCEL", branch="z9hG4bKx", transport=flow.transport), flow, 1.0)
        assert describe_all(out) == ["200 CANCEL", "487 INVITE"]
        assert {message.to.tag for message in out} == {bob.tag}
        if flow is UDP:
            assert bob.say(request("CANCEL", branch="z9hG4bKx"), 1.1) == ["200 CANCEL"]
        assert bob.say(request("ACK", branch="z9hG4bKx", to_tag=bob.tag), 1.2) == []
        bob.end("cancelled")

    def test_too_late(self) -> None:
        bob = Callee()
        bob.ring(branch="z9hG4bKx")
        bob.accept()
        assert bob.say(request("CANCEL", branch="z9hG4bKx")) == ["200 CANCEL"]
        assert bob.say(request("ACK", to_tag=bob.tag)) == []
        bob.take(Acknowledged)
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE"]
        bob.end("bye")

    @pytest.mark.parametrize("fields", [{"branch": "z9hG4bKy"}, {"call_id": "x"}, {"from_tag": "x"}, {"number": 2}])
    def test_of_no_invite(self, fields: dict[str, Any]) -> None:
        bob = Callee()
        bob.ring(branch="z9hG4bKx")
        assert bob.say(request("CANCEL", **{"branch": "z9hG4bKx", **fields})) == ["481 CANCEL"]
        assert bob.events == []
        assert bob.agent.sessions == 1
