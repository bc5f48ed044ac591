"""A registration: what a REGISTER holds, when the next one goes, and what becomes of every answer."""

from random import Random
from typing import Any

import pytest
from sip.peers import ALICE, OFFER, Endpoint, respond
from test_stun import message, xored

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.authentication import parse_authentications
from sipagent.sip.digest import Credentials
from sipagent.sip.events import (
    Event,
    Flow,
    FlowDead,
    Locate,
    Ping,
    Registered,
    RegistrationFailed,
    TargetFailed,
    Transmit,
    Unregistered,
)
from sipagent.sip.message import Request, parse_message
from sipagent.sip.registration import LEAVE_S, PATIENCE_S, REFUSED_WAIT_S, RETURN_S, SHORTEST_S, back_off
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri
from sipagent.stun import is_stun

FIRST = Flow("UDP", ("192.0.2.11", 5060), ALICE)
SECOND = Flow("UDP", ("192.0.2.12", 5060), ALICE)
TCP = Flow("TCP", ("192.0.2.11", 5060), ("192.0.2.1", 40_000))
CHALLENGE = 'WWW-Authenticate: Digest realm="example.com", nonce="{}", algorithm=MD5, qop="auth"'
INSTANCE = "urn:uuid:00000000-0000-4000-8000-000000000001"
ACCOUNT = Account(
    name="pbx",
    address=Uri.parse("sip:100@example.com"),
    contact_user="100-q1w2e3",
    display_name="Reception",
    credentials=Credentials("100", "secret"),
    registrars=(Uri.parse("sip:example.com"),),
    instance=INSTANCE,
)


def make_account(**changes: Any) -> Account:
    """The account above, with other settings."""
    fields = {name: getattr(ACCOUNT, name) for name in Account.__dataclass_fields__}
    return Account(**{**fields, **changes})


class Extension(Endpoint):
    """A user agent that registers; ``targets`` are where each host leads."""

    def __init__(self, *, targets: dict[str, list[Flow]] | None = None, seed: int = 1, **settings: Any) -> None:
        super().__init__(ALICE)
        self.targets = targets or {"example.com": [FIRST]}
        self.agent = UserAgent(accounts=[make_account(**settings)], random=Random(seed))
        self.said: list[Event] = []
        self.signs: list[tuple[float, str]] = []
        """Signs of life over the flow that we are registered by."""
        self.answers_signs = True
        self.agent.register("pbx", now=0.0)
        self.advance(0.1)

    def drain(self) -> list[Transmit]:
        """Answer what is to be located at once."""
        fresh = super().drain()
        while (located := next((event for event in self.events if isinstance(event, Locate)), None)) is not None:
            self.events.remove(located)
            targets = self.targets[located.uri.host]
            self.agent.located(located.query, targets, reason="" if targets else "no such name", now=self.now)
            fresh += super().drain()
        fresh = [transmit for transmit in fresh if not self.is_sign_of_life(transmit)]
        for ping in [event for event in self.events if isinstance(event, Ping)]:
            self.events.remove(ping)
            self.signs.append((self.now, "ping"))
            if self.answers_signs:
                self.agent.receive_pong(ping.flow, now=self.now)
        kinds = (Registered, RegistrationFailed, Unregistered)
        self.said += [event for event in self.events if isinstance(event, kinds)]
        self.events = [event for event in self.events if not isinstance(event, kinds)]
        return fresh

    now = 0.0

    def is_sign_of_life(self, transmit: Transmit) -> bool:
        """Whether it is one; it is put aside and, as long as the peer is there, answered."""
        data, flow = transmit.data, transmit.flow
        if is_stun(data):
            kind, answer = "stun", message(xored("198.51.100.1"))
            answer = answer[:8] + data[8:20] + answer[20:]
        elif data.startswith(b"OPTIONS"):
            kind, answer = "options", respond(parse_message(data), 200, tag="o")  # type: ignore[arg-type]
        elif not data.strip():
            kind, answer = "crlf", b""
        else:
            return False
        self.sent.remove(transmit)
        self.signs.append((self.now, kind))
        if self.answers_signs:
            (self.agent.receive_message if flow.reliable else self.agent.receive_datagram)(answer, flow, now=self.now)
        return True

    def advance(self, to: float) -> list[tuple[float, Any]]:
        """Fire every timer up to then; return what was sent, and when."""
        out = []
        while (at := self.agent.get_timer()) is not None and at <= to:
            self.now = max(at, self.now)
            self.agent.handle_timer(now=self.now)
            out += [(self.now, message) for message in self.messages()]
        self.now = to
        return out

    def answer(self, status: int, *, flow: Flow | None = None, **fields: Any) -> list[Any]:
        """Respond to the last REGISTER; return what is sent upon it."""
        return self.receive(respond(self.last, status, tag="r", **fields), flow or self.flow, self.now)

    def accept(self, expires: int | None = 300, **fields: Any) -> None:
        """Grant what is asked for."""
        ending = "" if expires is None else f";expires={expires}"
        fields = {"contact": f"<{self.last.contact.uri}>{ending}", **fields}  # type: ignore[union-attr]
        self.answer(200, **fields)

    def get_in(self, nonce: str = "n1", **fields: Any) -> None:
        """The usual way: a challenge, and then in."""
        self.answer(401, headers=CHALLENGE.format(nonce))
        self.accept(**fields)

    def run_to_next(self) -> float:
        """Let time pass until the next REGISTER that is no copy; return when."""
        sequence = self.last.cseq.number
        while self.last.cseq.number == sequence:
            at = self.agent.get_timer()
            assert at is not None
            self.advance(at)
        return self.now

    @property
    def last(self) -> Request:
        """The last REGISTER."""
        message = parse_message(self.sent[-1].data)
        assert isinstance(message, Request)
        assert message.method == "REGISTER"
        return message

    @property
    def flow(self) -> Flow:
        """Where it went."""
        return self.sent[-1].flow

    @property
    def count(self) -> int:
        """Requests so far that are no copies."""
        return len({transmit.data for transmit in self.sent})

    def take_said(self) -> list[Event]:
        """What was told since the last time."""
        said, self.said = self.said, []
        return said


