"""A REFER of ours, blind and attended, and all the ways in which peers report on it, or don't."""

from typing import Any

import pytest
from sip.peers import ANSWER, BOB, OFFER, TARGET, TRUSTING, Callee, Endpoint, World, describe_all, request, respond

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import Accepted, Ended, Event, IncomingInvite, ReferFinished, ReferProgressed, Referred
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Request
from sipagent.sip.refer import SIPFRAG_TYPE, ReferTo
from sipagent.sip.refer_client import NOTIFY_LIMIT_S, OUTCOME_LIMIT_S
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import Uri

BOB_FROM = NameAddr.parse("<sip:bob@192.0.2.2>")
SALES = Uri.parse("sip:200@pbx.example.com")


class Transferor(Callee):
    """Bob, in a call with an Alice who writes by hand, refers her."""

    def __init__(self) -> None:
        super().__init__()
        self.talk()
        self._number = 1

    def refer(self, now: float = 0.0, **fields: Any) -> Request:
        self.agent.refer(self.handle, SALES, now=now, **fields)
        (message,) = self.messages()
        assert isinstance(message, Request)
        return message

    def respond(self, to: Request, status: int, now: float = 0.0, headers: str = "") -> None:
        assert self.say(respond(to, status, headers=headers), now) == []

    def notify(
        self,
        body: bytes,
        state: str = "active;expires=60",
        *,
        event: str = "refer",
        now: float = 0.0,
        content_type: str = SIPFRAG_TYPE,
    ) -> list[str]:
        self._number += 1
        return self.say(
            request(
                "NOTIFY",
                self._number,
                to_tag=self.tag,
                headers=f"Event: {event}\nSubscription-State: {state}",
                body=body,
                content_type=content_type,
            ),
            now,
        )

    def told(self) -> list[tuple[int | None, str]]:
        """Status and kind of what the application was told of the REFER so far."""
        found = [event for event in self.events if isinstance(event, ReferProgressed | ReferFinished)]
        self.events = [event for event in self.events if event not in found]
        return [(event.status, "last" if isinstance(event, ReferFinished) else "on") for event in found]

    def bye(self) -> None:
        self._number += 1
        assert self.say(request("BYE", self._number, to_tag=self.tag)) == ["200 BYE"]
        self.end("bye")


@pytest.fixture
def bob() -> Transferor:
    return Transferor()


class TestRequest:
    def test_what_a_refer_holds(self, bob: Transferor) -> None:
        refer = bob.refer(headers=[("X-Reason", "billing")])
        assert refer.method == "REFER"
        assert ReferTo.of_request(refer) == ReferTo(SALES)
        assert refer.headers.get("Referred-By") == "<sip:bob@192.0.2.2>"
        assert refer.to.tag == "alice-tag"
        assert refer.contact is not None
        assert refer.headers.get("X-Reason") == "billing"
        assert refer.body == b""

    def test_one_at_a_time_and_only_in_a_call(self, bob: Transferor) -> None:
        bob.refer()
        with pytest.raises(LocalProtocolError):
            bob.agent.refer(bob.handle, SALES, now=0.0)
        waiting = Callee()
        waiting.ring()
        with pytest.raises(LocalProtocolError):
            waiting.agent.refer(waiting.handle, SALES, now=0.0)
        with pytest.raises(LocalProtocolError):
            bob.agent.refer(bob.handle, now=0.0)

    def test_a_header_that_would_break_the_line_is_refused(self, bob: Transferor) -> None:
        for name, value in (("X-A", "1\r\nEvil: 2"), ("To", "<sip:x@y>")):
            with pytest.raises(LocalProtocolError):
                bob.agent.refer(bob.handle, SALES, headers=[(name, value)], now=0.0)
        assert bob.messages() == []

    def test_an_attended_transfer_names_the_dialog_at_the_targets_side(self) -> None:
        bob = Transferor()
        other = bob.agent.invite(SALES, bob.flow, from_=BOB_FROM, body=OFFER, now=0.0)
        (invite,) = bob.messages()
        assert isinstance(invite, Request)
        with pytest.raises(LocalProtocolError):
            bob.agent.refer(bob.handle, replaces=other, now=0.0)
        bob.say(respond(invite, 200, tag="sales-tag", contact="<sip:desk@192.0.2.9>", body=ANSWER))
        bob.take(Accepted)
        bob.agent.refer(bob.handle, replaces=other, now=0.0)
        (refer,) = bob.messages()
        assert isinstance(refer, Request)
        refer_to = ReferTo.of_request(refer)
        assert str(refer_to.target) == "sip:desk@192.0.2.9"
        assert refer_to.replaces == Replaces(invite.call_id, "sales-tag", invite.from_.tag or "")


