"""PRACK, ours and theirs: who acknowledges which ringing, and the offers and answers that travel with it."""

from typing import Any

import pytest
from sip.peers import ALICE, ANSWER, BOB, UDP, Callee, Caller, Endpoint, describe_all, invite, request, respond

from sipagent.errors import LocalProtocolError
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Acknowledged, EarlyAnswered, Flow, IncomingInvite, Progressed, Reinvited
from sipagent.sip.message import Response
from sipagent.sip.ua import UserAgent

RELIABLE = "Require: 100rel\nRSeq: {}"


class Reliable(Callee):
    """Bob, whose ringing Alice wants to acknowledge."""

    def __init__(self, option: str = "Require: 100rel", **fields: Any) -> None:
        super().__init__()
        self.say(invite(headers=option, **fields))
        self.handle = self.take(IncomingInvite).handle

    def show(self, status: int = 180, body: bytes = b"", now: float = 0.0) -> Response | None:
        """Ring."""
        self.agent.ring(self.handle, status=status, body=body, now=now)
        messages = self.messages()
        if not messages:
            return None
        (message,) = messages
        assert isinstance(message, Response)
        self.tag = message.to.tag or ""
        self.number = message.headers.get("RSeq") or ""
        return message

    def prack(self, cseq: int = 2, now: float = 0.0, **fields: Any) -> list[str]:
        """Acknowledge the last ringing."""
        fields = {"headers": f"RAck: {self.number} 1 INVITE", "to_tag": self.tag, **fields}
        return self.say(request("PRACK", cseq, **fields), now)


