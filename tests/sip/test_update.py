"""UPDATE, theirs and ours: refreshes, offers that are answered at once, and what happens when they collide."""

from typing import Any

import pytest
from sip.peers import ANSWER, OFFER, TCP, UDP, Callee, Caller, describe_all, invite, request, respond

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import Accepted, Progressed, Reinvited, ReinviteRejected, UpdateAccepted
from sipagent.sip.glare import GLARES_MAX
from sipagent.sip.message import Request, Response
from sipagent.sip.update import PROMPT_S


def update(bob: Callee, number: int = 2, **fields: Any) -> Response:
    """An UPDATE of Alice's; return its answer."""
    messages = bob.receive(request("UPDATE", number, **{"to_tag": bob.tag, **fields}), UDP, 0.0)
    assert len(messages) <= 1
    return messages[0] if messages else None  # type: ignore[return-value]


def retry_after(response: Response) -> int:
    return int(response.headers.get("Retry-After") or "-1")


class TestUpdateOfTheirs:
    def test_without_an_offer_it_is_a_refresh_of_the_target(self) -> None:
        bob = Callee()
        bob.talk()
        response = update(bob, contact="<sip:alice@192.0.2.77>")
        assert (response.status, response.body, response.to.tag) == (200, b"", bob.tag)
        assert str(response.contact) == "<sip:agent@192.0.2.2:5060>"
        assert bob.events == []
        bob.agent.hang_up(bob.handle, now=1.0)
        assert str(bob.last("BYE").uri) == "sip:alice@192.0.2.77"

    def test_an_offer_is_answered_in_the_same_stack(self) -> None:
        bob = Callee()
        bob.talk()
        assert update(bob, body=b"hold", contact="<sip:alice@192.0.2.77>") is None
        event = bob.take(Reinvited)
        assert (event.handle, event.body, event.is_update) == (bob.handle, b"hold", True)
        response = bob.accept(b"held")
        assert (response.status, response.body, response.cseq.method) == (200, b"held", "UPDATE")
        assert response.headers.get("Content-Type") == "application/sdp"
        assert update(bob).body == b"held"  # a copy gets a copy
        bob.agent.hang_up(bob.handle, now=1.0)
        assert str(bob.last("BYE").uri) == "sip:alice@192.0.2.77"

    def test_a_rejection_keeps_the_call_and_its_target(self) -> None:
        bob = Callee()
        bob.talk()
        update(bob, body=b"fax", contact="<sip:alice@192.0.2.77>")
        bob.agent.reject(bob.handle, 488, now=0.0)
        assert describe_all(bob.messages()) == ["488 UPDATE"]
        assert bob.say(request("UPDATE", 3, to_tag=bob.tag, contact=None)) == ["200 UPDATE"]
        bob.agent.hang_up(bob.handle, now=1.0)
        assert str(bob.last("BYE").uri) == "sip:alice@192.0.2.1"

    def test_an_application_that_does_not_answer_is_spoken_for(self) -> None:
        bob = Callee()
        bob.talk()
        update(bob, body=b"hold")
        ((at, response),) = bob.advance(10.0)
        assert (at, describe_all([response])) == (PROMPT_S, ["504 UPDATE"])
        with pytest.raises(LocalProtocolError):
            bob.agent.accept(bob.handle, b"late", now=10.0)
        assert update(bob, 3).status == 200

    def test_each_has_its_own_time(self) -> None:
        bob = Callee()
        bob.talk()
        update(bob, body=b"hold")
        bob.accept(b"held")
        assert bob.say(request("UPDATE", 3, to_tag=bob.tag, body=b"resume"), 0.9 * PROMPT_S) == []
        assert bob.advance(1.5 * PROMPT_S) == []
        assert bob.accept(b"resumed", now=1.5 * PROMPT_S).body == b"resumed"

    def test_a_second_one_before_the_first_is_answered(self) -> None:
        bob = Callee()
        bob.talk()
        update(bob, body=b"hold")
        response = update(bob, 3)
        assert response.status == 500
        assert 0 <= retry_after(response) <= 10

    def test_before_the_invite_is_answered(self) -> None:
        bob = Callee()
        bob.ring()
        assert update(bob).status == 200
        response = update(bob, 3, body=b"offer")
        assert response.status == 500
        assert 0 <= retry_after(response) <= 10

    def test_while_their_re_invite_waits_for_our_answer(self) -> None:
        bob = Callee()
        bob.talk()
        bob.say(invite(cseq="2 INVITE", branch="z9hG4bKre", to_tag=bob.tag))
        assert update(bob, 3, body=b"offer").status == 500
        assert update(bob, 4).status == 200

    def test_while_our_offer_in_a_2xx_waits_for_its_answer(self) -> None:
        bob = Callee()
        bob.ring(body=b"")
        bob.accept(b"our offer")
        assert update(bob, 2, body=b"offer").status == 491
        assert update(bob, 3).status == 200

    def test_while_our_re_invite_is_on_the_way(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.reinvite(bob.handle, b"our offer", now=0.0)
        bob.drain()
        assert update(bob, 2, body=b"offer").status == 491
        assert update(bob, 3).status == 200

    def test_while_our_update_is_on_the_way(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.update(bob.handle, b"our offer", now=0.0)
        bob.drain()
        assert update(bob, 2, body=b"offer").status == 491
        assert update(bob, 3).status == 200
        assert bob.say(invite(cseq="4 INVITE", branch="z9hG4bKre", to_tag=bob.tag)) == ["491 INVITE"]

    def test_before_the_ack(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert update(bob, 2, body=b"offer") is None
        bob.accept(b"answer")

    def test_early_from_a_telephone_that_rings(self) -> None:
        alice = Caller()
        alice.answer(183, body=b"early")
        assert alice.say(alice.within("UPDATE", 1)) == ["200 UPDATE"]
        assert alice.say(alice.within("UPDATE", 2, body=b"offer")) == ["491 UPDATE"]  # that answer was not reliable
        assert alice.say(alice.within("UPDATE", 3, from_tag="other")) == ["481 UPDATE"]

    def test_early_from_a_telephone_that_has_answered_our_offer(self) -> None:
        alice = Caller()
        assert alice.answer(183, body=b"early", headers="Require: 100rel\nRSeq: 1") == ["PRACK"]
        alice.take(Progressed)
        assert alice.say(alice.within("UPDATE", 1, body=b"offer")) == []
        assert alice.take(Reinvited).is_update
        alice.agent.accept(alice.handle, b"answer", now=0.0)
        assert describe_all(alice.messages()) == ["200 UPDATE"]
        assert alice.answer(200, body=b"early") == ["ACK"]
        assert alice.take(Accepted).body == b""  # what was agreed on since holds

    def test_of_a_call_that_is_none(self) -> None:
        bob = Callee()
        bob.talk()
        assert update(bob, to_tag="x").status == 481
        assert update(bob, to_tag=None, branch="z9hG4bKout").status == 481
        bob.agent.hang_up(bob.handle, now=0.0)
        bob.drain()
        assert update(bob, 3).status == 481

    def test_out_of_order(self) -> None:
        bob = Callee()
        bob.talk()
        assert update(bob, 5).status == 200
        assert update(bob, 4).status == 500

    def test_of_an_unknown_body(self) -> None:
        bob = Callee()
        bob.talk()
        data = request("UPDATE", 2, to_tag=bob.tag, body=b"x").replace(b"application/sdp", b"text/plain")
        assert bob.say(data) == ["415 UPDATE"]

    def test_crossed_by_their_bye(self) -> None:
        bob = Callee()
        bob.talk()
        update(bob, body=b"hold")
        assert bob.say(request("BYE", 3, to_tag=bob.tag)) == ["200 BYE", "487 UPDATE"]
        bob.take(Reinvited)
        bob.end("bye")

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    def test_makes_an_offer_of_ours_that_waits_stale(self, method: str) -> None:
        bob = Callee()
        bob.talk()
        (bob.agent.reinvite if method == "INVITE" else bob.agent.update)(bob.handle, b"ours", now=0.0)
        bob.say(respond(bob.last(method), 491))
        update(bob, body=b"theirs")
        bob.take(Reinvited)
        bob.accept(b"answer")
        assert bob.take(ReinviteRejected).status == 491
        assert bob.advance(30.0) == []


class TestUpdateOfOurs:
    def calls(self) -> list[Caller | Callee]:
        alice = Caller()
        alice.answer(200)
        alice.take(Accepted)
        bob = Callee()
        bob.talk()
        return [alice, bob]

    def send(self, end: Caller | Callee, now: float = 0.0) -> Request:
        end.agent.update(end.handle, b"new offer", now=now)
        (message,) = end.messages()
        assert isinstance(message, Request)
        return message

    def test_accepted(self) -> None:
        for end in self.calls():
            message = self.send(end)
            assert (message.method, message.body) == ("UPDATE", b"new offer")
            assert str(message.contact) == f"<sip:agent@{end.local[0]}:5060>"
            for command in (end.agent.update, end.agent.reinvite):
                with pytest.raises(LocalProtocolError):
                    command(end.handle, b"another", now=0.0)
            assert end.say(respond(message, 200, body=b"new answer", contact="<sip:x@192.0.2.44>")) == []
            assert end.take(UpdateAccepted).body == b"new answer"
            end.agent.hang_up(end.handle, now=1.0)
            assert str(end.last("BYE").uri) == "sip:x@192.0.2.44"

    @pytest.mark.parametrize("status", [401, 405, 488, 500, 503, 504])
    def test_refused(self, status: int) -> None:
        for end in self.calls():
            assert end.say(respond(self.send(end), status)) == []
            assert end.take(ReinviteRejected) == ReinviteRejected(end.handle, status)
            self.send(end)

    @pytest.mark.parametrize(
        ("status", "headers", "earliest_s"), [(491, "", 0.0), (500, "Retry-After: 7", 7.0)], ids=["491", "500"]
    )
    def test_a_collision_is_tried_again(self, status: int, headers: str, earliest_s: float) -> None:
        for end in self.calls():
            message, now = self.send(end), 0.0
            for _ in range(GLARES_MAX):
                assert end.say(respond(message, status, headers=headers), now) == []
                at, again = next((at, again) for at, again in end.advance(now + 10.0) if at > now)
                assert isinstance(again, Request)
                assert (again.body, again.cseq.number) == (b"new offer", message.cseq.number + 1)
                assert at - now >= earliest_s
                message, now = again, at
            end.say(respond(message, status, headers=headers), now)
            assert end.take(ReinviteRejected).status == status

    @pytest.mark.parametrize(("status", "reason"), [(481, "rejected"), (408, "timeout")])
    def test_the_peer_knows_no_such_call(self, status: int, reason: str) -> None:
        for end in self.calls():
            assert end.say(respond(self.send(end), status)) == ["BYE"]
            end.end(reason, status)

    def test_the_peer_is_silent(self) -> None:
        for end in self.calls():
            self.send(end)
            assert describe_all([end.advance(32.0)[-1][1]]) == ["BYE"]
            end.end("timeout", 408)

    def test_no_connection(self) -> None:
        bob = Callee(TCP)
        bob.talk()
        self.send(bob)
        bob.agent.transport_failed(TCP, now=0.0)
        assert bob.take(ReinviteRejected).status == 503
        assert bob.agent.sessions == 1

    def test_hung_up_meanwhile(self) -> None:
        for end in self.calls():
            message = self.send(end)
            end.agent.hang_up(end.handle, now=0.0)
            assert describe_all(end.messages()) == ["BYE"]
            assert end.say(respond(message, 200, body=b"x")) == []
            end.end("hung_up")

    def test_hung_up_while_it_waits_for_another_try(self) -> None:
        for end in self.calls():
            assert end.say(respond(self.send(end), 491)) == []
            end.agent.hang_up(end.handle, now=0.0)
            bye = end.last("BYE")
            assert end.say(respond(bye, 200)) == []
            assert end.advance(10.0) == []
            end.end("hung_up")

    def test_not_before_the_media_are_agreed_on(self) -> None:
        alice = Caller()
        alice.answer(183, body=b"early")
        bob = Callee()
        bob.ring()
        for end in (alice, bob):
            with pytest.raises(LocalProtocolError):
                end.agent.update(end.handle, b"offer", now=0.0)

    def test_early(self) -> None:
        alice = Caller()
        alice.answer(183, body=b"early", headers="Require: 100rel\nRSeq: 1")
        with pytest.raises(LocalProtocolError):
            alice.agent.update(alice.handle, b"offer", tag="other", now=0.0)
        alice.agent.update(alice.handle, b"offer", tag="bob-tag", now=0.0)
        message = alice.last("UPDATE")
        assert (message.to.tag, str(message.cseq)) == ("bob-tag", "3 UPDATE")
        alice.say(respond(message, 200, body=b"answer"))
        assert alice.take(UpdateAccepted).body == b"answer"


def test_early_as_who_is_called() -> None:
    bob = Callee()
    bob.say(invite(headers="Require: 100rel"))
    bob.agent.ring(1, status=183, body=ANSWER, now=0.0)
    ringing = bob.messages()[-1]
    bob.handle, bob.tag = 1, ringing.to.tag or ""
    rack = f"RAck: {ringing.headers.get('RSeq')} 1 INVITE"
    assert update(bob, 2, body=OFFER).status == 500
    assert bob.say(request("PRACK", 3, to_tag=bob.tag, headers=rack)) == ["200 PRACK"]
    assert update(bob, 4, body=b"new") is None
    bob.accept(b"new answer")
    bob.agent.update(1, b"ours", now=0.0)
    bob.say(respond(bob.last("UPDATE"), 200, body=b"theirs"))
    assert bob.take(UpdateAccepted).body == b"theirs"
    assert bob.accept(b"ignored").body == b""
