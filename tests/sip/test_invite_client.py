"""An INVITE of ours: its responses, its ACKs, its CANCEL."""

from typing import Any

import pytest
from sip.peers import (
    ALICE,
    ALICE_FROM,
    ANSWER,
    BOB,
    OFFER,
    TARGET,
    TCP,
    UDP,
    Caller,
    Endpoint,
    describe,
    describe_all,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import (
    Accepted,
    Flow,
    Progressed,
)
from sipagent.sip.invite_client import FORKS_MAX

FLOWS = pytest.mark.parametrize("flow", [UDP, TCP], ids=["udp", "tcp"])


class TestOutgoing:
    def test_what_an_invite_holds(self) -> None:
        message = Caller().invite
        assert (str(message.uri), message.body, message.max_forwards) == ("sip:bob@192.0.2.2", OFFER, 70)
        assert str(message.via.parameters.get("rport")) == "None"
        assert "rport" in message.via.parameters
        assert str(message.contact) == "<sip:agent@192.0.2.1:5060>"
        assert message.to.tag is None
        assert len(message.from_.tag or "") == len(message.call_id) == 24
        assert len((message.via.branch or "").removeprefix("z9hG4bK")) == 24

    def test_rings_and_is_accepted(self) -> None:
        alice = Caller()
        assert alice.answer(100, tag="") == []
        assert alice.events == []
        assert alice.answer(183, body=b"early") == []
        assert alice.take(Progressed).body == b"early"
        assert alice.answer(200, body=ANSWER) == ["ACK"]
        event = alice.take(Accepted)
        assert (event.handle, event.body, event.response.status) == (alice.handle, ANSWER, 200)

    def test_the_ack_goes_to_the_contact_by_the_record_route(self) -> None:
        alice = Caller()
        alice.answer(200, contact="<sip:bob@10.0.0.7:5099>", headers="Record-Route: <sip:p2:5080;lr>, <sip:p1;lr>")
        ack = alice.last("ACK")
        assert str(ack.uri) == "sip:bob@10.0.0.7:5099"
        assert ack.headers.get_all("Route") == ["<sip:p1;lr>", "<sip:p2:5080;lr>"]
        assert alice.sent[-1].flow.remote == ("p1", 5060)
        assert str(ack.cseq) == "1 ACK"
        assert ack.via.branch != alice.invite.via.branch

    @FLOWS
    def test_every_copy_of_the_2xx_gets_the_same_ack(self, flow: Flow) -> None:
        alice = Caller(Flow(flow.transport, BOB, ALICE))
        assert alice.answer(200) == ["ACK"]
        assert alice.answer(200, 0.5) == ["ACK"]
        assert alice.answer(200, 31.9) == ["ACK"]
        assert len({transmit.data for transmit in alice.sent[-3:]}) == 1
        alice.take(Accepted)
        alice.advance(32.0)
        assert alice.answer(200, 32.1) == []

    def test_the_tag_may_change_between_180_and_200(self) -> None:
        alice = Caller()
        alice.answer(180, tag="one")
        assert alice.answer(200, tag="two") == ["ACK"]
        alice.take(Progressed)
        alice.take(Accepted)
        assert alice.last("ACK").to.tag == "two"

    def test_a_second_telephone_is_acknowledged_and_hung_up(self) -> None:
        alice = Caller()
        assert alice.answer(200, tag="one") == ["ACK"]
        assert alice.answer(200, tag="two", contact="<sip:two@192.0.2.3>") == ["ACK", "BYE"]
        assert alice.answer(200, tag="two") == ["ACK"]
        bye = alice.last("BYE")
        assert (bye.to.tag, str(bye.uri), str(bye.cseq)) == ("two", "sip:two@192.0.2.3", "2 BYE")
        alice.take(Accepted)
        assert alice.events == []
        alice.agent.hang_up(alice.handle, now=1.0)
        alice.drain()
        assert alice.last("BYE").to.tag == "one"
        alice.end("hung_up")

    def test_the_telephones_that_are_acknowledged_are_bounded(self) -> None:
        alice = Caller()
        answers = [alice.answer(200, tag=f"t{number}") for number in range(FORKS_MAX + 5)]
        assert answers[FORKS_MAX - 1] == ["ACK", "BYE"]
        assert answers[FORKS_MAX:] == [[]] * 5

    @pytest.mark.parametrize("status", [302, 401, 404, 486, 503, 603])
    def test_refused(self, status: int) -> None:
        alice = Caller()
        alice.answer(180)
        alice.take(Progressed)
        assert alice.answer(status) == ["ACK"]
        alice.end("rejected", status)

    def test_nobody_hears(self) -> None:
        alice = Caller()
        assert [at for at, _ in alice.advance(32.0)] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        alice.end("timeout")

    def test_no_connection(self) -> None:
        alice = Caller(Flow("TCP", BOB, ALICE))
        alice.agent.transport_failed(alice.flow, now=0.1)
        alice.end("transport")

    def test_nobody_picks_up(self) -> None:
        alice = Caller()
        alice.answer(180, 1.0)
        alice.take(Progressed)
        assert [(at, describe(message)) for at, message in alice.advance(181.0)] == [(181.0, "CANCEL")]
        assert alice.events == []
        assert alice.answer(487, 181.1) == ["ACK"]
        alice.end("timeout")

    def test_somebody_picks_up_just_after_we_gave_up(self) -> None:
        alice = Caller()
        alice.answer(180, 0.0)
        alice.take(Progressed)
        alice.advance(180.0)
        assert alice.answer(200, 180.1) == ["ACK", "BYE"]
        alice.end("timeout")

    def test_a_re_invite_that_overtakes_the_200_is_told_to_come_again(self) -> None:
        alice = Caller()
        alice.answer(180)
        assert alice.say(alice.within("INVITE", body=OFFER)) == ["491 INVITE"]
        assert alice.say(alice.within("BYE")) == ["481 BYE"]
        assert alice.say(alice.within("INVITE", to_tag="x", branch="z9hG4bKx")) == ["481 INVITE"]
        assert alice.answer(200) == ["ACK"]
        assert alice.say(alice.within("INVITE", 2, body=OFFER)) == ["100 INVITE"]

    def test_the_callee_hangs_up(self) -> None:
        alice = Caller()
        alice.answer(200)
        alice.take(Accepted)
        assert alice.say(alice.within("BYE")) == ["200 BYE"]
        alice.end("bye")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"body": b""},
            {"headers": [("Via", "x")]},
            {"headers": [("X-Note", "a\nb")]},
        ],
    )
    def test_what_may_not_be_sent_leaves_nothing_behind(self, wrong: dict[str, Any]) -> None:
        alice = Endpoint(ALICE)
        with pytest.raises(LocalProtocolError):
            alice.agent.invite(TARGET, UDP, **{"from_": ALICE_FROM, "body": OFFER, "now": 0.0, **wrong})
        alice.assert_clean()


