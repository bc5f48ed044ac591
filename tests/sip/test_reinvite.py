"""INVITEs within a call, theirs and ours, and what happens when they collide."""

from typing import Any

import pytest
from sip.peers import (
    OFFER,
    TCP,
    UDP,
    Callee,
    Caller,
    describe,
    describe_all,
    invite,
    request,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    ReinviteCancelled,
    Reinvited,
    ReinviteRejected,
)
from sipagent.sip.glare import GLARES_MAX
from sipagent.sip.message import Request


class TestReinviteOfTheirs:
    def reinvite(self, bob: Callee, number: int = 2, **fields: Any) -> list[str]:
        fields = {"cseq": f"{number} INVITE", "branch": f"z9hG4bKre{number}", "to_tag": bob.tag, **fields}
        return bob.say(invite(**fields))

    def test_accepted(self) -> None:
        bob = Callee()
        bob.talk()
        assert self.reinvite(bob, contact="<sip:alice@192.0.2.99>", body=b"hold") == ["100 INVITE"]
        event = bob.take(Reinvited)
        assert (event.handle, event.body) == (bob.handle, b"hold")
        response = bob.accept(b"held")
        assert (response.status, response.to.tag, response.body) == (200, bob.tag, b"held")
        assert len(bob.advance(0.5)) == 1
        assert bob.say(request("ACK", 2, to_tag=bob.tag)) == []
        bob.take(Acknowledged)
        bob.agent.hang_up(bob.handle, now=1.0)
        (bye,) = bob.messages()
        assert isinstance(bye, Request)
        assert str(bye.uri) == "sip:alice@192.0.2.99"

    def test_rejected_keeps_the_call(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob, contact="<sip:alice@192.0.2.99>")
        bob.agent.reject(bob.handle, 488, now=0.0)
        assert describe_all(bob.messages()) == ["488 INVITE"]
        bob.take(Reinvited)
        assert bob.events == []
        assert bob.say(request("ACK", 2, branch="z9hG4bKre2", to_tag=bob.tag)) == []
        bob.agent.hang_up(bob.handle, now=1.0)
        (bye,) = bob.messages()
        assert isinstance(bye, Request)
        assert str(bye.uri) == "sip:alice@192.0.2.1"

    def test_without_an_offer(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob, body=b"")
        assert bob.take(Reinvited).body == b""
        bob.accept(b"our offer")
        assert self.reinvite(bob, 3) == ["491 INVITE"]
        assert bob.say(request("ACK", 2, to_tag=bob.tag, body=b"their answer")) == []
        assert bob.take(Acknowledged).body == b"their answer"

    def test_a_second_one_before_the_first_is_answered(self) -> None:
        bob = Callee()
        bob.talk()
        assert self.reinvite(bob, 2) == ["100 INVITE"]
        (response,) = bob.receive(invite(cseq="3 INVITE", branch="z9hG4bKre3", to_tag=bob.tag), UDP, 0.0)
        assert describe(response) == "500 INVITE"
        assert 0 <= int(response.headers.get("Retry-After") or "-1") <= 10
        bob.take(Reinvited)
        bob.accept(b"x")

    def test_a_second_one_that_overtakes_the_ack_of_the_first(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob, 2)
        bob.take(Reinvited)
        bob.accept(b"x")
        assert self.reinvite(bob, 3) == ["100 INVITE"]
        bob.take(Acknowledged)
        bob.take(Reinvited)
        assert bob.say(request("ACK", 2, to_tag=bob.tag)) == []
        bob.accept(b"y")
        assert bob.say(request("ACK", 3, to_tag=bob.tag)) == []
        bob.take(Acknowledged)
        assert bob.advance(20.0) == []

    @pytest.mark.parametrize("number", [0, 1])
    def test_out_of_order(self, number: int) -> None:
        bob = Callee()
        bob.talk()
        assert self.reinvite(bob, number, branch="z9hG4bKold") == ["500 INVITE"]
        assert bob.events == []

    def test_cancelled(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob)
        bob.take(Reinvited)
        assert bob.say(request("CANCEL", 2, branch="z9hG4bKre2", to_tag=bob.tag)) == ["200 CANCEL", "487 INVITE"]
        assert bob.take(ReinviteCancelled) == ReinviteCancelled(bob.handle)
        with pytest.raises(LocalProtocolError):
            bob.agent.accept(bob.handle, b"x", now=0.0)
        assert bob.agent.sessions == 1

    def test_crossed_by_their_bye(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob)
        bob.take(Reinvited)
        assert bob.say(request("BYE", 3, to_tag=bob.tag)) == ["200 BYE", "487 INVITE"]
        bob.end("bye")

    def test_hung_up_instead(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob)
        bob.take(Reinvited)
        bob.agent.hang_up(bob.handle, now=0.0)
        assert describe_all(bob.messages()) == ["487 INVITE", "BYE"]
        bob.end("hung_up")

    def test_not_acknowledged(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob)
        bob.take(Reinvited)
        bob.accept(b"x")
        assert describe(bob.advance(32.0)[-1][1]) == "BYE"
        bob.end("no_ack")

    def test_of_an_unknown_body(self) -> None:
        bob = Callee()
        bob.talk()
        data = invite(cseq="2 INVITE", branch="z9hG4bKre2", to_tag=bob.tag).replace(b"application/sdp", b"text/plain")
        assert bob.say(data) == ["415 INVITE"]
        assert bob.events == []

    def test_never_answered_by_the_application(self) -> None:
        bob = Callee()
        bob.talk()
        self.reinvite(bob)
        bob.take(Reinvited)
        assert describe(bob.advance(180.0)[0][1]) == "480 INVITE"
        assert bob.take(ReinviteCancelled).handle == bob.handle
        assert bob.agent.sessions == 1


