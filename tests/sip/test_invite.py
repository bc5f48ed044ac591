"""INVITE sessions as a whole: how they end, and two user agents over good and bad networks."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
from sip.peers import (
    ANSWER,
    OFFER,
    Callee,
    Endpoint,
    World,
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
    Ended,
    Event,
    IncomingInvite,
    Progressed,
    Reinvited,
    ReinviteRejected,
)
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.ua import UserAgent, UserAgentSettings


class TestByeOfTheirs:
    def test_in_the_call(self) -> None:
        bob = Callee()
        bob.talk()
        assert bob.say(request("BYE", 2, to_tag=bob.tag), 1.0) == ["200 BYE"]
        assert bob.say(request("BYE", 2, to_tag=bob.tag), 1.5) == ["200 BYE"]
        assert bob.say(request("BYE", 3, to_tag=bob.tag), 1.6) == ["481 BYE"]
        assert bob.say(invite(cseq="4 INVITE", to_tag=bob.tag, branch="z9hG4bKlate"), 1.7) == ["481 INVITE"]
        bob.end("bye")

    def test_before_the_answer(self) -> None:
        bob = Callee()
        bob.ring()
        assert bob.say(request("BYE", 2, to_tag=bob.tag)) == ["200 BYE", "487 INVITE"]
        bob.end("bye")

    def test_before_the_ack(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        assert bob.say(request("BYE", 2, to_tag=bob.tag), 0.1) == ["200 BYE"]
        assert bob.advance(100.0) == []
        bob.end("bye")

    @pytest.mark.parametrize("fields", [{"to_tag": "x"}, {"from_tag": "x"}, {"call_id": "x"}])
    def test_of_somebody_else(self, fields: dict[str, Any]) -> None:
        bob = Callee()
        bob.talk()
        assert bob.say(request("BYE", 2, **{"to_tag": bob.tag, **fields})) == ["481 BYE"]
        assert bob.events == []

    def test_crossing_ours(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.hang_up(bob.handle, now=1.0)
        (bye,) = bob.messages()
        assert isinstance(bye, Request)
        assert bob.say(request("BYE", 2, to_tag=bob.tag), 1.0) == ["200 BYE"]
        assert bob.say(invite(cseq="3 INVITE", to_tag=bob.tag, branch="z9hG4bKb"), 1.0) == ["481 INVITE"]
        assert not bob.agent.is_idle
        bob.say(respond(bye, 200), 1.1)
        assert bob.agent.is_idle
        bob.end("hung_up")

    def test_out_of_order(self) -> None:
        bob = Callee()
        bob.ring(cseq="5 INVITE")
        bob.accept()
        assert bob.say(request("BYE", 4, to_tag=bob.tag)) == ["500 BYE"]
        assert bob.events == []


class TestByeOfOurs:
    def test_waits_for_the_ack(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        bob.agent.hang_up(bob.handle, now=0.1, headers=[("Reason", "SIP;cause=200")])
        assert bob.messages() == []
        assert bob.say(request("ACK", to_tag=bob.tag), 1.0) == ["BYE"]
        bye = parse_message(bob.sent[-1].data)
        assert isinstance(bye, Request)
        assert bye.headers.get("Reason") == "SIP;cause=200"
        bob.say(respond(bye, 200), 1.0)
        bob.end("hung_up")

    def test_goes_without_the_ack_in_the_end(self) -> None:
        bob = Callee()
        bob.ring()
        bob.accept()
        bob.agent.hang_up(bob.handle, now=0.1)
        assert [at for at, message in bob.advance(32.0) if describe(message) == "BYE"] == [32.0]
        bob.end("hung_up")

    def test_is_repeated_and_given_up(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.hang_up(bob.handle, now=0.0)
        assert describe_all(bob.messages()) == ["BYE"]
        assert [at for at, _ in bob.advance(40.0)] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        bob.end("hung_up")

    def test_a_challenge_ends_the_call_all_the_same(self) -> None:
        bob = Callee()
        bob.talk()
        bob.agent.hang_up(bob.handle, now=0.0)
        (bye,) = bob.messages()
        assert isinstance(bye, Request)
        assert bob.say(respond(bye, 407, headers='Proxy-Authenticate: Digest realm="x", nonce="y"')) == []
        bob.end("hung_up")


def answer(world: World, *, after: float = 0.0) -> Callable[[Event], None]:
    """Let an endpoint of the world take every call and every re-INVITE."""
    agent = world.bob.agent

    def on_event(event: Event) -> None:
        if isinstance(event, IncomingInvite):
            agent.ring(event.handle, now=world.now)
            agent.accept(event.handle, ANSWER, now=world.now)
        elif isinstance(event, Reinvited):
            agent.accept(event.handle, ANSWER, now=world.now)

    return on_event


class TestTogether:
    @pytest.mark.parametrize("transport", ["UDP", "TCP"])
    def test_a_call(self, transport: str) -> None:
        world = World(transport=transport)
        world.on_event[world.bob] = answer(world)
        handle = world.call()
        world.run(1.0)
        assert [type(event) for event in world.alice.events] == [Progressed, Accepted]
        world.bob.take(IncomingInvite)
        world.bob.take(Acknowledged)
        world.alice.agent.reinvite(handle, b"hold", now=world.now)
        world.run(2.0)
        world.bob.take(Reinvited)
        world.alice.agent.hang_up(handle, now=world.now)
        world.run(3.0)
        assert world.alice.take(Ended).reason == "hung_up"
        assert world.bob.take(Ended).reason == "bye"
        world.run(100.0)
        world.assert_clean()

    def test_both_re_invite_at_once_and_both_succeed(self) -> None:
        for seed in range(20):
            world = World(seed)
            world.on_event[world.bob] = answer(world)
            handle = world.call()
            world.run(1.0)
            bob_handle = world.bob.take(IncomingInvite).handle
            world.on_event[world.alice] = lambda event, w=world, h=handle: (
                w.alice.agent.accept(h, b"a", now=w.now) if isinstance(event, Reinvited) else None
            )
            world.alice.agent.reinvite(handle, b"from alice", now=world.now)
            world.bob.agent.reinvite(bob_handle, b"from bob", now=world.now)
            world.run(10.0)
            assert len(world.seen(world.alice, "491 INVITE")) == len(world.seen(world.bob, "491 INVITE")) == 1
            outcomes = [
                event
                for end in (world.alice, world.bob)
                for event in end.events
                if isinstance(event, Accepted | ReinviteRejected)
            ]
            assert len(outcomes) == 3  # the call, and one outcome of each re-INVITE
            assert isinstance(outcomes[-1], Accepted)

    @pytest.mark.parametrize("transport", ["UDP", "TCP"])
    def test_over_a_bad_network_every_call_ends_and_nothing_is_left(self, transport: str) -> None:
        """One final response a request, one end a session, and then silence, whatever both do and the network does."""
        reasons: Counter[str] = Counter()
        for seed in range(40):
            world = World(seed, transport)
            for number, end in enumerate((world.alice, world.bob)):
                settings = UserAgentSettings(reliable_ringing=seed % 2 == 1)
                end.agent = UserAgent(settings, random=Random(2 * seed + number))
            if transport == "UDP":
                world.loss, world.jitter, world.duplicate = 0.2, 0.4, 0.2
            meddle(world)
            assert_one_final_response(world)
            for end in (world.alice, world.bob):
                for events in by_handle(end).values():
                    assert [event for event in events if isinstance(event, Ended)] == events[-1:]
                    reasons[events[-1].reason] += 1
            world.assert_clean()
        assert {"bye", "cancelled", "hung_up", "rejected"} <= set(reasons)


def meddle(world: World) -> None:
    """Let both ends do anything at any time, and then hang up."""
    for end in (world.alice, world.bob):
        world.on_event[end] = partial(accept_update, world, end)
    handles = [world.call() for _ in range(6)]
    for _ in range(30):
        world.run(world.now + world.random.random() * 2)
        agent = world.random.choice((world.alice, world.bob)).agent
        attempt(world.random.choice(COMMANDS), agent, world.random.choice(handles), world.now)
    for end in (world.alice, world.bob):
        for handle in by_handle(end):
            attempt(UserAgent.hang_up, end.agent, handle, world.now)
    world.run(2000.0)


def accept_update(world: World, end: Endpoint, event: Event) -> None:
    """Answer an UPDATE at once, as one must, unless one is in the mood not to."""
    if isinstance(event, Reinvited) and event.is_update and world.random.random() < 0.8:
        attempt(lambda agent, handle, now: agent.accept(handle, ANSWER, now=now), end.agent, event.handle, world.now)


COMMANDS: list[Callable[..., None]] = [
    UserAgent.hang_up,
    UserAgent.ring,
    lambda agent, handle, now: agent.accept(handle, ANSWER, now=now),
    lambda agent, handle, now: agent.accept(handle, ANSWER, now=now),
    lambda agent, handle, now: agent.reject(handle, 486, now=now),
    lambda agent, handle, now: agent.ring(handle, status=183, body=ANSWER, now=now),
    lambda agent, handle, now: agent.reinvite(handle, OFFER, now=now),
    lambda agent, handle, now: agent.reinvite(handle, OFFER, now=now),
    lambda agent, handle, now: agent.update(handle, OFFER, now=now),
]


def attempt(command: Callable[..., None], agent: UserAgent, handle: int, now: float) -> None:
    """Do it, if it may be done."""
    with suppress(LocalProtocolError):
        command(agent, handle, now=now)


def by_handle(end: Endpoint) -> dict[int, list[Any]]:
    """The events of each session, in order."""
    sessions: dict[int, list[Any]] = {}
    for event in end.events:
        sessions.setdefault(event.handle, []).append(event)
    return sessions


def assert_one_final_response(world: World) -> None:
    """No transaction is answered in two ways."""
    finals: dict[tuple[str, str, str], set[int]] = {}
    for _, name, message in world.log:
        if isinstance(message, Response) and message.status >= 200:
            key = (name, message.via.branch or "", message.cseq.method)
            finals.setdefault(key, set()).add(message.status)
    assert {key: statuses for key, statuses in finals.items() if len(statuses) > 1} == {}
