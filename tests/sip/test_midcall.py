"""INFO in a call, and a call that takes the place of another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sip.peers import (
    ANSWER,
    TARGET,
    TRUSTING,
    UDP,
    Callee,
    Caller,
    describe,
    describe_all,
    invite,
    request,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip.events import Accepted, Acknowledged, Ended, Flow, IncomingInvite, InfoReceived, Referred
from sipagent.sip.info import RELAY, read_digit
from sipagent.sip.message import Request
from sipagent.sip.midcall import KEYS_MAX


@pytest.fixture
def bob() -> Callee:
    bob = Callee(settings=TRUSTING)
    bob.talk()
    return bob


class TestInfo:
    def press(self, bob: Callee, body: bytes, content_type: str = RELAY, headers: str = "") -> list[str]:
        fields = {"to_tag": bob.tag, "body": body, "content_type": content_type, "headers": headers}
        return bob.say(request("INFO", 2, **fields))

    def test_a_key(self, bob: Callee) -> None:
        assert self.press(bob, b"Signal=5\r\nDuration=160\r\n") == ["200 INFO"]
        assert bob.take(InfoReceived) == InfoReceived(bob.handle, "5")

    def test_a_copy_is_no_second_key(self, bob: Callee) -> None:
        assert self.press(bob, b"Signal=5") == self.press(bob, b"Signal=5") == ["200 INFO"]
        assert bob.take(InfoReceived).digit == "5"

    @pytest.mark.parametrize(
        ("body", "content_type", "headers", "answer"),
        [
            (b"Signal=x", RELAY, "", "400 INFO"),
            (b"hello", "text/plain", "", "415 INFO"),
            (b"", RELAY, "", "200 INFO"),
            (b"Signal=5", RELAY, "Info-Package: foo", "469 INFO"),
        ],
    )
    def test_what_is_no_key(self, bob: Callee, body: bytes, content_type: str, headers: str, answer: str) -> None:
        assert self.press(bob, body, content_type, headers) == [answer]
        assert bob.events == []

    def test_what_would_be_taken_instead_is_told(self, bob: Callee) -> None:
        data = request("INFO", 2, to_tag=bob.tag, body=b"x", content_type="text/plain")
        (answer,) = bob.receive(data, bob.flow, 0.0)
        assert answer.headers.get_all("Accept") == ["application/dtmf-relay", "application/dtmf"]

    def test_after_the_end_of_the_call(self, bob: Callee) -> None:
        bob.agent.hang_up(bob.handle, now=0.0)
        bob.messages()
        assert self.press(bob, b"Signal=5") == ["481 INFO"]

    def test_a_key_of_ours(self) -> None:
        alice = Caller()
        with pytest.raises(LocalProtocolError):
            alice.agent.midcall(alice.handle).press("5", now=0.0)
        alice.answer(200, body=ANSWER)
        alice.take(Accepted)
        alice.agent.midcall(alice.handle).press("#", now=0.0)
        (info,) = alice.messages()
        assert isinstance(info, Request)
        assert (info.method, read_digit(info)) == ("INFO", "#")
        for wrong in ("x", "1" * (KEYS_MAX + 1)):
            with pytest.raises(LocalProtocolError):
                alice.agent.midcall(alice.handle).press(wrong, now=0.0)
        assert alice.say(respond(info, 415)) == []
        assert alice.events == []

    def test_keys_of_ours_do_not_overtake_each_other(self) -> None:
        alice = Caller()
        alice.answer(200, body=ANSWER)
        alice.messages()
        midcall = alice.agent.midcall(alice.handle)
        midcall.press("12", now=0.0)
        midcall.press("3", now=0.0)
        pressed = []
        waiting = alice.messages()
        while waiting:
            (info,) = waiting
            assert isinstance(info, Request)
            pressed.append(read_digit(info))
            waiting = alice.receive(respond(info, 200), alice.flow, 1.0)
        assert pressed == ["1", "2", "3"]
        midcall.press("4", now=2.0)
        assert describe_all(alice.messages()) == ["INFO"]
        alice.advance(2.0 + 32.0)
        midcall.press("5", now=40.0)
        (info,) = alice.messages()
        assert isinstance(info, Request)
        assert read_digit(info) == "5"


class TestReplaces:
    def replace(self, bob: Callee, replaces: str, flow: Flow = UDP) -> list[str]:
        data = invite(call_id="call-2", branch="z9hG4bKtwo", from_tag="carol-tag", headers=f"Replaces: {replaces}")
        return bob.say(data, flow=flow)

    def test_a_call_takes_the_place_of_another(self, bob: Callee) -> None:
        assert self.replace(bob, f"call-1;to-tag={bob.tag};from-tag=alice-tag") == ["100 INVITE"]
        incoming = bob.take(IncomingInvite)
        assert incoming.replaces == bob.handle
        bob.agent.accept(incoming.handle, ANSWER, now=0.0)
        bob.agent.hang_up(bob.handle, now=0.0)
        answer, bye = bob.messages()
        assert describe_all([answer, bye]) == ["200 INVITE", "BYE"]
        assert isinstance(bye, Request)
        assert bye.call_id == "call-1"
        assert bob.take(Ended) == Ended(bob.handle, "hung_up")
        assert bob.say(respond(bye, 200)) == []
        ids = {"call_id": "call-2", "from_tag": "carol-tag", "to_tag": answer.to.tag}
        assert bob.say(request("ACK", **ids)) == []
        bob.take(Acknowledged)
        assert bob.say(request("BYE", 2, **ids)) == ["200 BYE"]
        assert bob.take(Ended) == Ended(incoming.handle, "bye")

    def test_an_ordinary_call_replaces_none(self, bob: Callee) -> None:
        bob.say(invite(call_id="call-2", branch="z9hG4bKtwo"))
        assert bob.take(IncomingInvite).replaces is None

    @pytest.mark.parametrize(
        ("replaces", "answer"),
        [
            ("call-1;to-tag={tag};from-tag=wrong", "481 INVITE"),
            ("call-1;to-tag=wrong;from-tag=alice-tag", "481 INVITE"),
            ("call-3;to-tag={tag};from-tag=alice-tag", "481 INVITE"),
            ("call-1;to-tag=alice-tag;from-tag={tag}", "481 INVITE"),
            ("call-1;to-tag={tag};from-tag=alice-tag;early-only", "486 INVITE"),
            ("nonsense", "400 INVITE"),
            ("call-1;to-tag={tag};from-tag=alice-tag\nReplaces: a;to-tag=1;from-tag=2", "400 INVITE"),
        ],
    )
    def test_what_can_not_be_replaced(self, bob: Callee, replaces: str, answer: str) -> None:
        assert self.replace(bob, replaces.format(tag=bob.tag)) == [answer]
        assert bob.events == []
        assert bob.agent.sessions == 1

    def test_a_stranger_takes_over_no_call(self) -> None:
        """Trap: whoever has seen the tags could put himself in the place of the caller."""
        bob = Callee()
        bob.talk()
        assert self.replace(bob, f"call-1;to-tag={bob.tag};from-tag=alice-tag") == ["403 INVITE"]
        assert bob.events == []

    def test_a_call_that_still_rings_is_not_replaced(self) -> None:
        bob = Callee(settings=TRUSTING)
        bob.ring()
        assert self.replace(bob, f"call-1;to-tag={bob.tag};from-tag=alice-tag") == ["481 INVITE"]

    def test_a_call_that_has_ended_is_not_replaced(self, bob: Callee) -> None:
        bob.agent.hang_up(bob.handle, now=0.0)
        bob.messages()
        assert self.replace(bob, f"call-1;to-tag={bob.tag};from-tag=alice-tag") == ["603 INVITE"]

    def test_a_transfer_succeeds_while_new_calls_are_refused(self, bob: Callee) -> None:
        bob.agent.draining = True
        assert bob.say(invite(call_id="call-3", branch="z9hG4bKthree")) == ["503 INVITE"]
        assert self.replace(bob, f"call-1;to-tag={bob.tag};from-tag=alice-tag") == ["100 INVITE"]


OCTETS = st.binary(max_size=120).filter(lambda data: not set(data) & {10, 13})


@given(st.sampled_from(["REFER", "NOTIFY", "INFO"]), OCTETS, OCTETS, OCTETS, st.binary(max_size=200))
def test_any_octets_get_one_answer(method: str, first: bytes, second: bytes, third: bytes, body: bytes) -> None:
    bob = Callee(settings=TRUSTING)
    bob.talk()
    bob.agent.refer(bob.handle, TARGET, now=0.0)
    bob.messages()
    types = ("message/sipfrag", RELAY, "application/dtmf")
    data = request(method, 2, to_tag=bob.tag, body=body, content_type=types[len(body) % 3])
    names = {"REFER": b"Refer-To", "NOTIFY": b"Event", "INFO": b"Info-Package"}
    fields = [names[method], b"Subscription-State", b"Refer-Sub"]
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in zip(fields, (first, second, third), strict=True))
    answers = bob.say(data.replace(b"Max-Forwards", lines + b"Max-Forwards"))
    assert len(answers) == (0 if bob.events and isinstance(bob.events[-1], Referred) else 1)


def test_what_we_serve_is_said() -> None:
    bob = Callee()
    (answer,) = bob.receive(request("OPTIONS"), bob.flow, 0.0)
    assert {"REFER", "NOTIFY", "INFO"} <= set(answer.allow)
    assert {"replaces", "norefersub"} <= set(answer.supported)
    (answer,) = bob.receive(request("MESSAGE", body=b"hi", content_type="text/plain"), bob.flow, 0.0)
    assert describe(answer) == "405 MESSAGE"
    assert "INVITE" in answer.allow
