"""A REFER of the peer's: whose is heard, and how the peer learns what came of it."""

import pytest
from sip.peers import ANSWER, TRUSTING, Callee, Caller, describe, describe_all, request, respond

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import Accepted, Referred
from sipagent.sip.message import Request
from sipagent.sip.refer import read_sipfrag
from sipagent.sip.refer_server import DECISION_LIMIT_S, EXPIRES_S
from sipagent.sip.replaces import Replaces
from sipagent.sip.uri import Uri

REFER_TO = "Refer-To: <sip:300@pbx.example.com>\nReferred-By: <sip:boss@pbx.example.com>"


class Referee(Caller):
    """Alice, who called a Bob who writes by hand, and is referred by him."""

    def __init__(self) -> None:
        super().__init__()
        self.answer(200, body=ANSWER)
        self.take(Accepted)
        self._number = 0

    def refer(self, headers: str = REFER_TO, now: float = 0.0) -> list[str]:
        self._number += 1
        return self.say(self.within("REFER", self._number, headers=headers, contact="<sip:bob@192.0.2.2>"), now)

    def accept(self, now: float = 0.0) -> Request:
        """Agree; return the NOTIFY that says so."""
        self.agent.midcall(self.handle).accept_refer(now=now)
        answer, notify = self.messages()
        assert describe(answer) == "202 REFER"
        assert isinstance(notify, Request)
        return notify

    def report(self, status: int, now: float = 0.0) -> list[Request]:
        self.agent.midcall(self.handle).report_refer(status, now=now)
        return [message for message in self.messages() if isinstance(message, Request)]

    def confirm(self, notify: Request, status: int = 200, now: float = 0.0) -> list[Request]:
        """Answer a NOTIFY; return what is sent next."""
        found = self.receive(respond(notify, status), self.flow, now)
        return [message for message in found if isinstance(message, Request)]

    def leave(self) -> None:
        self._number += 1
        assert self.say(self.within("BYE", self._number)) == ["200 BYE"]
        self.end("bye")


@pytest.fixture
def alice() -> Referee:
    return Referee()


def state(notify: Request) -> str:
    assert notify.method == "NOTIFY"
    return notify.headers.get("Subscription-State") or ""


class TestDecision:
    def test_it_waits_for_the_application(self, alice: Referee) -> None:
        assert alice.refer() == []
        referred = alice.take(Referred)
        assert referred.target == Uri.parse("sip:300@pbx.example.com")
        assert referred.replaces is None
        assert referred.referred_by is not None
        assert referred.referred_by.uri.user == "boss"
        alice.agent.midcall(alice.handle).refuse_refer(now=0.0)
        assert describe_all(alice.messages()) == ["603 REFER"]
        with pytest.raises(LocalProtocolError):
            alice.agent.midcall(alice.handle).accept_refer(now=0.0)
        alice.leave()

    def test_with_replaces(self, alice: Referee) -> None:
        alice.refer("Refer-To: <sip:300@pbx.example.com?Replaces=c%3Bto-tag%3D1%3Bfrom-tag%3D2>")
        assert alice.take(Referred).replaces == Replaces("c", "1", "2")

    def test_an_application_that_does_not_decide_has_refused(self, alice: Referee) -> None:
        alice.refer()
        alice.take(Referred)
        assert alice.advance(DECISION_LIMIT_S - 0.001) == []
        ((at, answer),) = alice.advance(DECISION_LIMIT_S)
        assert (at, describe(answer)) == (DECISION_LIMIT_S, "603 REFER")
        alice.leave()

    def test_no_refusal_is_none(self, alice: Referee) -> None:
        alice.refer()
        with pytest.raises(LocalProtocolError):
            alice.agent.midcall(alice.handle).refuse_refer(202, now=0.0)

    @pytest.mark.parametrize(
        ("headers", "answer"),
        [("", "400 REFER"), ("Refer-To: <sip:a@b;method=BYE>", "403 REFER"), ("Refer-To: x\nRefer-To: y", "400 REFER")],
    )
    def test_what_leads_nowhere_is_refused_without_asking(self, alice: Referee, headers: str, answer: str) -> None:
        assert alice.refer(headers) == [answer]
        alice.leave()

    def test_one_at_a_time(self, alice: Referee) -> None:
        alice.refer()
        assert alice.refer() == ["491 REFER"]
        alice.accept()
        assert alice.refer() == ["491 REFER"]