class TestRegister:
    def test_what_it_holds(self) -> None:
        extension = Extension()
        register = extension.last
        assert extension.flow == FIRST
        assert str(register.uri) == "sip:example.com"
        assert str(register.from_.uri) == str(register.to.uri) == "sip:100@example.com"
        assert register.from_.tag
        assert register.to.tag is None
        assert register.cseq.number == 1
        contact = register.contact
        assert contact is not None
        assert str(contact.uri) == "sip:100-q1w2e3@192.0.2.1:5060"
        expected = {"expires": "300", "+sip.instance": f"<{INSTANCE}>", "reg-id": "1"}
        assert dict(contact.parameters.pairs) == expected
        assert f'+sip.instance="<{INSTANCE}>"' in str(contact)
        assert register.headers.get("Expires") == "300"
        assert register.supported == ["path", "outbound"]
        assert "Authorization" not in register.headers
        assert extension.take_said() == []

    def test_the_proxy_is_the_route_and_the_way(self) -> None:
        proxy = Uri.parse("sip:edge.example.net")
        extension = Extension(outbound_proxy=proxy, targets={"edge.example.net": [SECOND]})
        assert extension.flow == SECOND
        assert extension.last.headers.get_all("Route") == ["<sip:edge.example.net;lr>"]
        assert str(extension.last.uri) == "sip:example.com"

    def test_over_a_connection_the_contact_says_so(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        assert str(extension.last.contact.uri) == "sip:100-q1w2e3@192.0.2.1:40000;transport=tcp"  # type: ignore[union-attr]

    def test_a_challenge_is_answered_and_the_account_is_registered(self) -> None:
        extension = Extension()
        (again,) = extension.answer(401, headers=CHALLENGE.format("n1"))
        assert again.headers.get("Authorization", "").startswith("Digest ")
        assert again.cseq.number == 2
        assert extension.agent.registrations == 0
        extension.accept(expires=120)
        assert extension.agent.registrations == 1
        assert extension.take_said() == [Registered("pbx", 120, "example.com", None)]

    def test_the_next_one_goes_on_counting_with_credentials_and_says_nothing(self) -> None:
        extension = Extension()
        first = extension.last
        extension.get_in()
        extension.take_said()
        for number in range(3, 6):
            extension.run_to_next()
            renewal = extension.last
            assert (renewal.call_id, renewal.cseq.number) == (first.call_id, number)
            (given,) = parse_authentications(renewal.headers.get_fields("Authorization"))
            assert (given.get("nonce"), given.get("nc")) == ("n1", f"{number - 1:08x}")
            extension.accept()
        assert extension.take_said() == []

    def test_a_nonce_that_wears_out_without_stale_is_no_wrong_password(self) -> None:
        """M10, baresip #786."""
        extension = Extension()
        extension.get_in("n1")
        extension.run_to_next()
        extension.get_in("n2")
        assert [type(event) for event in extension.take_said()] == [Registered]
        assert extension.agent.registrations == 1

    @pytest.mark.parametrize("command", ["register", "unregister"])
    def test_there_is_no_such_account(self, command: str) -> None:
        agent = UserAgent(accounts=[make_account(registrars=())], random=Random(1))
        for name in ("pbx", "other"):
            with pytest.raises(LocalProtocolError, match=f"no account {name} that registers"):
                getattr(agent, command)(name, now=0.0)


class TestRenewal:
    @pytest.mark.parametrize(
        ("contact", "headers", "granted"),
        [
            ("{};expires=100", "", 100),
            ("{};expires=100", "Expires: 50", 100),
            ("{}", "Expires: 50", 50),
            ("", "Expires: 50", 50),
            ("{}", "", 300),
            ("{};expires=many", "", 300),
            ("{};expires=99999999999999999999", "", 86_400),
            ('"x" <sip:other@192.0.2.9>;expires=20, {};expires=100', "Expires: 50", 100),
            ("<sip:100-q1w2e3@192.0.2.9>;expires=20, {};expires=100", "", 100),
            ("<sip:100-q1w2e3@198.51.100.7:1024>;expires=100", "", 100),
        ],
    )
    def test_what_is_granted_counts_not_what_was_asked_for(self, contact: str, headers: str, granted: int) -> None:
        extension = Extension(keep_alive="off")
        contact = contact.format(f"<{extension.last.contact.uri}>")  # type: ignore[union-attr]
        extension.answer(200, contact=contact, headers=headers)
        assert extension.take_said() == [Registered("pbx", granted, "example.com", None)]
        at = extension.run_to_next() - 0.1
        assert 0.8 * granted <= at <= 0.9 * granted

    def test_it_is_uneven(self) -> None:
        times = set()
        for seed in range(20):
            extension = Extension(keep_alive="off", seed=seed)
            extension.accept()
            times.add(round(extension.run_to_next()))
        assert len(times) > 10

    def test_over_udp_it_is_the_sign_of_life(self) -> None:
        extension = Extension()
        extension.accept(expires=3_600)
        last = extension.now
        for _ in range(20):
            at = extension.run_to_next()
            assert 15.0 <= at - last <= 25.0
            extension.accept(expires=3_600)
            last = at

    @pytest.mark.parametrize(
        ("keep_alive", "flow"), [("auto", TCP), ("off", FIRST), ("stun", FIRST), ("options", FIRST), ("crlf", FIRST)]
    )
    def test_elsewhere_others_see_to_that(self, keep_alive: str, flow: Flow) -> None:
        extension = Extension(keep_alive=keep_alive, targets={"example.com": [flow]})
        extension.accept()
        assert extension.run_to_next() >= 240.0
        kinds = {kind for _, kind in extension.signs}
        assert kinds == {"auto": {"ping"}, "off": set()}.get(keep_alive, {keep_alive})
        assert len(extension.signs) == 0 if keep_alive == "off" else 9 <= len(extension.signs) <= 14

    @pytest.mark.parametrize(("keep_alive", "flow"), [("auto", TCP), ("stun", FIRST), ("options", FIRST)])
    def test_a_flow_whose_signs_of_life_are_not_answered_is_left(self, keep_alive: str, flow: Flow) -> None:
        extension = Extension(keep_alive=keep_alive, targets={"example.com": [flow]})
        extension.accept()
        extension.advance(60.0)
        extension.answers_signs = False
        assert 60.0 < extension.run_to_next() < 60.0 + 25.0 + 11.5 + 0.1
        assert FlowDead(flow) in extension.events or not flow.reliable
        extension.answers_signs = True
        extension.accept()
        signs = len(extension.signs)
        assert extension.run_to_next() - extension.now < 1.0
        assert len(extension.signs) > signs, "the new flow is kept open as well"

    def test_who_leaves_gives_no_more_signs(self) -> None:
        extension = Extension(keep_alive="crlf")
        extension.accept()
        extension.agent.unregister("pbx", now=extension.now)
        extension.messages()
        extension.answer(200)
        assert extension.take_said()[-1] == Unregistered("pbx")
        extension.advance(100.0)
        assert extension.signs == []

    def test_the_registrar_says_how_often_and_that_it_answers(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept(headers="Flow-Timer: 10\r\nRequire: outbound")
        extension.answers_signs = False
        assert 8.0 <= extension.run_to_next() - 10.0 - 0.1 <= 10.1, "one ping without a pong is enough"
        assert [kind for _, kind in extension.signs] == ["ping"]

    def test_however_little_is_granted_there_is_no_storm(self) -> None:
        extension = Extension()
        extension.accept(expires=1)
        assert extension.run_to_next() == pytest.approx(0.1 + SHORTEST_S)

    def test_zero_is_not_registered(self) -> None:
        extension = Extension()
        extension.accept(expires=0)
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert (failed.status, failed.reason) == (200, "accepted, but not kept")
        assert extension.agent.registrations == 0

    def test_a_command_renews_at_once(self) -> None:
        extension = Extension()
        extension.get_in()
        extension.agent.register("pbx", now=extension.now)
        assert extension.run_to_next() < 0.2
        extension.accept()
        assert len(extension.take_said()) == 1

    def test_a_connection_is_kept_to(self) -> None:
        """RFC 5626 section 4.2.2; a name is asked for again only when there is no connection."""
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept()
        extension.targets["example.com"] = [SECOND]
        extension.run_to_next()
        assert extension.flow == TCP

    def test_over_udp_the_name_is_asked_for_again(self) -> None:
        extension = Extension()
        extension.accept()
        extension.targets["example.com"] = [SECOND]
        extension.run_to_next()
        assert extension.flow == SECOND


class TestCorrections:
    def test_423_asks_for_as_much_as_it_takes(self) -> None:
        extension = Extension(keep_alive="off")
        (again,) = extension.answer(423, headers="Min-Expires: 600")
        assert again.headers.get("Expires") == "600"
        assert again.contact.parameters.get("expires") == "600"
        assert again.cseq.number == 2
        extension.accept(expires=600)
        assert extension.run_to_next() >= 480.0
        assert extension.last.headers.get("Expires") == "600"

    @pytest.mark.parametrize("headers", ["", "Min-Expires: 300", "Min-Expires: soon", "Min-Expires: 1"])
    def test_423_that_makes_no_sense_is_a_refusal(self, headers: str) -> None:
        extension = Extension()
        assert extension.answer(423, headers=headers) == []
        assert extension.take_said()[0].status == 423  # type: ignore[union-attr]

    def test_423_for_ever_ends(self) -> None:
        extension = Extension()
        for number in range(1, 100):
            if not extension.answer(423, headers=f"Min-Expires: {300 + number}"):
                break
        assert extension.count == 4
        assert extension.take_said()[0].status == 423  # type: ignore[union-attr]

    def test_439_does_without_outbound(self) -> None:
        """RFC 5626 section 11.6: the first proxy on the way does not know it."""
        extension = Extension()
        (again,) = extension.answer(439)
        assert again.supported == ["path"]
        assert dict(again.contact.parameters.pairs) == {"expires": "300"}
        extension.accept()
        extension.run_to_next()
        assert extension.last.supported == ["path"]


class TestRefused:
    def test_a_wrong_password_is_told_once_and_tried_slowly(self) -> None:
        extension = Extension()
        assert len(extension.answer(401, headers=CHALLENGE.format("n1"))) == 1
        assert extension.answer(401, headers=CHALLENGE.format("n2")) == []
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert failed.status == 401
        assert failed.reason == '401 Whatever: the user name or the password is wrong (realm "example.com")'
        assert failed.retry_s is not None
        assert failed.retry_s >= REFUSED_WAIT_S
        for number in range(3, 9, 2):
            before = extension.now
            assert extension.run_to_next() - before >= REFUSED_WAIT_S
            assert "Authorization" not in extension.last.headers
            extension.answer(401, headers=CHALLENGE.format(f"n{number}"))
            extension.answer(401, headers=CHALLENGE.format(f"n{number + 1}"))
        assert extension.take_said() == []
        assert extension.count == 8

    def test_a_password_that_is_changed_makes_one_line_and_no_storm(self) -> None:
        extension = Extension()
        extension.get_in()
        extension.take_said()
        before = extension.count
        nonce = 0
        while extension.now < 3_600.0:
            extension.run_to_next()
            while extension.answer(401, headers=CHALLENGE.format(f"x{nonce}")):
                nonce += 1
        assert [type(event) for event in extension.take_said()] == [RegistrationFailed]
        assert extension.count - before <= 2 * (3_600 / REFUSED_WAIT_S + 1)

    def test_it_heals_when_the_other_end_puts_it_right(self) -> None:
        extension = Extension()
        extension.answer(403)
        extension.run_to_next()
        extension.get_in()
        assert [type(event) for event in extension.take_said()] == [RegistrationFailed, Registered]

    @pytest.mark.parametrize("status", [301, 400, 403, 404, 405, 501, 600, 603])
    def test_what_somebody_must_change(self, status: int) -> None:
        extension = Extension()
        extension.answer(status)
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert failed.status == status
        assert extension.run_to_next() >= REFUSED_WAIT_S

    def test_freeswitch_sends_401_without_a_challenge(self) -> None:
        """FreeSWITCH #1779."""
        extension = Extension()
        assert extension.answer(401) == []
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert "not in a way that we know" in failed.reason

    def test_the_realm_of_somebody_else_gets_no_digest(self) -> None:
        """CVE-2021-41158."""
        extension = Extension(credentials=Credentials("100", "secret", realm="pbx"))
        assert extension.answer(401, headers=CHALLENGE.format("n1")) == []
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert 'the realm is "example.com", and the line answers "pbx" only' in failed.reason

    def test_another_reason_is_told(self) -> None:
        extension = Extension()
        extension.answer(403)
        extension.run_to_next()
        extension.answer(403)
        extension.run_to_next()
        extension.answer(404)
        assert [event.status for event in extension.take_said()] == [403, 404]  # type: ignore[union-attr]


class TestUnavailable:
    @pytest.mark.parametrize(
        ("failures", "shortest", "longest", "crowd", "seconds"),
        [
            (1, 0.0, 300.0, 0.0, 1.0),
            (2, 0.0, 300.0, 0.0, 2.0),
            (6, 0.0, 300.0, 0.0, 32.0),
            (9, 0.0, 300.0, 0.0, 256.0),
            (10, 0.0, 300.0, 0.0, 300.0),
            (10**9, 0.0, 300.0, 0.0, 300.0),
            (5, 0.0, 20.0, 0.0, 16.0),
            (6, 0.0, 20.0, 0.0, 20.0),
            (1, 16.0, 300.0, 0.0, 16.0),
            (1, 0.0, 20.0, 20.0, 20.0),
            (3, 0.0, 300.0, 0.5, 4.5),
        ],
    )
    def test_the_wait(self, failures: int, shortest: float, longest: float, crowd: float, seconds: float) -> None:
        assert back_off(failures, shortest, longest, crowd) == seconds

    def test_silence_is_given_up_after_five_copies_and_told_once(self) -> None:
        extension = Extension()
        start = extension.now
        while extension.now < start + 120.0:
            extension.run_to_next()
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert (failed.status, failed.reason) == (None, "no answer")
        copies = [transmit for transmit in extension.sent if transmit.data == extension.sent[0].data]
        assert len(copies) == 5
        assert TargetFailed(FIRST) in extension.events

    def test_a_sign_of_life_is_patience(self) -> None:
        extension = Extension()
        extension.answer(100)
        extension.advance(20.0)
        assert extension.take_said() == []
        extension.advance(40.0)
        assert extension.take_said()[0].reason == "no answer"  # type: ignore[union-attr]

    def test_no_host(self) -> None:
        extension = Extension(targets={"example.com": []})
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert (failed.status, failed.reason) == (None, "it can't be reached: no such name")
        extension.targets["example.com"] = [FIRST]
        extension.advance(3.0)
        assert extension.flow == FIRST

    @pytest.mark.parametrize("status", [408, 480, 500, 503, 504])
    def test_what_may_be_over_soon(self, status: int) -> None:
        extension = Extension()
        extension.answer(status)
        (failed,) = extension.take_said()
        assert isinstance(failed, RegistrationFailed)
        assert failed.status == status
        assert extension.run_to_next() <= 1.2

    def test_waits_grow_to_five_minutes_where_we_never_got_through(self) -> None:
        extension = Extension()
        waits = []
        for _ in range(14):
            extension.answer(500)
            before = extension.now
            waits.append(extension.run_to_next() - before)
        assert all(0.49 * 2**n <= wait <= 1.02 * 2**n for n, wait in enumerate(waits[:8]))
        assert all(150.0 <= wait <= 300.0 for wait in waits[10:])

    def test_and_to_twenty_seconds_where_we_did(self) -> None:
        extension = Extension()
        extension.get_in()
        extension.run_to_next()
        for _ in range(30):
            extension.answer(500)
            before = extension.now
            assert extension.run_to_next() - before <= 20.0

    @pytest.mark.parametrize(
        ("value", "low", "high"),
        [
            ("120", 120, 121),
            ("120;duration=9", 120, 121),
            ("60 (busy)", 60, 61),
            ("9" * 5_000, 3_600, 3_601),
            ("soon", 0, 1),
        ],
    )
    def test_retry_after_is_obeyed(self, value: str, low: float, high: float) -> None:
        extension = Extension()
        extension.answer(503, headers=f"Retry-After: {value}")
        assert low <= extension.run_to_next() - 0.1 <= high

    def test_a_command_does_not_override_retry_after(self) -> None:
        extension = Extension()
        extension.answer(503, headers="Retry-After: 120")
        extension.agent.register("pbx", now=extension.now)
        assert extension.run_to_next() >= 120.0


class TestSeveralRegistrars:
    REGISTRARS = (Uri.parse("sip:a.example.com"), Uri.parse("sip:b.example.com"), Uri.parse("sip:c.example.com"))
    FLOWS = tuple(Flow("UDP", (f"192.0.2.{number}", 5060), ALICE) for number in (11, 12, 13))

    def make(self) -> Extension:
        targets = {uri.host: [flow] for uri, flow in zip(self.REGISTRARS, self.FLOWS, strict=True)}
        return Extension(registrars=self.REGISTRARS, targets=targets)

    def test_they_are_tried_in_order_at_once(self) -> None:
        extension = self.make()
        assert extension.flow == self.FLOWS[0]
        extension.answer(503)
        assert extension.flow == self.FLOWS[1]
        extension.advance(extension.now + PATIENCE_S)
        assert extension.flow == self.FLOWS[2]
        assert extension.take_said() == []
        extension.accept()
        assert extension.take_said() == [Registered("pbx", 300, "c.example.com", None)]

    def test_when_none_answers_the_wait_is_of_all(self) -> None:
        extension = self.make()
        for _ in range(3):
            extension.answer(503)
        assert len(extension.take_said()) == 1
        extension.run_to_next()
        assert extension.flow == self.FLOWS[0]

    def test_one_that_wants_to_be_left_alone_is(self) -> None:
        extension = self.make()
        extension.answer(503, headers="Retry-After: 600")
        extension.answer(503)
        extension.answer(503)
        flows = set()
        while extension.now < 300.0:
            extension.run_to_next()
            for _ in range(2):
                flows.add(extension.flow)
                extension.answer(503)
        assert flows == {self.FLOWS[1], self.FLOWS[2]}

    def test_it_stays_where_it_is_and_comes_back_to_the_first(self) -> None:
        extension = self.make()
        extension.answer(503)
        extension.accept()
        left_at = extension.now
        while extension.now < left_at + RETURN_S:
            extension.run_to_next()
            if extension.now < left_at + RETURN_S:
                assert extension.flow == self.FLOWS[1]
                extension.accept()
        assert extension.flow == self.FLOWS[0]
        # It is still down: nothing is lost, and it has another chance later.
        extension.answer(503)
        assert extension.flow == self.FLOWS[1]
        extension.accept()
        assert len(extension.take_said()) == 1
        back_at = extension.now
        while extension.flow != self.FLOWS[0]:
            extension.run_to_next()
            extension.accept()
        assert RETURN_S <= extension.now - back_at <= RETURN_S + 26.0
        assert extension.take_said() == [Registered("pbx", 300, "a.example.com", None)]
        for _ in range(30):
            extension.run_to_next()
            assert extension.flow == self.FLOWS[0]
            extension.accept()


class TestLostFlow:
    def test_a_lost_connection_is_replaced_at_once(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept()
        extension.advance(50.0)
        extension.agent.transport_failed(TCP, now=50.0)
        assert extension.run_to_next() <= 50.1
        extension.accept()
        assert len(extension.take_said()) == 1

    def test_so_is_one_that_is_found_lost_by_a_renewal(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept()
        extension.run_to_next()
        other = Flow("TCP", ("192.0.2.12", 5060), ("192.0.2.1", 40_001))
        extension.targets["example.com"] = [other]
        extension.agent.transport_failed(TCP, now=extension.now)
        extension.drain()
        assert extension.flow == other
        extension.accept()
        assert len(extension.take_said()) == 1

    def test_a_registrar_that_refuses_connections_is_asked_again(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept()
        extension.agent.transport_failed(TCP, now=extension.now)
        for _ in range(20):
            before = extension.now
            extension.run_to_next()
            assert extension.now - before <= 20.0
            extension.agent.transport_failed(TCP, now=extension.now)
            extension.drain()
        assert [type(event) for event in extension.take_said()] == [Registered, RegistrationFailed]

    def test_the_connection_of_others_is_nothing_to_us(self) -> None:
        extension = Extension(targets={"example.com": [TCP]})
        extension.accept()
        due_at = extension.agent.get_timer()
        extension.agent.transport_failed(Flow("TCP", ("192.0.2.99", 5060), ALICE), now=extension.now)
        assert extension.agent.get_timer() == due_at

    def test_a_new_address_of_ours_is_told_at_once(self) -> None:
        extension = Extension()
        extension.get_in()
        moved = Flow("UDP", FIRST.remote, ("198.51.100.1", 5060))
        extension.targets["example.com"] = [moved]
        extension.advance(10.0)
        extension.agent.address_changed(now=10.0)
        assert extension.run_to_next() <= 10.1
        assert str(extension.last.contact.uri) == "sip:100-q1w2e3@198.51.100.1:5060"  # type: ignore[union-attr]

    def test_a_new_address_is_nothing_to_who_is_not_registered(self) -> None:
        agent = UserAgent(accounts=[ACCOUNT], random=Random(1))
        agent.address_changed(now=0.0)
        assert agent.get_timer() is None


class TestForgotten:
    """The registrar is restarted and has lost its table: 30 s later we are in it again."""

    @pytest.mark.parametrize("seed", range(40))
    @pytest.mark.parametrize("down_s", [0.0, 5.0, 20.0, 70.0, 1_000.0])
    def test_over_udp_nobody_tells(self, seed: int, down_s: float) -> None:
        extension = Extension(seed=seed)
        extension.get_in()
        restart_at = 100.0 + Random(seed).uniform(0.0, 60.0)
        while extension.now < restart_at - 26.0:
            extension.run_to_next()
            extension.accept()
        back_at = restart_at + down_s
        while True:
            at = extension.agent.get_timer()
            assert at is not None
            sent = len(extension.sent)
            extension.advance(at)
            if len(extension.sent) > sent:
                if at < restart_at:
                    extension.accept()
                elif at >= back_at:
                    break
        extension.get_in("n2")
        assert extension.agent.registrations == 1
        assert extension.now - back_at <= 25.0


class TestWhatTheRegistrarTells:
    def seen(self, extension: Extension, old: str, new: str) -> None:
        """Answer as a registrar that sees us elsewhere."""
        data = respond(extension.last, 200, tag="r", contact=f"<{extension.last.contact.uri}>;expires=300")  # type: ignore[union-attr]
        assert old.encode() in data
        extension.receive(data.replace(old.encode(), new.encode()), extension.flow, extension.now)

    def test_where_it_sees_us(self) -> None:
        extension = Extension()
        self.seen(extension, ";rport", ";rport=1024;received=198.51.100.7")
        assert extension.take_said() == [Registered("pbx", 300, "example.com", ("198.51.100.7", 1024))]
        extension.run_to_next()
        self.seen(extension, ";rport", ";rport=1024;received=198.51.100.7")
        assert extension.take_said() == []
        extension.run_to_next()
        self.seen(extension, ";rport", ";rport=2048;received=198.51.100.7")
        assert extension.take_said() == [Registered("pbx", 300, "example.com", ("198.51.100.7", 2048))]

    @pytest.mark.parametrize(
        ("new", "seen_as"),
        [
            (";rport=5060", ("192.0.2.1", 5060)),
            (";rport", None),
            (";rport=many", None),
            (";received=198.51.100.7", None),
        ],
    )
    def test_or_does_not_say(self, new: str, seen_as: object) -> None:
        extension = Extension()
        self.seen(extension, ";rport", new)
        assert extension.take_said() == [Registered("pbx", 300, "example.com", seen_as)]  # type: ignore[arg-type]

    def test_the_service_route_is_the_way_of_our_calls_and_path_is_kept(self) -> None:
        extension = Extension()
        routes = "Service-Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\nPath: <sip:edge.example.com;lr>"
        extension.accept(headers=routes)
        extension.targets["p1.example.com"] = [SECOND]
        extension.agent.invite(Uri.parse("sip:bob@example.com"), account="pbx", body=OFFER, now=extension.now)
        (invite,) = extension.messages()
        assert invite.headers.get_all("Route") == ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]
        assert extension.flow == SECOND
        registration = extension.agent._registrations.find("pbx")
        assert [str(route) for route in registration.path] == ["<sip:edge.example.com;lr>"]

    def test_a_register_does_not_go_by_the_service_route(self) -> None:
        """RFC 3608 section 5."""
        extension = Extension()
        extension.accept(headers="Service-Route: <sip:p1.example.com;lr>")
        extension.run_to_next()
        assert "Route" not in extension.last.headers
        extension.accept()
        assert extension.agent._lines["pbx"].routes() == ()

    @pytest.mark.parametrize("value", ["<sip:p1.example.com", ", ".join(["<sip:p.example.com;lr>"] * 9)])
    def test_a_service_route_that_is_none(self, value: str) -> None:
        extension = Extension()
        extension.accept(headers=f"Service-Route: {value}")
        assert extension.agent._lines["pbx"].routes() == ()
        assert extension.agent.registrations == 1

    def test_gruus_are_let_be(self) -> None:
        extension = Extension()
        gruu = 'pub-gruu="sip:100@example.com;gr=urn:uuid:1";temp-gruu="sip:x@example.com;gr"'
        extension.accept(contact=f"<{extension.last.contact.uri}>;expires=60;{gruu}")  # type: ignore[union-attr]
        assert extension.take_said() == [Registered("pbx", 60, "example.com", None)]


class TestUnregister:
    def leave(self, extension: Extension) -> list[Any]:
        extension.agent.unregister("pbx", now=extension.now)
        return extension.messages()

    def test_it_takes_back_its_own_contact_only(self) -> None:
        extension = Extension()
        extension.get_in()
        extension.take_said()
        (goodbye,) = self.leave(extension)
        assert goodbye.headers.get("Expires") == "0"
        assert str(goodbye.contact.uri) == "sip:100-q1w2e3@192.0.2.1:5060"
        assert goodbye.contact.parameters.get("expires") == "0"
        assert goodbye.cseq.number == 3
        assert not extension.agent.is_idle
        extension.answer(200)
        assert extension.take_said() == [Unregistered("pbx")]
        assert extension.agent.is_idle
        assert extension.agent.registrations == 0
        extension.advance(1_000.0)
        extension.assert_clean()

    def test_it_proves_who_it_is(self) -> None:
        extension = Extension()
        extension.get_in("n1")
        self.leave(extension)
        (again,) = extension.answer(401, headers=CHALLENGE.format("n2"))
        assert again.headers.get("Expires") == "0"
        extension.answer(200)
        assert extension.take_said()[-1] == Unregistered("pbx")

    def test_nobody_waits_for_long(self) -> None:
        extension = Extension()
        extension.get_in()
        extension.take_said()
        self.leave(extension)
        extension.advance(extension.now + LEAVE_S - 0.01)
        assert extension.take_said() == []
        extension.advance(extension.now + 0.01)
        assert extension.take_said() == [Unregistered("pbx")]
        assert extension.advance(1_000.0) == []
        extension.assert_clean()

    @pytest.mark.parametrize("status", [403, 500, 503])
    def test_any_answer_will_do(self, status: int) -> None:
        extension = Extension()
        extension.get_in()
        self.leave(extension)
        extension.answer(status)
        assert extension.take_said()[-1] == Unregistered("pbx")
        extension.advance(1_000.0)
        extension.assert_clean()

    def test_who_is_not_registered_has_nothing_to_take_back(self) -> None:
        extension = Extension()
        extension.answer(403)
        extension.take_said()
        assert self.leave(extension) == []
        assert extension.take_said() == [Unregistered("pbx")]
        extension.advance(1_000.0)
        extension.assert_clean()

    def test_a_register_that_is_on_its_way_is_taken_back(self) -> None:
        extension = Extension()
        first = extension.last
        (goodbye,) = self.leave(extension)
        assert (goodbye.headers.get("Expires"), goodbye.cseq.number) == ("0", 2)
        # Its answer comes late, and changes nothing.
        extension.receive(respond(first, 200, contact=f"<{first.contact.uri}>"), FIRST, extension.now)  # type: ignore[union-attr]
        assert extension.agent.registrations == 0
        extension.answer(200)
        assert extension.take_said() == [Unregistered("pbx")]

    def test_twice_is_once(self) -> None:
        extension = Extension()
        extension.get_in()
        self.leave(extension)
        extension.answer(200)
        extension.take_said()
        assert self.leave(extension) == []
        assert extension.take_said() == []

    def test_and_back_again(self) -> None:
        extension = Extension()
        extension.get_in()
        self.leave(extension)
        extension.agent.register("pbx", now=extension.now)
        extension.run_to_next()
        assert extension.last.headers.get("Expires") == "300"
        extension.accept()
        assert [type(event) for event in extension.take_said()] == [Registered]
        assert extension.agent.registrations == 1