class TestCancelOfOurs:
    def test_waits_for_a_sign_of_life(self) -> None:
        alice = Caller()
        alice.agent.hang_up(alice.handle, now=0.1)
        assert alice.messages() == []
        assert alice.answer(100, 0.2, tag="") == ["CANCEL"]
        cancel = alice.last("CANCEL")
        assert (cancel.uri, cancel.via, cancel.cseq.number) == (alice.invite.uri, alice.invite.via, 1)
        assert alice.answer(180, 0.3) == []
        assert alice.say(respond(cancel, 200), 0.3) == []
        assert alice.answer(487, 0.3) == ["ACK"]
        alice.end("hung_up")

    def test_no_sign_of_life_ever(self) -> None:
        alice = Caller()
        alice.agent.hang_up(alice.handle, now=0.1)
        assert "CANCEL" not in describe_all(message for _, message in alice.advance(40.0))
        alice.end("hung_up")

    def test_a_2xx_that_crosses_it_is_acknowledged_and_then_hung_up(self) -> None:
        alice = Caller()
        alice.answer(180)
        alice.take(Progressed)
        alice.agent.hang_up(alice.handle, now=0.1)
        assert describe_all(alice.messages()) == ["CANCEL"]
        assert alice.answer(200, 0.2) == ["ACK", "BYE"]
        assert alice.answer(200, 0.7) == ["ACK"]
        alice.say(respond(alice.last("BYE"), 200), 0.8)
        alice.end("hung_up")

    def test_a_2xx_without_any_1xx_after_hanging_up(self) -> None:
        alice = Caller()
        alice.agent.hang_up(alice.handle, now=0.1)
        assert alice.answer(200, 0.2) == ["ACK", "BYE"]
        alice.end("hung_up")

    def test_nobody_heeds_it(self) -> None:
        alice = Caller()
        alice.answer(180)
        alice.take(Progressed)
        alice.agent.hang_up(alice.handle, now=0.0)
        alice.advance(32.0)
        assert alice.agent.is_idle
        alice.end("hung_up")
