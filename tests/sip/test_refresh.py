"""Session timers in calls: who refreshes by what and when, what a refusal leads to, and when a call is given up."""

import pytest
from sip.peers import (
    ANSWER,
    BOB,
    OFFER,
    TARGET,
    Callee,
    Caller,
    Endpoint,
    World,
    describe,
    invite,
    request,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip import core
from sipagent.sip.account import Account
from sipagent.sip.events import Accepted, Acknowledged, Ended, Event, IncomingInvite, Refreshed, Reinvited
from sipagent.sip.message import Request, Response
from sipagent.sip.refresh import RETRY_S
from sipagent.sip.session_timer import SessionTimerSettings
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

ALLOW = "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"
NO_UPDATE = "Allow: INVITE, ACK, BYE, CANCEL"


def expires(message: Request | Response) -> str | None:
    return message.headers.get("Session-Expires")


def callee(*fields: str) -> Callee:
    """Bob in a call that Alice began with these fields."""
    bob = Callee()
    bob.talk(headers="\n".join(fields))
    return bob


def caller(*fields: str, settings: SessionTimerSettings | None = None) -> Caller:
    """Alice in a call that Bob accepted with these fields."""
    alice = Caller()
    if settings is not None:
        alice = with_timer(settings)
    assert alice.answer(200, headers="\n".join(fields), body=ANSWER) == ["ACK"]
    alice.take(Accepted)
    return alice


def with_timer(settings: SessionTimerSettings) -> Caller:
    """Alice, whose line wants this of session timers."""
    alice = Caller()
    account = Account(name="line", address=Uri.parse("sip:alice@192.0.2.2"), contact_user="x", session_timer=settings)
    alice.agent = UserAgent(accounts=[account], random=alice.agent._core.random)
    alice.handle = alice.agent.invite(TARGET, alice.flow, account="line", body=OFFER, now=0.0)
    alice.invite = alice.last("INVITE")
    return alice


def requests(end: Endpoint, to: float) -> list[tuple[float, Request]]:
    """What is asked until then, each request once."""
    seen: dict[str, tuple[float, Request]] = {}
    for at, message in end.advance(to):
        if isinstance(message, Request):
            seen.setdefault(message.via.branch or "", (at, message))
    return [*seen.values()]


class TestAsWhoIsCalled:
    def test_the_peer_refreshes(self) -> None:
        bob = Callee()
        bob.ring(headers="Supported: timer\nSession-Expires: 1800;refresher=uac")
        response = bob.accept()
        assert (expires(response), response.require) == ("1800;refresher=uac", ["timer"])
        bob.say(request("ACK", to_tag=bob.tag))
        bob.take(Acknowledged)
        for number, now in enumerate((900.0, 1800.0, 2700.0), 2):
            assert requests(bob, now) == []
            refresh = request("UPDATE", number, to_tag=bob.tag, headers="Supported: timer\nx: 1800;refresher=uac")
            (response,) = bob.receive(refresh, bob.flow, now)
            assert expires(response) == "1800;refresher=uac"
        assert [(at, message.method) for at, message in requests(bob, 5000.0)] == [(2700.0 + 1768.0, "BYE")]
        assert "408" in (bob.last("BYE").headers.get("Reason") or "")
        bob.end("expired")

    def test_the_peer_refreshes_by_re_invite(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 90;refresher=uac")
        fields = "Supported: timer\nx: 90;refresher=uac"
        data = invite(cseq="2 INVITE", branch="z9hG4bKr", to_tag=bob.tag, headers=fields)
        assert bob.say(data, 45.0) == ["100 INVITE"]
        bob.take(Reinvited)
        assert expires(bob.accept(now=45.0)) == "90;refresher=uac"
        bob.say(request("ACK", 2, to_tag=bob.tag), 45.0)
        assert [(at, message.method) for at, message in requests(bob, 200.0)] == [(105.0, "BYE")]

    def test_a_re_invite_that_is_refused_refreshes_nothing(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 90;refresher=uac")
        fields = "Supported: timer\nx: 90;refresher=uac"
        data = invite(cseq="2 INVITE", branch="z9hG4bKr", to_tag=bob.tag, headers=fields)
        bob.say(data, 45.0)
        bob.agent.reject(bob.handle, 488, now=45.0)
        assert (60.0, "BYE") in [(at, message.method) for at, message in requests(bob, 200.0)]

    def test_we_refresh_by_update(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", ALLOW)
        now = 0.0
        for _ in range(3):
            ((at, message),) = requests(bob, now + 50.1)
            assert (at, message.method, message.body) == (now + 50.0, "UPDATE", b"")
            assert expires(message) == "100;refresher=uac"
            assert "timer" in message.supported
            bob.say(respond(message, 200, headers="Session-Expires: 100;refresher=uac"), at)
            now = at

    def test_we_refresh_by_re_invite_where_update_is_not_taken(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        ((at, message),) = requests(bob, 50.1)
        assert (at, message.method, message.body) == (50.0, "INVITE", ANSWER)  # what was said last, with its version
        assert bob.say(respond(message, 200, headers="x: 100;refresher=uac", body=OFFER), at) == ["ACK"]
        assert bob.take(Refreshed) == Refreshed(bob.handle, OFFER)
        assert requests(bob, 99.0) == []

    def test_what_was_said_last_may_be_an_offer_or_an_answer_of_later(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        bob.say(invite(cseq="2 INVITE", branch="z9hG4bKr", to_tag=bob.tag, headers="Supported: timer"))
        bob.take(Reinvited)
        assert expires(bob.accept(b"held")) == "100;refresher=uas"
        bob.say(request("ACK", 2, to_tag=bob.tag))
        ((_, message),) = requests(bob, 50.1)
        assert message.body == b"held"
        bob.say(respond(message, 200, headers="x: 100;refresher=uac"), 50.0)
        bob.agent.reinvite(bob.handle, b"new offer", now=60.0)
        message = bob.last("INVITE")
        assert expires(message) == "100;refresher=uac"
        bob.say(respond(message, 200, headers="x: 100;refresher=uac"), 60.0)
        ((at, message),) = requests(bob, 110.1)
        assert (at, message.body) == (110.0, b"new offer")

    def test_what_was_said_last_may_be_the_answer_to_an_update(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        bob.say(request("UPDATE", 2, to_tag=bob.tag, headers="Supported: timer", body=OFFER))
        bob.take(Reinvited)
        assert expires(bob.accept(b"held")) == "100;refresher=uas"
        ((_, message),) = requests(bob, 50.1)
        assert (message.method, message.body) == ("INVITE", b"held")

    def test_no_timer_runs_before_the_call_is_up(self) -> None:
        bob = Callee()
        bob.ring()
        early = request("UPDATE", 2, to_tag=bob.tag, headers="Supported: timer\nx: 100;refresher=uas")
        (response,) = bob.receive(early, bob.flow, 0.0)
        assert expires(response) is None
        assert requests(bob, 100.0) == []

    @pytest.mark.parametrize("status", [405, 501])
    def test_a_peer_that_does_not_take_update_after_all(self, status: int) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", ALLOW)
        ((at, message),) = requests(bob, 50.1)
        assert bob.say(respond(message, status), at) == ["INVITE"]
        bob.say(respond(bob.last("INVITE"), 200, headers="x: 100;refresher=uac"), at)
        ((at, message),) = requests(bob, 100.1)
        assert (at, message.method) == (100.0, "INVITE")

    def test_a_refresh_that_is_refused_is_tried_until_the_time_is_over(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", ALLOW)
        ((at, message),) = requests(bob, 50.1)
        bob.say(respond(message, 500), at)
        ((at, message),) = requests(bob, 60.1)
        assert (at, message.method) == (50.0 + RETRY_S, "UPDATE")
        bob.say(respond(message, 503, headers="Retry-After: 60"), at)
        assert [(at, message.method) for at, message in requests(bob, 200.0)] == [(100.0 - 32.0, "BYE")]
        bob.end("expired")

    def test_a_422_is_followed(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", ALLOW)
        ((at, message),) = requests(bob, 50.1)
        assert bob.say(respond(message, 422, headers="Min-SE: 120"), at) == ["UPDATE"]
        message = bob.last("UPDATE")
        assert (expires(message), message.headers.get("Min-SE")) == ("120;refresher=uac", "120")

    @pytest.mark.parametrize("status", [200, 500])
    def test_hung_up_while_a_refresh_is_on_its_way(self, status: int) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        ((at, message),) = requests(bob, 50.1)
        bob.agent.hang_up(bob.handle, now=at)
        assert bob.say(respond(bob.last("BYE"), 200), at) == []
        assert bob.say(respond(message, status, headers="x: 100;refresher=uac"), at) == ["ACK"]
        bob.end("hung_up")

    def test_what_the_peer_takes_may_be_learnt_later(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        ((at, message),) = requests(bob, 50.1)
        bob.say(respond(message, 200, headers="x: 100;refresher=uac\n" + ALLOW), at)
        ((at, message),) = requests(bob, 100.1)
        assert (at, message.method) == (100.0, "UPDATE")

    @pytest.mark.parametrize("status", [408, 481])
    def test_a_peer_that_knows_no_such_call_ends_it(self, status: int) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", ALLOW)
        ((at, message),) = requests(bob, 50.1)
        assert bob.say(respond(message, status), at) == ["BYE"]
        bob.end("timeout" if status == 408 else "rejected", status)

    def test_a_peer_that_is_gone(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 1800;refresher=uas", ALLOW)
        assert [(at, message.method) for at, message in requests(bob, 933.0)] == [(900.0, "UPDATE"), (932.0, "BYE")]
        bob.end("timeout", 408)

    def test_an_interval_that_is_too_short_is_422_with_the_shortest(self) -> None:
        bob = Endpoint(BOB)
        (response,) = bob.receive(invite(headers="Supported: timer\nx: 60"), Callee().flow, 0.0)
        assert (describe(response), response.headers.get("Min-SE")) == ("422 INVITE", "90")
        bob.assert_clean()

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    def test_on_a_refresh_too(self, method: str) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uac", ALLOW)
        (response,) = bob.receive(request(method, 2, to_tag=bob.tag, headers="Supported: timer\nx: 60"), bob.flow, 1.0)
        assert (response.status, response.headers.get("Min-SE")) == (422, "90")  # type: ignore[union-attr]
        assert bob.agent.sessions == 1

    def test_while_their_re_invite_waits_we_do_not_refresh(self) -> None:
        bob = callee("Supported: timer", "Session-Expires: 100;refresher=uas", NO_UPDATE)
        bob.say(invite(cseq="2 INVITE", branch="z9hG4bKr", to_tag=bob.tag, headers="Supported: timer"), 49.0)
        assert requests(bob, 59.0) == []
        bob.agent.reject(bob.handle, 488, now=59.0)
        bob.say(request("ACK", 2, branch="z9hG4bKr", to_tag=bob.tag), 59.0)
        assert [at for at, _ in requests(bob, 61.0)] == [60.0]

    def test_nobody_wants_one(self) -> None:
        for fields in ((), ("Supported: timer",)):
            bob = Callee()
            bob.ring(headers="\n".join(fields))
            assert expires(bob.accept()) is None
            bob.say(request("ACK", to_tag=bob.tag))
            assert requests(bob, 100_000.0) == []


class TestSwitchedOff:
    OFF = SessionTimerSettings("off")

    def called(self, fields: str) -> Response:
        """What an INVITE with these fields is answered with, at once or when the application accepts it."""
        bob = Callee()
        account = Account(name="x", address=Uri.parse("sip:b@192.0.2.1"), contact_user="bob", session_timer=self.OFF)
        bob.agent = UserAgent(accounts=[account], random=bob.agent._core.random)
        (response,) = bob.receive(invite(headers=fields), bob.flow, 0.0)
        assert isinstance(response, Response)
        if response.status > 100:
            return response
        bob.handle = bob.take(IncomingInvite).handle
        return bob.accept()

    def test_who_insists_is_refused(self) -> None:
        response = self.called("Require: Timer\nSession-Expires: 1800")
        assert (response.status, response.headers.get("Unsupported")) == (420, "timer")

    @pytest.mark.parametrize("seconds", [60, 1800])
    def test_who_does_not_gets_none(self, seconds: int) -> None:
        response = self.called(f"Supported: timer\nSession-Expires: {seconds}")
        assert (response.status, expires(response)) == (200, None)
        assert "timer" not in response.supported
        assert "100rel" in response.supported

    def test_our_invite_does_not_speak_of_it(self) -> None:
        message = with_timer(self.OFF).invite
        assert "timer" not in message.supported
        assert expires(message) is None


class TestAsWhoCalls:
    ON = SessionTimerSettings("on", 100)

    def test_what_our_invite_says(self) -> None:
        assert expires(Caller().invite) is None
        assert "timer" in Caller().invite.supported
        assert expires(with_timer(self.ON).invite) == "100"

    def test_we_refresh(self) -> None:
        alice = caller("Session-Expires: 100;refresher=uac", ALLOW, settings=self.ON)
        assert [(at, message.method) for at, message in requests(alice, 50.1)] == [(50.0, "UPDATE")]

    def test_they_refresh(self) -> None:
        alice = caller("Session-Expires: 100;refresher=uas", ALLOW, settings=self.ON)
        assert [(at, message.method) for at, message in requests(alice, 99.0)] == [(68.0, "BYE")]
        alice.end("expired")

    def test_a_peer_that_knows_of_none_is_asked_whether_it_is_there(self) -> None:
        alice = caller(NO_UPDATE, settings=self.ON)
        now = 0.0
        for status in (200, 488, 501):
            ((at, message),) = requests(alice, now + 50.1)
            assert (at, message.method, message.body) == (now + 50.0, "INVITE", OFFER)
            alice.say(respond(message, status), at)
            now = at
        ((at, message),) = requests(alice, now + 50.1)
        assert alice.say(respond(message, 481), at) == ["ACK", "BYE"]

    def test_a_peer_that_says_nothing_of_it_switches_it_off(self) -> None:
        alice = caller("Session-Expires: 100;refresher=uac", ALLOW)
        ((at, message),) = requests(alice, 50.1)
        alice.say(respond(message, 200), at)
        assert requests(alice, 100_000.0) == []
        assert alice.agent.sessions == 1

    def test_a_422_is_followed(self) -> None:
        alice = with_timer(self.ON)
        alice.answer(422, headers="Min-SE: 1800")
        again = alice.last("INVITE")
        assert (expires(again), again.headers.get("Min-SE"), str(again.cseq)) == ("1800", "1800", "2 INVITE")
        assert (again.call_id, again.from_, again.body) == (alice.invite.call_id, alice.invite.from_, OFFER)
        alice.invite = again
        assert alice.answer(200, headers="Session-Expires: 1800;refresher=uac\n" + ALLOW) == ["ACK"]
        alice.take(Accepted)
        assert requests(alice, 900.1)[0][0] == 900.0

    def test_a_422_that_asks_for_nothing_is_the_end(self) -> None:
        alice = with_timer(self.ON)
        assert alice.answer(422, headers="Min-SE: 90") == ["ACK"]
        alice.end("rejected", 422)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_two_of_us_keep_a_call_alive_and_end_it_together(
    method: str, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of a call with the shortest timer; then the network is cut, and both notice."""
    monkeypatch.setattr(core, "ALLOW", "INVITE, ACK, CANCEL, BYE" + (", UPDATE" if method == "UPDATE" else ""))
    world = World(seed=3, loss=loss)
    settings = SessionTimerSettings("on", 90)
    account = Account(name="line", address=Uri.parse("sip:a@192.0.2.2"), contact_user="x", session_timer=settings)
    world.alice.agent = UserAgent(accounts=[account], random=world.random)

    def accept(event: Event) -> None:
        if isinstance(event, IncomingInvite | Reinvited):
            world.bob.agent.accept(event.handle, ANSWER, now=world.now)

    world.on_event[world.bob] = accept
    flow = world.flow(world.alice, world.bob)
    handle = world.alice.agent.invite(TARGET, flow, account="line", body=OFFER, now=0.0)
    world.run(3600.0)
    assert world.alice.agent.sessions == world.bob.agent.sessions == 1
    assert len(world.seen(world.alice, method)) >= 3600 // 45 - 1
    world.drop = lambda message: True
    world.run(3800.0)
    assert world.alice.take(Ended) == Ended(handle, "expired")
    assert world.bob.take(Ended).reason == "expired"
    world.assert_clean()


class TestAskedForLife:
    """The refresh that a call wants whose media are dead; no timer was agreed on."""

    @pytest.mark.parametrize(("takes", "method"), [(ALLOW, "UPDATE"), (NO_UPDATE, "INVITE")])
    def test_a_peer_that_has_the_call_goes_on(self, takes: str, method: str) -> None:
        bob = callee(takes)
        bob.agent.refresh(bob.handle, now=20.0)
        ((_, message),) = requests(bob, 20.1)
        assert message.method == method
        bob.say(respond(message, 200, body=OFFER if method == "INVITE" else b""), 20.1)
        assert [asked for _, asked in requests(bob, 200.0) if asked.method != "ACK"] == []
        assert bob.agent.sessions == 1

    @pytest.mark.parametrize("takes", [ALLOW, NO_UPDATE])
    def test_a_peer_that_has_it_no_more_has_ended_it(self, takes: str) -> None:
        bob = callee(takes)
        bob.agent.refresh(bob.handle, now=20.0)
        ((_, message),) = requests(bob, 20.1)
        bob.say(respond(message, 481), 20.1)
        assert bob.take(Ended).status == 481

    def test_a_peer_that_is_silent_has_gone(self) -> None:
        bob = callee(ALLOW)
        bob.agent.refresh(bob.handle, now=20.0)
        requests(bob, 60.0)
        assert bob.take(Ended).reason == "timeout"

    def test_before_the_answer_there_is_nothing_to_ask(self) -> None:
        alice = Caller()
        with pytest.raises(LocalProtocolError):
            alice.agent.refresh(alice.handle, now=0.0)