class TestReports:
    def test_how_it_goes_and_ends(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 202)
        assert bob.notify(b"SIP/2.0 100 Trying\r\n") == ["200 NOTIFY"]
        assert bob.notify(b"SIP/2.0 180 Ringing\r\n") == ["200 NOTIFY"]
        assert bob.notify(b"SIP/2.0 180 Ringing\r\n") == ["200 NOTIFY"]
        assert bob.told() == [(202, "on"), (100, "on"), (180, "on")]
        assert bob.notify(b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource") == ["200 NOTIFY"]
        assert bob.told() == [(200, "last")]
        bob.bye()

    def test_twilio_gets_its_bye_right_after_the_terminated_notify(self, bob: Transferor) -> None:
        """Trap: else the caller hears nothing for up to 32 s."""
        bob.respond(bob.refer(), 202)
        data = request(
            "NOTIFY",
            9,
            to_tag=bob.tag,
            headers="Event: refer\nSubscription-State: terminated;reason=noresource",
            body=b"SIP/2.0 200 OK\r\n",
            content_type=SIPFRAG_TYPE,
        )
        bob.agent.receive_datagram(data, bob.flow, now=1.0)
        bob.agent.hang_up(bob.handle, now=1.0)
        assert describe_all(bob.messages()) == ["200 NOTIFY", "BYE"]

    def test_a_failed_transfer_leaves_the_call_up(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 202)
        bob.notify(b"SIP/2.0 486 Busy Here\r\n", "terminated;reason=noresource")
        assert bob.told() == [(202, "on"), (486, "last")]
        bob.agent.reinvite(bob.handle, OFFER, now=1.0)
        assert describe_all(bob.messages()) == ["INVITE"]

    @pytest.mark.parametrize("status", [300, 403, 405, 407, 491, 501, 603])
    def test_a_refusal_is_the_last_word_and_no_challenge_is_answered(self, bob: Transferor, status: int) -> None:
        bob.respond(bob.refer(), status, headers='Proxy-Authenticate: Digest realm="x", nonce="y"')
        assert bob.told() == [(status, "last")]
        bob.refer(now=1.0)

    def test_a_notify_may_overtake_the_202(self, bob: Transferor) -> None:
        refer = bob.refer()
        bob.notify(b"SIP/2.0 100 Trying\r\n")
        bob.respond(refer, 202)
        bob.notify(b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
        assert bob.told() == [(100, "on"), (200, "last")]

    def test_the_last_notify_may_overtake_the_202(self, bob: Transferor) -> None:
        refer = bob.refer()
        bob.notify(b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource")
        bob.respond(refer, 202)
        assert bob.told() == [(200, "last")]
        bob.advance(1000.0)
        assert bob.told() == []

    def test_a_final_status_is_final_though_the_subscription_stays(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 200)
        bob.notify(b"SIP/2.0 200 OK\r\n", "active;expires=60")
        assert bob.told() == [(202, "on"), (200, "last")]
        assert bob.notify(b"SIP/2.0 200 OK\r\n", "terminated;reason=timeout") == ["200 NOTIFY"]
        assert bob.told() == []

    def test_a_peer_that_ends_the_reports_without_an_outcome(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 202)
        bob.notify(b"SIP/2.0 100 Trying\r\n", "terminated;reason=giveup")
        assert bob.take(ReferFinished) == ReferFinished(bob.handle, None, "giveup")

    def test_a_peer_that_never_reports(self, bob: Transferor) -> None:
        """Trap: some SBCs answer 202 and nothing more."""
        bob.respond(bob.refer(), 202, now=1.0)
        bob.advance(1.0 + NOTIFY_LIMIT_S - 0.001)
        assert bob.told() == [(202, "on")]
        bob.advance(1.0 + NOTIFY_LIMIT_S)
        assert bob.told() == [(None, "last")]
        bob.bye()

    @pytest.mark.parametrize(("state", "limit"), [("active", OUTCOME_LIMIT_S), ("active;expires=60", 60.0)])
    def test_a_peer_that_falls_silent(self, bob: Transferor, state: str, limit: float) -> None:
        bob.respond(bob.refer(), 202)
        bob.notify(b"SIP/2.0 180 Ringing\r\n", state, now=2.0)
        bob.advance(2.0 + limit - 0.001)
        assert bob.told() == [(202, "on"), (180, "on")]
        bob.advance(2.0 + limit)
        assert bob.told() == [(None, "last")]

    def test_refer_sub_false_means_no_reports(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 202, headers="Refer-Sub: false")
        assert bob.told() == [(None, "last")]
        assert bob.notify(b"SIP/2.0 200 OK\r\n") == ["200 NOTIFY"]
        assert bob.told() == []

    def test_a_refer_that_nobody_hears(self, bob: Transferor) -> None:
        bob.refer()
        bob.advance(32.0)
        assert bob.told() == [(408, "last")]

    def test_the_peer_hangs_up_first(self, bob: Transferor) -> None:
        refer = bob.refer()
        bob.bye()
        assert bob.say(respond(refer, 202)) == []
        assert bob.notify(b"SIP/2.0 200 OK\r\n", "terminated") == ["481 NOTIFY"]
        assert bob.told() == []

    def test_reports_after_our_bye_are_answered_and_change_nothing(self, bob: Transferor) -> None:
        bob.respond(bob.refer(), 202)
        bob.agent.hang_up(bob.handle, now=0.0)
        (bye,) = bob.messages()
        bob.take(Ended)
        assert bob.notify(b"SIP/2.0 200 OK\r\n", "terminated") == ["200 NOTIFY"]
        assert bob.told() == [(202, "on")]
        assert isinstance(bye, Request)
        bob.say(respond(bye, 200))
        bob.advance(1000.0)
        bob.assert_clean()


class TestStrangeReports:
    @pytest.mark.parametrize(
        ("body", "state", "event", "content_type", "answer"),
        [
            (b"SIP/2.0 200 OK", "terminated", "presence", SIPFRAG_TYPE, "489 NOTIFY"),
            (b"SIP/2.0 200 OK", "terminated", "", SIPFRAG_TYPE, "489 NOTIFY"),
            (b"SIP/2.0 200 OK", "terminated", "refer;id=4711", SIPFRAG_TYPE, "481 NOTIFY"),
            (b"SIP/2.0 200 OK", "a b", "refer", SIPFRAG_TYPE, "400 NOTIFY"),
            (b"nonsense", "active", "refer", SIPFRAG_TYPE, "200 NOTIFY"),
            (b"SIP/2.0 200 OK", "active", "refer", "text/plain", "200 NOTIFY"),
            (b"x" * 60_000, "active", "refer", SIPFRAG_TYPE, "200 NOTIFY"),
        ],
    )
    def test_what_says_nothing_changes_nothing(
        self, bob: Transferor, body: bytes, state: str, event: str, content_type: str, answer: str
    ) -> None:
        """Trap: NOTIFYs nobody asked for have killed user agents (CVE-2018-7284, CVE-2026-57191)."""
        bob.respond(bob.refer(), 202)
        assert bob.notify(body, state, event=event, content_type=content_type) == [answer]
        assert bob.told() == [(202, "on")]

    def test_a_notify_that_nobody_asked_for(self, bob: Transferor) -> None:
        assert bob.notify(b"SIP/2.0 200 OK", "terminated") == ["481 NOTIFY"]
        assert bob.told() == []

    def test_the_id_tells_the_second_refer_from_the_first(self, bob: Transferor) -> None:
        first = bob.refer()
        bob.respond(first, 603)
        second = bob.refer()
        bob.respond(second, 202)
        bob.told()
        assert bob.notify(b"SIP/2.0 486 Busy", "terminated", event=f"refer;id={first.cseq.number}") == ["481 NOTIFY"]
        assert bob.notify(b"SIP/2.0 200 OK", "terminated", event=f"refer;id={second.cseq.number}") == ["200 NOTIFY"]
        assert bob.told() == [(200, "last")]


@pytest.mark.parametrize("seed", range(20))
def test_over_a_bad_network_a_transfer_comes_to_its_end_and_nothing_is_left(seed: int) -> None:
    world = World(seed, loss=0.25, jitter=0.2, duplicate=0.1)
    finished: list[ReferFinished] = []

    def callee(event: Event) -> None:
        match event:
            case IncomingInvite(handle):
                world.bob.agent.accept(handle, ANSWER, now=world.now)
            case Referred(handle):
                world.bob.agent.midcall(handle).accept_refer(now=world.now)
                for status in (180, 183, 200):
                    world.bob.agent.midcall(handle).report_refer(status, now=world.now)

    def caller(event: Event) -> None:
        match event:
            case Accepted(handle):
                world.alice.agent.refer(handle, TARGET, now=world.now)
            case ReferFinished(handle):
                finished.append(event)
                world.alice.agent.hang_up(handle, now=world.now)

    world.bob = Endpoint(BOB, seed, TRUSTING)
    world.on_event = {world.bob: callee, world.alice: caller}
    world.call()
    world.run(2000.0)
    reasons = {event.reason for event in world.alice.events if isinstance(event, Ended)}
    assert len(reasons) == 1
    assert len(finished) == (0 if reasons & {"bye", "timeout", "rejected"} else 1)
    world.alice.assert_clean()
    world.bob.assert_clean()
