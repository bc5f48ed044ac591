"""Races (RFC 5407): messages that cross on the way, and what both sides believe of the call afterwards."""

from collections.abc import Callable

import pytest
from sip.peers import ANSWER, OFFER, Callee, Caller, Endpoint, World, describe, invite, request, respond

from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    Ended,
    Event,
    IncomingInvite,
    Reinvited,
    ReinviteRejected,
    UpdateAccepted,
)

SEEDS = range(20)


class TestBeforeTheAck:
    def test_3_1_2_a_cancel_that_crosses_our_2xx(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert bob.say(request("CANCEL", 1, branch="z9hG4bKone")) == ["200 CANCEL"]
        assert bob.agent.sessions == 1
        assert bob.say(request("ACK", to_tag=bob.tag)) == []
        bob.take(Acknowledged)
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE"]
        bob.end("bye")

    def test_3_1_2_a_2xx_that_crosses_our_cancel(self) -> None:
        alice = Caller()
        alice.answer(100, tag="")
        alice.agent.hang_up(alice.handle, now=0.0)
        alice.drain()
        assert alice.answer(200, 0.1) == ["ACK", "BYE"]
        assert alice.say(respond(alice.last("CANCEL"), 200), 0.1) == []
        alice.end("hung_up")

    def test_3_1_3_their_bye_while_it_rings(self) -> None:
        bob = Callee()
        bob.ring()
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE", "487 INVITE"]
        bob.end("bye")

    def test_3_1_4_their_re_invite_overtakes_the_ack(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert bob.say(invite(cseq="2 INVITE", branch="z9hG4bKre", to_tag=bob.tag)) == ["100 INVITE"]
        bob.take(Acknowledged)
        bob.take(Reinvited)
        assert bob.accept(b"new answer").cseq.number == 2
        assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
        assert bob.say(request("ACK", 2, to_tag=bob.tag)) == []
        bob.take(Acknowledged)

    def test_3_1_5_their_re_invite_overtakes_the_ack_that_brings_the_answer(self) -> None:
        bob = Callee()
        bob.ring(body=b"")
        bob.accept(b"our offer")
        assert bob.say(invite(cseq="2 INVITE", branch="z9hG4bKre", to_tag=bob.tag)) == ["491 INVITE"]
        assert bob.say(request("ACK", 1, to_tag=bob.tag, body=b"their answer")) == []
        assert bob.take(Acknowledged).body == b"their answer"

    def test_3_1_6_their_bye_overtakes_the_ack(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE"]
        assert bob.say(request("ACK", 1, to_tag=bob.tag)) == []
        bob.end("bye")

    def test_our_bye_waits_for_the_ack_and_then_goes(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        bob.agent.hang_up(bob.handle, now=0.1)
        assert bob.messages() == []
        assert bob.say(request("ACK", 1, to_tag=bob.tag), 0.2) == ["BYE"]


class TestOnceItIsUp:
    def test_3_3_1_bye_crosses_bye(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.hang_up(bob.handle, now=0.0)
        bye = bob.last("BYE")
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE"]
        assert bob.say(respond(bye, 481)) == []
        bob.end("hung_up")

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    def test_3_3_2_their_change_crosses_our_bye(self, method: str) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.hang_up(bob.handle, now=0.0)
        bob.drain()
        assert bob.say(request(method, 2, to_tag=bob.tag, body=OFFER)) == [f"481 {method}"]
        bob.end("hung_up")

    def test_3_3_3_the_2xx_of_our_re_invite_crosses_our_bye(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.reinvite(bob.handle, b"offer", now=0.0)
        message = bob.last("INVITE")
        bob.agent.hang_up(bob.handle, now=0.0)
        bob.drain()
        assert bob.say(respond(message, 200)) == ["ACK"]
        bob.end("hung_up")


def accept_all(world: World, end: Endpoint) -> Callable[[Event], None]:
    """Let an end accept every call and every change of it."""

    def on_event(event: Event) -> None:
        if isinstance(event, IncomingInvite | Reinvited):
            end.agent.accept(event.handle, ANSWER, now=world.now)

    return on_event


@pytest.mark.parametrize("ours", ["reinvite", "update"])
@pytest.mark.parametrize("theirs", ["reinvite", "update"])
def test_two_offers_at_once_collide_and_then_both_succeed(ours: str, theirs: str) -> None:
    for seed in SEEDS:
        world = World(seed)
        world.on_event = {end: accept_all(world, end) for end in (world.alice, world.bob)}
        handle = world.call()
        world.run(1.0)
        bob_handle = world.bob.take(IncomingInvite).handle
        world.alice.take(Accepted)
        getattr(world.alice.agent, ours)(handle, b"from alice", now=world.now)
        getattr(world.bob.agent, theirs)(bob_handle, b"from bob", now=world.now)
        world.run(20.0)
        for end, method in ((world.alice, theirs), (world.bob, ours)):
            assert len(world.seen(end, f"491 {'INVITE' if method == 'reinvite' else 'UPDATE'}")) == 1
        outcomes = [
            event
            for end in (world.alice, world.bob)
            for event in end.events
            if isinstance(event, Accepted | UpdateAccepted | ReinviteRejected)
        ]
        assert len(outcomes) == 2
        assert isinstance(outcomes[-1], Accepted | UpdateAccepted)
        assert world.alice.agent.sessions == world.bob.agent.sessions == 1


def test_a_refresh_and_an_offer_do_not_collide() -> None:
    bob = Callee()
    bob.talk(headers="Supported: timer\nSession-Expires: 90;refresher=uas\nAllow: UPDATE")
    assert describe(bob.advance(45.0)[0][1]) == "UPDATE"
    assert bob.say(request("INVITE", 2, to_tag=bob.tag, body=OFFER), 45.0) == ["100 INVITE"]
    bob.take(Reinvited)
    assert bob.accept(now=45.0).status == 200
    assert not [event for event in bob.events if isinstance(event, Ended)]