class TestReinviteOfOurs:
    def calls(self) -> list[Caller | Callee]:
        """A call that is up, as caller and as callee."""
        alice = Caller()
        alice.answer(200)
        alice.take(Accepted)
        bob = Callee()
        bob.talk()
        return [alice, bob]

    def send(self, end: Caller | Callee, now: float = 0.0) -> Request:
        end.agent.reinvite(end.handle, b"new offer", now=now)
        (message,) = end.messages()
        assert isinstance(message, Request)
        return message

    def test_accepted(self) -> None:
        for end in self.calls():
            message = self.send(end)
            assert (message.method, message.body) == ("INVITE", b"new offer")
            assert str(message.contact) == f"<sip:agent@{end.local[0]}:5060>"
            with pytest.raises(LocalProtocolError):
                end.agent.reinvite(end.handle, b"another", now=0.0)
            answer = respond(message, 200, body=b"new answer", contact="<sip:x@192.0.2.44>")
            assert end.say(answer) == ["ACK"]
            assert end.take(Accepted).body == b"new answer"
            assert end.say(answer) == ["ACK"]
            assert end.events == []
            end.agent.hang_up(end.handle, now=1.0)
            (bye,) = end.messages()
            assert isinstance(bye, Request)
            assert str(bye.uri) == "sip:x@192.0.2.44"

    @pytest.mark.parametrize("status", [415, 488, 500, 503])
    def test_refused(self, status: int) -> None:
        for end in self.calls():
            assert end.say(respond(self.send(end), status)) == ["ACK"]
            assert end.take(ReinviteRejected) == ReinviteRejected(end.handle, status)
            self.send(end)

    def test_glare(self) -> None:
        alice, bob = self.calls()
        for end, peer in ((alice, alice.within), (bob, lambda *a, **k: request(*a, to_tag=bob.tag, **k))):
            self.send(end)
            assert end.say(peer("INVITE", 2, body=OFFER)) == ["491 INVITE"]

    def test_the_next_try_comes_in_its_time(self) -> None:
        times: dict[int, set[float]] = {0: set(), 1: set()}
        for _ in range(3):
            for index, end in enumerate(self.calls()):
                now = 0.0
                message = self.send(end)
                for _ in range(GLARES_MAX):
                    assert end.say(respond(message, 491), now) == ["ACK"]
                    assert end.events == []
                    with pytest.raises(LocalProtocolError):
                        end.agent.reinvite(end.handle, b"another", now=now)
                    at, again = next((at, m) for at, m in end.advance(now + 4.0) if describe(m) == "INVITE")
                    assert isinstance(again, Request)
                    assert again.cseq.number == message.cseq.number + 1
                    assert again.body == b"new offer"
                    times[index].add(round(at - now, 6))
                    message, now = again, at
                assert end.say(respond(message, 491), now) == ["ACK"]
                assert end.take(ReinviteRejected).status == 491
        assert min(times[0]) >= 2.1
        assert max(times[0]) <= 4.0
        assert max(times[1]) <= 2.0
        assert all(round(at * 100, 4) == round(at * 100) for at in times[0] | times[1])

    def test_a_peers_offer_that_is_accepted_meanwhile_makes_ours_stale(self) -> None:
        bob = Callee()
        bob.talk()
        assert bob.say(respond(self.send(bob), 491)) == ["ACK"]
        assert bob.say(request("INVITE", 2, to_tag=bob.tag, body=OFFER)) == ["100 INVITE"]
        bob.take(Reinvited)
        bob.accept(b"x")
        assert bob.take(ReinviteRejected).status == 491
        assert bob.say(request("ACK", 2, to_tag=bob.tag)) == []
        assert bob.advance(5.0) == []

    def test_a_peers_offer_that_still_waits_makes_ours_wait(self) -> None:
        bob = Callee()
        bob.talk()
        bob.say(respond(self.send(bob), 491))
        bob.say(request("INVITE", 2, to_tag=bob.tag, body=OFFER))
        assert "INVITE" not in describe_all(message for _, message in bob.advance(3.0))
        bob.agent.reject(bob.handle, 488, now=3.0)
        assert "INVITE" in describe_all(message for _, message in bob.advance(6.0))

    @pytest.mark.parametrize(("status", "reason"), [(481, "rejected"), (408, "timeout")])
    def test_the_peer_knows_no_such_call(self, status: int, reason: str) -> None:
        for end in self.calls():
            assert end.say(respond(self.send(end), status)) == ["ACK", "BYE"]
            end.end(reason, status)

    def test_the_peer_is_silent(self) -> None:
        for end in self.calls():
            self.send(end)
            assert describe(end.advance(32.0)[-1][1]) == "BYE"
            end.end("timeout", 408)

    def test_no_connection(self) -> None:
        bob = Callee(TCP)
        bob.talk()
        self.send(bob)
        bob.agent.transport_failed(TCP, now=0.0)
        assert bob.take(ReinviteRejected).status == 503
        assert bob.agent.sessions == 1

    def test_crossed_by_their_bye(self) -> None:
        bob = Callee()
        bob.talk()
        message = self.send(bob)
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE"]
        assert bob.say(respond(message, 487)) == ["ACK"]
        bob.end("bye")

    def test_a_late_2xx_after_their_bye_is_still_acknowledged(self) -> None:
        bob = Callee()
        bob.talk()
        message = self.send(bob)
        assert bob.say(respond(message, 100)) == []
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE", "CANCEL"]
        assert bob.say(respond(message, 200)) == ["ACK"]
        bob.end("bye")

    def test_never_answered(self) -> None:
        bob = Callee()
        bob.talk()
        message = self.send(bob)
        assert bob.say(respond(message, 100)) == []
        assert describe(bob.advance(180.0)[-1][1]) == "CANCEL"
        assert bob.say(respond(message, 487), 180.0) == ["ACK"]
        assert bob.take(ReinviteRejected).status == 487

    def test_hung_up_meanwhile(self) -> None:
        bob = Callee()
        bob.talk()
        message = self.send(bob)
        assert bob.say(respond(message, 100)) == []
        bob.agent.hang_up(bob.handle, now=0.0)
        assert describe_all(bob.messages()) == ["CANCEL", "BYE"]
        assert bob.say(respond(message, 487)) == ["ACK"]
        bob.end("hung_up")