class TestReports:
    def test_one_after_another_to_the_end(self, alice: Referee) -> None:
        alice.refer()
        notify = alice.accept()
        assert read_sipfrag(notify) == (100, "Trying")
        assert state(notify) == f"active;expires={EXPIRES_S}"
        assert notify.headers.get("Event") == "refer;id=1"
        assert notify.to.tag == "bob-tag"
        assert alice.confirm(notify) == []
        (notify,) = alice.report(180, now=10.0)
        assert read_sipfrag(notify) == (180, "Ringing")
        assert state(notify) == f"active;expires={EXPIRES_S - 10}"
        assert alice.confirm(notify, now=10.0) == []
        (notify,) = alice.report(200, now=20.0)
        assert read_sipfrag(notify) == (200, "OK")
        assert state(notify) == "terminated;reason=noresource"
        assert alice.report(486, now=20.0) == []
        assert alice.confirm(notify, now=20.0) == []
        assert alice.refer(now=21.0) == []
        alice.agent.midcall(alice.handle).refuse_refer(now=21.0)
        alice.messages()
        alice.events.clear()
        alice.leave()

    def test_no_report_overtakes_another(self, alice: Referee) -> None:
        alice.refer()
        notify = alice.accept()
        assert alice.report(180) == []
        assert alice.report(183) == []
        (notify,) = alice.confirm(notify)
        assert read_sipfrag(notify) == (183, "Session Progress")
        assert alice.report(486) == []
        (notify,) = alice.confirm(notify)
        assert read_sipfrag(notify) == (486, "Busy Here")
        assert state(notify) == "terminated;reason=noresource"

    def test_a_peer_that_has_forgotten_is_told_no_more(self, alice: Referee) -> None:
        alice.refer()
        notify = alice.accept()
        alice.report(180)
        assert alice.confirm(notify, 481) == []
        assert alice.report(200) == []
        alice.events.clear()
        alice.leave()

    def test_a_peer_that_wants_no_reports_gets_none(self, alice: Referee) -> None:
        alice.refer(REFER_TO + "\nRefer-Sub: false\nRequire: norefersub")
        alice.take(Referred)
        alice.agent.midcall(alice.handle).accept_refer(now=0.0)
        (answer,) = alice.messages()
        assert describe(answer) == "202 REFER"
        assert answer.headers.get("Refer-Sub") == "false"
        assert alice.report(200) == []
        alice.leave()

    def test_an_outcome_that_never_comes_is_a_timeout(self, alice: Referee) -> None:
        alice.refer()
        alice.confirm(alice.accept())
        out = alice.advance(EXPIRES_S)
        ((at, notify),) = [each for each in out if isinstance(each[1], Request)]
        assert isinstance(notify, Request)
        assert (at, read_sipfrag(notify)) == (EXPIRES_S, (408, "Request Timeout"))

    def test_who_hangs_up_is_told_no_more(self, alice: Referee) -> None:
        alice.refer()
        alice.confirm(alice.accept())
        alice.take(Referred)
        midcall = alice.agent.midcall(alice.handle)
        alice.leave()
        midcall.report_refer(200, now=0.0)
        assert alice.messages() == []

    def test_a_report_without_a_refer_is_nothing(self, alice: Referee) -> None:
        assert alice.report(180) == []
        with pytest.raises(LocalProtocolError):
            alice.agent.midcall(4711)


class TestWhoMay:
    def test_our_own_pbx(self) -> None:
        bob = Callee(settings=TRUSTING)
        bob.talk()
        assert bob.say(request("REFER", 2, to_tag=bob.tag, headers=REFER_TO)) == []
        assert bob.take(Referred).handle == bob.handle
        assert bob.say(request("BYE", 3, to_tag=bob.tag)) == ["200 BYE"]
        ((at, answer),) = bob.advance(DECISION_LIMIT_S)
        assert (at, describe(answer)) == (DECISION_LIMIT_S, "603 REFER")
        bob.end("bye")

    def test_a_stranger_makes_no_calls_at_our_cost(self) -> None:
        """Trap: toll fraud by REFER (CVE-2021-41157)."""
        bob = Callee()
        bob.talk()
        assert bob.say(request("REFER", 2, to_tag=bob.tag, headers=REFER_TO)) == ["403 REFER"]
        assert bob.events == []

    def test_before_the_call_is_up_nobody(self) -> None:
        bob = Callee(settings=TRUSTING)
        bob.ring()
        assert bob.say(request("REFER", 2, to_tag=bob.tag, headers=REFER_TO)) == ["403 REFER"]
