"""A request of ours over several targets, and its challenges."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from sip.peers import ALICE, ALICE_FROM, ANSWER, OFFER, Endpoint, respond

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.client import DATAGRAM_MAX, PATIENCE_S, TCP_PATIENCE_S
from sipagent.sip.core import HeaderList
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Accepted, Ended, Flow, Locate, TargetFailed, Transmit
from sipagent.sip.message import Request, parse_message
from sipagent.sip.ua import UserAgent
from sipagent.sip.uri import Uri

FIRST = Flow("UDP", ("192.0.2.11", 5060), ALICE)
SECOND = Flow("TCP", ("192.0.2.12", 5060), ("192.0.2.1", 5070))
TARGET = Uri.parse("sip:bob@example.com")
CHALLENGE = 'Digest realm="example.com", nonce="n1", algorithm=MD5, qop="auth"'


class Caller(Endpoint):
    """Calls somebody by a line of its own; ``targets`` are where the shell says that leads."""

    def __init__(
        self, *targets: Flow, target: Uri = TARGET, headers: HeaderList = (), **settings: Any
    ) -> None:
        super().__init__(ALICE)
        account = Account(
            name="pbx",
            address=Uri.parse("sip:100@example.com"),
            contact_user="q1w2e3",
            **{"credentials": Credentials("100", "secret"), **settings},
        )
        self.agent = UserAgent(accounts=[account], random=Random(1))
        self.handle = self.agent.invite(target, account="pbx", body=OFFER, headers=headers, now=0.0)
        self.located = self.take(Locate)
        self.agent.located(self.located.query, targets, now=0.0)
        self.drain()

    def requests(self, method: str) -> list[tuple[Request, Flow]]:
        """The requests of that method that were sent, and where they went."""
        sent = [(parse_message(transmit.data), transmit.flow) for transmit in self.sent]
        return [(each, flow) for each, flow in sent if isinstance(each, Request) and each.method == method]

    def last(self, method: str = "INVITE") -> tuple[Request, Flow]:
        """The last of them."""
        return self.requests(method)[-1]

    def answer(self, status: int, now: float = 0.0, to: Request | None = None, **fields: Any) -> list[Transmit]:
        """Respond to the last INVITE, or to another; return what is sent upon it."""
        fields = {"tag": "bob-tag", "contact": "<sip:bob@192.0.2.11>", **fields}
        self.agent.receive_message(respond(to or self.last()[0], status, **fields), FIRST, now=now)
        return self.drain()

    def methods(self, sent: list[Transmit]) -> list[str]:
        """What was sent."""
        return [getattr(parse_message(transmit.data), "method", "response") for transmit in sent]


class TestBigRequests:
    """:rfc:`3261#section-18.1.1`: one that nears the size of a packet goes by TCP, if TCP there is."""

    BIG = (("X-Big", "a" * DATAGRAM_MAX),)
    BY_TCP = replace(FIRST, transport="TCP")

    def test_the_limit(self) -> None:
        size = len(bytes(Caller(FIRST, headers=[("X-Y", "a")]).last()[0]))
        for more, transport in ((DATAGRAM_MAX - size, "UDP"), (DATAGRAM_MAX - size + 1, "TCP")):
            invite, flow = Caller(FIRST, headers=[("X-Y", "a" + more * "a")]).last()
            assert (flow.transport, invite.via.transport) == (transport, transport)
            assert len(bytes(invite)) == size + more

    def test_what_follows_stays_with_udp(self) -> None:
        caller = Caller(FIRST, headers=self.BIG)
        invite, flow = caller.last()
        assert flow == self.BY_TCP
        assert str(invite.contact) == "<sip:q1w2e3@192.0.2.1:5060>"
        caller.answer(180)
        caller.answer(200, body=ANSWER)
        ack, flow = caller.last("ACK")
        assert (flow.transport, ack.via.transport) == ("UDP", "UDP")
        caller.agent.hang_up(caller.handle, now=1.0)
        caller.drain()
        assert caller.last("BYE")[1].transport == "UDP"

    def test_where_nobody_listens_it_goes_by_udp_after_all(self) -> None:
        caller = Caller(FIRST, SECOND, headers=self.BIG)
        caller.agent.transport_failed(self.BY_TCP, now=0.0)
        caller.drain()
        assert not any(isinstance(event, TargetFailed) for event in caller.events)
        assert caller.last()[1] == FIRST
        caller.agent.transport_failed(FIRST, now=0.0)
        caller.drain()
        assert caller.take(TargetFailed).flow == FIRST
        assert caller.last()[1] == SECOND

    def test_a_firewall_that_swallows_tcp_costs_little(self) -> None:
        caller = Caller(FIRST, headers=self.BIG)
        caller.advance(TCP_PATIENCE_S - 0.01)
        assert caller.last()[1] == self.BY_TCP
        caller.advance(TCP_PATIENCE_S)
        assert caller.last()[1] == FIRST
        caller.advance(100.0)
        assert caller.take(Ended) == Ended(caller.handle, "timeout")
        caller.assert_clean()

    @pytest.mark.parametrize("status", [503, 486])
    def test_a_refusal_by_tcp_is_one_by_udp_too(self, status: int) -> None:
        caller = Caller(FIRST, headers=self.BIG)
        caller.answer(100, tag="")
        caller.answer(status)
        assert caller.take(Ended) == Ended(caller.handle, "rejected", status)
        assert all(flow == self.BY_TCP for _, flow in caller.requests("INVITE"))

    def test_a_challenge_by_tcp_is_answered_by_tcp(self) -> None:
        caller = Caller(FIRST, headers=self.BIG)
        caller.answer(401, headers=f"WWW-Authenticate: {CHALLENGE}")
        invite, flow = caller.last()
        assert flow == self.BY_TCP
        assert invite.headers.get("Authorization")
        assert str(invite.contact) == "<sip:q1w2e3@192.0.2.1:5060>"

    def test_it_is_taken_back_as_it_went(self) -> None:
        caller = Caller(FIRST, headers=self.BIG)
        caller.answer(180)
        caller.agent.hang_up(caller.handle, now=1.0)
        caller.drain()
        assert caller.last("CANCEL")[1] == self.BY_TCP


class TestTargets:
    def test_the_domain_is_located_and_the_target_sees_its_own_contact(self) -> None:
        caller = Caller(FIRST, SECOND)
        assert caller.located.uri == TARGET
        invite, flow = caller.last()
        assert (flow, str(invite.contact)) == (FIRST, "<sip:q1w2e3@192.0.2.1:5060>")
        assert str(invite.via.parameters.get("branch")).startswith("z9hG4bK")
        assert invite.from_.uri == Uri.parse("sip:100@example.com")

    def test_a_proxy_is_located_in_its_place_and_is_the_route(self) -> None:
        caller = Caller(FIRST, outbound_proxy=Uri.parse("sip:edge.example.net;transport=tcp"))
        assert caller.located.uri == Uri.parse("sip:edge.example.net;transport=tcp;lr")
        invite, _ = caller.last()
        assert invite.headers.get_all("Route") == ["<sip:edge.example.net;transport=tcp;lr>"]
        assert invite.uri == TARGET

    def test_a_domain_that_leads_nowhere_is_a_failed_call(self) -> None:
        caller = Caller()
        assert caller.take(Ended) == Ended(caller.handle, "transport")
        caller.assert_clean()

    @pytest.mark.parametrize("how", ["503", "unreachable"])
    def test_the_next_target_gets_the_same_request_in_a_transaction_of_its_own(self, how: str) -> None:
        caller = Caller(FIRST, SECOND)
        invite, _ = caller.last()
        if how == "503":
            caller.answer(503)
        else:
            caller.agent.transport_failed(FIRST, now=0.0)
        caller.drain()
        again, flow = caller.last()
        assert caller.take(TargetFailed).flow == FIRST
        assert flow == SECOND
        assert (again.call_id, again.cseq, again.body) == (invite.call_id, invite.cseq, invite.body)
        assert again.via.branch != invite.via.branch
        assert len(again.vias) == 1
        assert str(again.contact) == "<sip:q1w2e3@192.0.2.1:5070;transport=tcp>"

    def test_the_last_targets_503_is_the_answer(self) -> None:
        caller = Caller(FIRST)
        caller.answer(503)
        assert caller.take(Ended) == Ended(caller.handle, "rejected", 503)

    def test_the_last_silence_is_a_timeout(self) -> None:
        caller = Caller(FIRST, SECOND)
        caller.advance(100.0)
        assert caller.take(Ended) == Ended(caller.handle, "timeout")
        caller.assert_clean()

    def test_a_silent_target_is_overtaken(self) -> None:
        caller = Caller(FIRST, SECOND)
        caller.advance(PATIENCE_S - 0.01)
        assert caller.last()[1] == FIRST
        caller.advance(PATIENCE_S)
        assert caller.last()[1] == SECOND

    def test_a_target_that_answers_is_not_overtaken(self) -> None:
        caller = Caller(FIRST, SECOND)
        caller.answer(100, tag="")
        caller.advance(2 * PATIENCE_S)
        assert caller.last()[1] == FIRST

    def test_an_overtaken_target_that_wakes_up_is_not_to_ring(self) -> None:
        caller = Caller(FIRST, SECOND)
        invite, _ = caller.last()
        caller.advance(PATIENCE_S)
        sent = caller.answer(180, now=5.0, to=invite)
        assert caller.methods(sent) == ["CANCEL"]
        assert (sent[0].flow, caller.last("CANCEL")[0].via.branch) == (FIRST, invite.via.branch)
        assert caller.methods(caller.answer(180, now=5.1, to=invite)) == []

    def test_an_overtaken_target_that_picks_up_has_the_call_if_it_is_the_first(self) -> None:
        caller = Caller(FIRST, SECOND)
        invite, _ = caller.last()
        caller.advance(PATIENCE_S)
        assert caller.methods(caller.answer(200, now=5.0, to=invite, body=ANSWER)) == ["ACK"]
        assert caller.take(Accepted).body == ANSWER
        sent = caller.answer(200, now=6.0, tag="second", body=ANSWER)
        assert caller.methods(sent) == ["ACK", "BYE"]


class TestChallenges:
    @pytest.mark.parametrize(("status", "field"), [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")])
    def test_a_challenge_of_the_pbx_is_answered(self, status: int, field: str) -> None:
        caller = Caller(FIRST)
        invite, _ = caller.last()
        assert caller.methods(caller.answer(status, headers=f"{field}: {CHALLENGE}")) == ["ACK", "INVITE"]
        again, flow = caller.last()
        answer = again.headers.get("Authorization" if status == 401 else "Proxy-Authorization") or ""
        assert answer.startswith("Digest ")
        assert 'username="100"' in answer
        assert (again.cseq.number, again.call_id, again.from_, flow) == (2, invite.call_id, invite.from_, FIRST)

    def test_a_wrong_password_is_said_once(self) -> None:
        caller = Caller(FIRST)
        caller.answer(401, headers=f"WWW-Authenticate: {CHALLENGE}")
        caller.answer(401, headers=f"WWW-Authenticate: {CHALLENGE}")
        assert caller.take(Ended) == Ended(caller.handle, "rejected", 401)

    def test_a_peer_that_always_has_another_nonce_is_not_answered_for_ever(self) -> None:
        caller = Caller(FIRST)
        for number in range(20):
            challenge = CHALLENGE.replace("n1", f"n{number}") + ", stale=true"
            caller.answer(401, headers=f"WWW-Authenticate: {challenge}")
        assert caller.take(Ended) == Ended(caller.handle, "rejected", 401)
        assert caller.last()[0].cseq.number < 10

    def test_nobody_elses_challenge_is_answered(self) -> None:
        caller = Caller(FIRST, target=Uri.parse("sip:bob@rogue.example"))
        caller.answer(401, headers=f"WWW-Authenticate: {CHALLENGE}")
        assert caller.take(Ended) == Ended(caller.handle, "rejected", 401)

    def test_within_a_dialog_no_challenge_is_answered(self) -> None:
        caller = Caller(FIRST)
        caller.answer(200, body=ANSWER)
        caller.agent.hang_up(caller.handle, now=1.0)
        caller.drain()
        sent = caller.answer(407, now=1.1, to=caller.last("BYE")[0], headers=f"Proxy-Authenticate: {CHALLENGE}")
        assert sent == []

    def test_without_a_password_a_challenge_is_a_refusal(self) -> None:
        caller = Caller(FIRST, credentials=None)
        caller.answer(401, headers=f"WWW-Authenticate: {CHALLENGE}")
        assert caller.take(Ended) == Ended(caller.handle, "rejected", 401)


def test_what_is_no_account() -> None:
    agent = UserAgent(random=Random(1))
    with pytest.raises(LocalProtocolError, match="there is no account pbx"):
        agent.invite(TARGET, account="pbx", body=OFFER, now=0.0)
    with pytest.raises(LocalProtocolError, match="who calls"):
        agent.invite(TARGET, body=OFFER, now=0.0)


def test_an_answer_to_a_question_that_was_not_asked_changes_nothing() -> None:
    caller = Endpoint(ALICE)
    caller.agent.invite(TARGET, from_=ALICE_FROM, body=OFFER, now=0.0)
    query = caller.take(Locate).query
    caller.agent.located(query + 1, [FIRST], now=0.0)
    assert caller.drain() == []
    caller.agent.located(query, [FIRST], now=0.0)
    assert len(caller.drain()) == 1
    caller.agent.located(query, [SECOND], now=0.0)
    assert caller.drain() == []