class TestAsWhoIsCalled:
    def test_ringing_is_reliable_for_who_requires_it(self) -> None:
        bob = Reliable()
        ringing = bob.show()
        assert ringing is not None
        assert ringing.require == ["100rel"]
        assert [at for at, _ in bob.advance(4.0)] == [0.5, 1.5, 3.5]
        assert bob.prack(now=4.0) == ["200 PRACK"]
        assert bob.advance(60.0) == []

    @pytest.mark.parametrize(("setting", "fields"), [(False, []), (True, ["100rel"])])
    def test_for_others_as_we_are_set(self, setting: bool, fields: list[str]) -> None:
        bob = Reliable("Supported: 100rel")
        bob.agent = UserAgent(UserAgentSettings(reliable_ringing=setting), random=bob.agent._core.random)
        bob.say(invite(headers="Supported: 100rel"))
        ringing = bob.show()
        assert ringing is not None
        assert ringing.require == fields

    def test_never_for_who_does_not_know_it(self) -> None:
        bob = Reliable("Supported: timer")
        ringing = bob.show()
        assert ringing is not None
        assert ringing.require == []
        assert bob.prack() == ["481 PRACK"]

    @pytest.mark.parametrize("rack", ["", "RAck: 1 1 INVITE", "RAck: {} 2 INVITE", "RAck: {} 1 UPDATE", "RAck: x"])
    def test_a_prack_for_nothing_is_481(self, rack: str) -> None:
        bob = Reliable()
        bob.show()
        assert bob.prack(headers=rack.format(bob.number)) == ["481 PRACK"]
        assert bob.prack(3) == ["200 PRACK"]
        assert bob.prack(4) == ["481 PRACK"]

    def test_a_copy_of_a_prack_gets_a_copy_of_its_answer(self) -> None:
        bob = Reliable()
        bob.show()
        assert [bob.prack(), bob.prack()] == [["200 PRACK"], ["200 PRACK"]]

    def test_nobody_acknowledges_it(self) -> None:
        bob = Reliable()
        bob.show()
        assert describe_all([bob.advance(32.0)[-1][1]]) == ["500 INVITE"]
        bob.end("no_ack")

    def test_a_2xx_need_not_wait_for_mere_ringing(self) -> None:
        bob = Reliable()
        bob.show()
        assert bob.accept().body == ANSWER
        assert bob.prack() == ["200 PRACK"]
        assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
        bob.take(Acknowledged)
        assert bob.advance(60.0) == []

    def test_a_2xx_waits_for_the_prack_of_a_description_and_does_not_repeat_it(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.agent.accept(bob.handle, ANSWER, now=0.1)
        assert bob.messages() == []
        with pytest.raises(LocalProtocolError):
            bob.agent.accept(bob.handle, ANSWER, now=0.1)
        messages = bob.receive(request("PRACK", 2, to_tag=bob.tag, headers=f"RAck: {bob.number} 1 INVITE"), UDP, 0.2)
        assert describe_all(messages) == ["200 PRACK", "200 INVITE"]
        assert messages[1].body == b""
        assert bob.say(request("ACK", 1, to_tag=bob.tag), 0.3) == []
        bob.take(Acknowledged)

    def test_cancelled_while_the_2xx_waits(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.agent.accept(bob.handle, ANSWER, now=0.1)
        assert bob.say(request("CANCEL", 1, branch="z9hG4bKone")) == ["200 CANCEL", "487 INVITE"]
        bob.say(request("ACK", 1, branch="z9hG4bKone", to_tag=bob.tag))
        bob.end("cancelled")

    def test_hung_up_while_the_2xx_waits(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.agent.accept(bob.handle, ANSWER, now=0.1)
        bob.agent.hang_up(bob.handle, now=0.2)
        assert describe_all(bob.messages()) == ["480 INVITE"]
        bob.say(request("ACK", 1, branch="z9hG4bKone", to_tag=bob.tag))
        bob.end("hung_up")

    def test_their_bye_while_the_2xx_waits(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.agent.accept(bob.handle, ANSWER, now=0.1)
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE", "487 INVITE"]
        bob.say(request("ACK", 1, branch="z9hG4bKone", to_tag=bob.tag))
        bob.end("bye")

    def test_never_acknowledged_while_the_2xx_waits(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.agent.accept(bob.handle, ANSWER, now=0.1)
        assert describe_all([bob.advance(32.0)[-1][1]]) == ["500 INVITE"]
        bob.end("no_ack")

    def test_a_late_offer_is_in_the_ringing_and_its_answer_in_the_prack(self) -> None:
        bob = Callee()
        bob.say(invite(headers="Require: 100rel", body=b""))
        event = bob.take(IncomingInvite)
        assert event.wants_early_offer
        bob = Reliable(body=b"")
        assert bob.show(180) is None  # without an offer it would be none
        ringing = bob.show(180, b"our offer")
        assert ringing is not None
        assert ringing.body == b"our offer"
        assert bob.say(request("UPDATE", 2, to_tag=bob.tag, body=b"offer")) == ["491 UPDATE"]
        assert bob.prack(3, body=b"their answer") == ["200 PRACK"]
        assert bob.take(EarlyAnswered).body == b"their answer"
        assert bob.accept(b"our offer").body == b""
        assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
        assert bob.take(Acknowledged).body == b""

    def test_what_a_later_prack_brings_is_an_offer(self) -> None:
        bob = Reliable(body=b"")
        bob.show(183, b"our offer")
        bob.prack(body=b"their answer")
        assert bob.take(EarlyAnswered).body == b"their answer"
        assert bob.show(183, b"ignored") is not None
        assert bob.prack(3, body=b"their offer") == []
        assert bob.take(Reinvited).body == b"their offer"
        assert bob.agent._sessions.get(bob.handle)._changes.description == b"our offer"

    def test_a_prack_that_forgets_the_answer(self) -> None:
        bob = Reliable(body=b"")
        bob.show(183, b"our offer")
        assert bob.prack() == ["200 PRACK"]
        assert bob.accept(b"our offer").body == b"our offer"
        assert bob.say(request("ACK", 1, to_tag=bob.tag, body=b"their answer")) == []
        assert bob.take(Acknowledged).body == b"their answer"

    def test_a_prack_with_an_offer_is_answered_at_once(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        assert bob.prack(body=b"new offer") == []
        event = bob.take(Reinvited)
        assert (event.body, event.is_update) == (b"new offer", True)
        response = bob.accept(b"new answer")
        assert (response.cseq.method, response.body) == ("PRACK", b"new answer")
        assert bob.accept(b"old answer").body == b""

    def test_a_prack_with_an_offer_that_collides(self) -> None:
        bob = Reliable()
        bob.show(183, ANSWER)
        bob.prack()
        bob.show(180)
        bob.agent.update(bob.handle, b"our offer", now=0.0)
        bob.drain()
        assert bob.prack(3, body=b"new offer") == ["491 PRACK"]

    def test_ringing_that_changes(self) -> None:
        bob = Reliable()
        bob.show(180)
        first = int(bob.number)
        assert bob.show(183, ANSWER) is None  # one at a time
        messages = bob.receive(request("PRACK", 2, to_tag=bob.tag, headers=f"RAck: {first} 1 INVITE"), UDP, 0.2)
        assert describe_all(messages) == ["183 INVITE", "200 PRACK"]
        assert messages[0].headers.get("RSeq") == str(first + 1)


class TestAsWhoCalls:
    def test_every_reliable_ringing_gets_one_prack(self) -> None:
        alice = Caller()
        assert "100rel" in alice.invite.supported
        assert alice.answer(180, headers=RELIABLE.format(7)) == ["PRACK"]
        prack = alice.last("PRACK")
        assert prack.headers.get("RAck") == "7 1 INVITE"
        assert (prack.to.tag, str(prack.cseq), str(prack.uri)) == ("bob-tag", "2 PRACK", "sip:bob@192.0.2.2")
        alice.take(Progressed)
        assert alice.answer(180, headers=RELIABLE.format(7)) == []  # a copy
        assert alice.answer(183, headers=RELIABLE.format(9)) == []  # 8 is still on its way
        assert alice.events == []
        assert alice.answer(183, headers=RELIABLE.format(8), body=b"early") == ["PRACK"]
        assert alice.take(Progressed).body == b"early"
        assert alice.last("PRACK").headers.get("RAck") == "8 1 INVITE"

    def test_ringing_that_wants_none_gets_none(self) -> None:
        alice = Caller()
        assert alice.answer(180) == []
        assert alice.answer(180, headers="RSeq: 4") == []
        assert alice.answer(100, tag="", headers=RELIABLE.format(1)) == []
        assert alice.answer(180, tag="", headers=RELIABLE.format(1)) == []
        assert len(alice.events) == 2

    def test_each_telephone_counts_for_itself(self) -> None:
        alice = Caller()
        assert alice.answer(180, tag="one", headers=RELIABLE.format(7)) == ["PRACK"]
        contact = "<sip:two@192.0.2.3>"
        assert alice.answer(180, tag="two", headers=RELIABLE.format(100), contact=contact) == ["PRACK"]
        assert str(alice.last("PRACK").uri) == "sip:two@192.0.2.3"
        assert alice.answer(180, tag="one", headers=RELIABLE.format(8)) == ["PRACK"]
        assert str(alice.last("PRACK").cseq) == "3 PRACK"

    def test_it_goes_by_the_record_route(self) -> None:
        alice = Caller()
        alice.answer(183, headers=RELIABLE.format(7) + "\nRecord-Route: <sip:192.0.2.8;lr>, <sip:192.0.2.9;lr>")
        assert alice.last("PRACK").headers.get_all("Route") == ["<sip:192.0.2.9;lr>", "<sip:192.0.2.8;lr>"]

    def test_the_call_goes_on_counting(self) -> None:
        alice = Caller()
        alice.answer(183, headers=RELIABLE.format(7), body=b"early")
        alice.answer(200)
        assert alice.last("ACK").cseq.number == 1
        alice.agent.hang_up(alice.handle, now=0.0)
        assert str(alice.last("BYE").cseq) == "3 BYE"

    def test_the_answer_may_have_come_while_it_rang(self) -> None:
        alice = Caller()
        alice.answer(183, headers=RELIABLE.format(7), body=b"early")
        alice.answer(200)
        assert alice.take(Accepted).body == b"early"

    def test_the_first_answer_of_a_telephone_is_the_one(self) -> None:
        alice = Caller()
        alice.answer(183, headers=RELIABLE.format(7), body=b"early")
        alice.answer(183, headers=RELIABLE.format(8), body=b"another")
        alice.answer(200)
        assert alice.take(Accepted).body == b"early"

    def test_it_is_repeated_over_udp_and_given_up(self) -> None:
        alice = Caller()
        alice.answer(180, headers=RELIABLE.format(7))
        assert len(alice.advance(32.0)) == 10
        assert alice.agent.sessions == 1

    def test_many_telephones_are_not_all_remembered(self) -> None:
        alice = Caller()
        pracks = [alice.answer(180, tag=f"t{number}", headers=RELIABLE.format(1)) for number in range(20)]
        assert pracks == [["PRACK"]] * 16 + [[]] * 4


def test_a_re_invite_of_ours_may_ring_reliably_too() -> None:
    alice = Caller()
    alice.answer(200, body=ANSWER)
    alice.take(Accepted)
    alice.agent.reinvite(alice.handle, b"new offer", now=0.0)
    message = alice.last("INVITE")
    ringing = respond(message, 183, headers=RELIABLE.format(5), body=b"new answer")
    assert [alice.say(ringing), alice.say(ringing)] == [["PRACK"], []]
    prack = alice.last("PRACK")
    assert (prack.headers.get("RAck"), str(prack.cseq), prack.to.tag) == ("5 2 INVITE", "3 PRACK", "bob-tag")
    assert alice.events == []
    assert alice.say(respond(message, 200)) == ["ACK"]
    assert alice.last("ACK").cseq.number == 2
    assert alice.take(Accepted).body == b"new answer"


def test_over_tcp_ringing_is_repeated_all_the_same() -> None:
    """A proxy behind the connection may have lost it (RFC 3262, section 3)."""
    bob = Endpoint(BOB)
    flow = Flow("TCP", (ALICE[0], 40000), BOB)
    bob.receive(invite(headers="Require: 100rel", transport="TCP"), flow, 0.0)
    bob.agent.ring(1, now=0.0)
    assert [at for at, _ in bob.advance(4.0)] == [0.0, 0.5, 1.5, 3.5]
