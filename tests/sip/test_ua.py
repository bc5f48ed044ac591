"""The user agent: what it answers by itself, what it drops, and how much of strangers it remembers."""

from random import Random
from typing import Any

import pytest
from sip.peers import ALICE, ALICE_FROM, ANSWER, BOB, OFFER, TARGET, Endpoint, describe_all, invite, request, write
from test_stun import attribute, message, xored

from sipagent.errors import LocalProtocolError
from sipagent.sip.core import ALLOW, SUPPORTED, UserAgentSettings
from sipagent.sip.events import Ended, Flow, IncomingInvite
from sipagent.sip.framing import StreamFramer
from sipagent.sip.message import MessageError, Request, Response, parse_message

UDP = Flow("UDP", ALICE, BOB)
TCP = Flow("TCP", (ALICE[0], 40000), BOB)


@pytest.fixture
def bob() -> Endpoint:
    return Endpoint(BOB)


def ask(bob: Endpoint, data: bytes, flow: Flow = UDP) -> Response:
    """Feed a request; return its one response, after which nothing may be left."""
    (response,) = bob.receive(data, flow, 0.0)
    assert isinstance(response, Response)
    return response


class TestRefusals:
    @pytest.mark.parametrize(
        "method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH"]
    )
    @pytest.mark.parametrize("to_tag", [None, "unknown"])
    def test_a_method_we_know_but_do_not_serve(self, bob: Endpoint, method: str, to_tag: str | None) -> None:
        response = ask(bob, request(method, to_tag=to_tag))
        assert response.status == 405
        assert ", ".join(response.allow) == ALLOW
        bob.assert_clean()

    @pytest.mark.parametrize(
        ("method", "to_tag", "status"),
        [
            ("REFER", None, 403),
            ("REFER", "unknown", 481),
            ("NOTIFY", None, 481),
            ("NOTIFY", "unknown", 481),
            ("INFO", None, 481),
            ("INFO", "unknown", 481),
        ],
    )
    def test_what_belongs_into_a_call_and_comes_without_one(
        self, bob: Endpoint, method: str, to_tag: str | None, status: int
    ) -> None:
        """Trap: whoever obeys a REFER of a stranger makes calls at its own cost (CVE-2021-37624)."""
        headers = "Refer-To: <sip:0900@example.com>\nEvent: refer\nSubscription-State: active"
        assert ask(bob, request(method, to_tag=to_tag, headers=headers)).status == status
        bob.assert_clean()

    @pytest.mark.parametrize("method", ["FOO", "invite", "RE%47IST%45R"])
    def test_a_method_nobody_knows(self, bob: Endpoint, method: str) -> None:
        response = ask(bob, request(method))
        assert response.status == 501
        assert ", ".join(response.allow) == ALLOW

    @pytest.mark.parametrize(
        ("uri", "status"), [("sip:x@y", 200), ("sips:x@y", 200), ("tel:+1555", 200), ("http:x", 416)]
    )
    def test_the_scheme(self, bob: Endpoint, uri: str, status: int) -> None:
        assert ask(bob, write(f"OPTIONS {uri} SIP/2.0", cseq="1 OPTIONS")).status == status

    @pytest.mark.parametrize("tags", ["precondition", "answermode, precondition"])
    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "BYE"])
    def test_an_extension_we_do_not_know(self, bob: Endpoint, method: str, tags: str) -> None:
        response = ask(bob, request(method, headers=f"Require: {tags}"))
        assert response.status == 420
        assert response.headers.get("Unsupported") == tags
        bob.assert_clean()

    @pytest.mark.parametrize("content", ["text/plain", "application/isup", "multipart/mixed;boundary=x"])
    def test_a_body_we_do_not_understand(self, bob: Endpoint, content: str) -> None:
        response = ask(bob, invite().replace(b"application/sdp", content.encode()))
        assert (response.status, response.headers.get("Accept")) == (415, "application/sdp")
        bob.assert_clean()

    def test_an_encoding_we_do_not_understand(self, bob: Endpoint) -> None:
        response = ask(bob, invite(headers="Content-Encoding: gzip"))
        assert (response.status, response.headers.get("Accept-Encoding")) == (415, "identity")

    @pytest.mark.parametrize(
        ("accept", "taken"),
        [
            ("application/sdp", True),
            ("text/plain, application/SDP;level=1", True),
            ("application/*", True),
            ("*/*", True),
            ("text/plain", False),
        ],
    )
    def test_what_may_come_back(self, bob: Endpoint, accept: str, taken: bool) -> None:
        assert ask(bob, invite(headers=f"Accept: {accept}")).status == (100 if taken else 406)

    def test_a_part_that_is_a_session_description_is_taken(self, bob: Endpoint) -> None:
        body = b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--x--"
        head, blank, rest = invite(body=body).partition(b"\r\n\r\n")
        data = head.replace(b"application/sdp", b"multipart/mixed;boundary=x") + blank + rest
        assert ask(bob, data).status == 100
        assert bob.take(IncomingInvite).body == b"v=0"

    @pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS"])
    def test_a_dialog_we_do_not_know(self, bob: Endpoint, method: str) -> None:
        assert ask(bob, request(method, to_tag="unknown")).status == 481
        bob.assert_clean()

    @pytest.mark.parametrize("method", ["BYE", "CANCEL"])
    def test_outside_of_any_dialog(self, bob: Endpoint, method: str) -> None:
        assert ask(bob, request(method)).status == 481
        bob.assert_clean()

    def test_a_copy_by_another_path(self, bob: Endpoint) -> None:
        assert ask(bob, invite(branch="z9hG4bKone")).status == 100
        assert ask(bob, invite(branch="z9hG4bKtwo")).status == 482
        assert len([event for event in bob.events if isinstance(event, IncomingInvite)]) == 1

    def test_max_forwards_of_zero_is_for_us_all_the_same(self, bob: Endpoint) -> None:
        data = request("OPTIONS").replace(b"Max-Forwards: 70", b"Max-Forwards: 0")
        assert ask(bob, data).status == 200

    def test_the_same_request_gets_the_same_answer(self, bob: Endpoint) -> None:
        first, second = (ask(bob, request("REGISTER")) for _ in range(2))
        assert bytes(first) == bytes(second)
        assert len(first.to.tag or "") == 24
        assert ask(bob, request("REGISTER", 2)).to.tag != first.to.tag
        assert ask(Endpoint(BOB, seed=2), request("REGISTER")).to.tag != first.to.tag


class TestOptions:
    def test_outside_of_a_dialog(self, bob: Endpoint) -> None:
        response = ask(bob, request("OPTIONS"))
        assert response.status == 200
        assert ", ".join(response.allow) == ALLOW
        assert response.headers.get("Accept") == "application/sdp"
        assert ", ".join(response.supported) == SUPPORTED
        assert str(response.contact) == "<sip:agent@192.0.2.2:5060>"
        bob.assert_clean()

    @pytest.mark.parametrize(("name", "value"), [("draining", True), ("ready", False)])
    def test_when_no_call_would_be_taken(self, bob: Endpoint, name: str, value: bool) -> None:
        setattr(bob.agent, name, value)
        response = ask(bob, request("OPTIONS"))
        assert (response.status, response.headers.get("Retry-After")) == (503, "10")

    def test_while_there_is_no_room(self, bob: Endpoint) -> None:
        room = [False, True]
        bob.agent.heed(lambda: room.pop(0))
        assert ask(bob, request("OPTIONS")).status == 503
        assert ask(bob, request("OPTIONS", branch="z9hG4bKlater")).status == 200

    def test_within_a_dialog(self, bob: Endpoint) -> None:
        bob.receive(invite(), UDP, 0.0)
        handle = bob.take(IncomingInvite).handle
        bob.agent.ring(handle, now=0.0)
        tag = bob.messages()[-1].to.tag
        bob.agent.draining = True
        assert ask(bob, request("OPTIONS", 2, to_tag=tag)).status == 200
        assert ask(bob, request("OPTIONS", 2, to_tag=tag)).status == 200
        assert ask(bob, request("OPTIONS", 1, branch="z9hG4bKlow", to_tag=tag)).status == 500
        assert ask(bob, request("OPTIONS", 3, to_tag=tag, from_tag="x")).status == 481


class TestDraining:
    def test_new_calls_are_refused_and_those_that_are_up_go_on(self, bob: Endpoint) -> None:
        bob.receive(invite(), UDP, 0.0)
        handle = bob.take(IncomingInvite).handle
        bob.agent.accept(handle, ANSWER, now=0.0)
        tag = bob.messages()[-1].to.tag
        bob.receive(request("ACK", to_tag=tag), UDP, 0.1)
        bob.agent.draining = True
        response = ask(bob, invite(call_id="call-2", branch="z9hG4bKtwo"))
        assert (response.status, response.headers.get("Retry-After")) == (503, "10")
        assert describe_all(bob.receive(request("INVITE", 2, to_tag=tag, body=OFFER), UDP, 1.0)) == ["100 INVITE"]
        assert describe_all(bob.receive(request("BYE", 3, to_tag=tag), UDP, 1.0)) == ["200 BYE", "487 INVITE"]
        assert bob.agent.is_idle


class TestLimits:
    def test_of_sessions(self) -> None:
        bob = Endpoint(BOB, settings=UserAgentSettings(max_sessions=3, retry_after_s=5))
        answers = [ask(bob, invite(call_id=f"c{n}", branch=f"z9hG4bK{n}")).status for n in range(5)]
        assert answers == [100, 100, 100, 503, 503]
        assert ask(bob, request("OPTIONS")).status == 503
        with pytest.raises(LocalProtocolError):
            bob.agent.invite(TARGET, UDP, from_=ALICE_FROM, body=OFFER, now=0.0)
        for event in [event for event in bob.events if isinstance(event, IncomingInvite)]:
            bob.agent.reject(event.handle, 486, now=0.0)
        assert bob.agent.sessions == 0
        bob.advance(100.0)
        bob.assert_clean()

    def test_of_transactions(self) -> None:
        bob = Endpoint(BOB, settings=UserAgentSettings(max_transactions=2))
        for number in range(2):
            assert ask(bob, invite(call_id=f"c{number}", branch=f"z9hG4bK{number}")).status == 100
        bob.agent.accept(1, ANSWER, now=0.0)
        tag = bob.messages()[-1].to.tag
        assert ask(bob, invite(call_id="c2", branch="z9hG4bK2")).status == 503
        assert ask(bob, request("BYE", 2, call_id="c0", to_tag=tag)).status == 503
        bob.receive(request("ACK", call_id="c0", to_tag=tag), UDP, 0.0)
        bob.advance(40.0)
        assert ask(bob, request("BYE", 2, call_id="c0", to_tag=tag)).status == 200

    def test_a_flood_of_strangers_leaves_nothing(self, bob: Endpoint) -> None:
        for number in range(2000):
            method = ("OPTIONS", "REGISTER", "SUBSCRIBE", "MESSAGE", "FOO", "BYE", "CANCEL")[number % 7]
            ask(bob, request(method, number, call_id=f"c{number}"))
        bob.assert_clean()

    def test_a_flood_of_calls_that_are_never_acknowledged_leaves_nothing(self, bob: Endpoint) -> None:
        for number in range(300):
            bob.receive(invite(call_id=f"c{number}", branch=f"z9hG4bK{number}"), UDP, 0.0)
            bob.agent.accept(number + 1, ANSWER, now=0.0)
        bob.advance(200.0)
        assert len([event for event in bob.events if isinstance(event, Ended)]) == 300
        bob.assert_clean()

    def test_connections_that_are_reset_leave_nothing(self, bob: Endpoint) -> None:
        for number in range(300):
            flow = Flow("TCP", (ALICE[0], 10000 + number), BOB)
            bob.receive(invite(call_id=f"c{number}", branch=f"z9hG4bK{number}", transport="TCP"), flow, 0.0)
            bob.agent.transport_failed(flow, now=0.0)
            bob.drain()
        assert bob.agent.is_idle
        bob.advance(100.0)
        bob.assert_clean()


class TestSilence:
    @pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\0", b"\r\n", b"\0\0\0\0"])
    def test_keepalives(self, bob: Endpoint, data: bytes) -> None:
        assert bob.receive(data, UDP, 0.0) == []
        assert bob.agent.counters == {"keepalives": 1}

    @pytest.mark.parametrize("kind", [0x0001, 0x0011, 0x0101, 0x0111, 0x0102])
    @pytest.mark.parametrize("attributes", [b"", xored(), attribute(0x0006, b"u" * 1_200)])
    def test_stun_of_strangers_is_never_answered(self, bob: Endpoint, kind: int, attributes: bytes) -> None:
        """CVE-2021-37706 and its kind: whoever asks, whatever it is, there is nothing to hear."""
        assert bob.receive(message(attributes, kind=kind), UDP, 0.0) == []
        assert bob.agent.counters == {"stray_stun": 1}
        bob.assert_clean()

    @pytest.mark.parametrize("data", [b"hello", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"])
    def test_noise(self, bob: Endpoint, data: bytes) -> None:
        assert bob.receive(data, UDP, 0.0) == []
        assert bob.agent.counters == {"malformed": 1}

    def test_a_response_to_nothing(self, bob: Endpoint) -> None:
        assert bob.receive(write("SIP/2.0 200 OK", to_tag="x"), UDP, 0.0) == []
        assert bob.agent.counters["stray_responses"] == 1

    def test_a_malformed_response(self, bob: Endpoint) -> None:
        assert bob.receive(write("SIP/2.0 200 OK", cseq="x INVITE"), UDP, 0.0) == []

    @pytest.mark.parametrize("fields", [{}, {"to_tag": "x"}, {"cseq": "nonsense"}, {"headers": "Require: nothing"}])
    def test_an_ack_of_nothing(self, bob: Endpoint, fields: dict[str, Any]) -> None:
        data = write("ACK sip:bob@192.0.2.2 SIP/2.0", **{"cseq": "1 ACK", **fields})
        assert bob.receive(data, UDP, 0.0) == []
        bob.assert_clean()

    def test_bytes_nobody_thought_of(self, bob: Endpoint) -> None:
        """A whole call whose messages are broken at random neither raises nor leaves anything."""
        random = Random(1)
        seeds = [invite(), write("SIP/2.0 200 OK"), *map(request, ("OPTIONS", "CANCEL", "BYE", "ACK"))]
        for number in range(4000):
            data = bytearray(random.choice(seeds).replace(b"call-1", b"c%d" % (number % 50)))
            for _ in range(random.randint(0, 4)):
                at = random.randrange(len(data))
                data[at : at + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
            bob.agent.receive_datagram(bytes(data), UDP, now=number / 100)
            bob.drain()
        bob.advance(1000.0)
        bob.assert_clean()


class TestMalformed:
    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (invite().replace(b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), 505),
            (invite().replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"), 400),
            (invite().replace(b"CSeq: 1 INVITE", b"CSeq: 4294967296 INVITE"), 400),
            (invite().replace(b"CSeq: 1 INVITE", b"CSeq: " + b"9" * 5000 + b" INVITE"), 400),
            (invite().replace(b"Max-Forwards: 70", b"Max-Forwards: x"), 400),
            (invite().replace(b"Content-Length: 9", b"Content-Length: 900"), 400),
            (invite().replace(b"Call-ID: call-1\r\n", b""), 400),
            (invite(headers="X-Long: " + "x" * 9000), 513),
            (invite(headers="\n".join(f"Accept: a/{number}" for number in range(500))), 513),
        ],
    )
    def test_the_status(self, bob: Endpoint, data: bytes, status: int) -> None:
        bob.agent.receive_datagram(data, UDP, now=0.0)
        (transmit,) = bob.drain()
        assert transmit.data.startswith(b"SIP/2.0 %d " % status)
        assert transmit.flow == UDP
        assert b";tag=" in transmit.data
        bob.assert_clean()

    def test_the_reason_says_why(self, bob: Endpoint) -> None:
        bob.agent.receive_datagram(invite().replace(b"Call-ID: call-1\r\n", b""), UDP, now=0.0)
        assert bob.drain()[0].data.startswith(b"SIP/2.0 400 Bad Request: no Call-ID\r\n")

    def test_over_a_stream(self, bob: Endpoint) -> None:
        framer = StreamFramer()
        with pytest.raises(MessageError) as fault:
            framer.receive_data(request("OPTIONS").replace(b"Content-Length: 0", b"Content-Length: -1"))
        bob.agent.receive_malformed(fault.value, TCP, now=0.0)
        (transmit,) = bob.drain()
        assert transmit.data.startswith(b"SIP/2.0 400 ")
        assert transmit.flow == TCP


class TestWhereResponsesGo:
    OUTSIDE = Flow("UDP", ("198.51.100.7", 31337), BOB)

    def test_to_where_the_request_came_from(self, bob: Endpoint) -> None:
        bob.agent.receive_datagram(request("OPTIONS"), self.OUTSIDE, now=0.0)
        (transmit,) = bob.drain()
        assert transmit.flow == self.OUTSIDE
        via = parse_message(transmit.data).via
        assert (via.sent_by, via.received, via.rport) == ("192.0.2.1", "198.51.100.7", "31337")

    def test_only_the_topmost_via_is_stamped(self, bob: Endpoint) -> None:
        data = request("OPTIONS", headers="Via: SIP/2.0/UDP second;branch=2, SIP/2.0/TCP third")
        vias = ask(bob, data, self.OUTSIDE).vias
        assert [via.received for via in vias] == ["198.51.100.7", None, None]
        assert [via.host for via in vias] == ["192.0.2.1", "second", "third"]

    def test_from_an_ipv6_address(self, bob: Endpoint) -> None:
        flow = Flow("UDP", ("2001:db8::7", 5060), ("2001:db8::1", 5060))
        response = ask(bob, request("OPTIONS"), flow)
        assert response.via.received == "2001:db8::7"
        assert str(response.contact) == "<sip:agent@[2001:db8::1]:5060>"

    def test_a_call_over_two_flows_answers_each_where_it_came_from(self, bob: Endpoint) -> None:
        bob.receive(invite(), self.OUTSIDE, 0.0)
        bob.agent.ring(1, now=0.0)
        assert {transmit.flow for transmit in [*bob.sent, *bob.drain()]} == {self.OUTSIDE}
        tag = parse_message(bob.sent[-1].data).to.tag
        other = Flow("UDP", ("198.51.100.8", 9), BOB)
        bob.receive(request("OPTIONS", 2, to_tag=tag), other, 0.0)
        assert bob.sent[-1].flow == other


class TestMachine:
    def test_no_timer_is_due_twice(self, bob: Endpoint) -> None:
        bob.receive(invite(), UDP, 0.0)
        bob.agent.accept(1, ANSWER, now=0.0)
        last = -1.0
        while (at := bob.agent.get_timer()) is not None:
            assert at > last
            last = at
            bob.agent.handle_timer(now=at)
            bob.drain()
        bob.assert_clean()

    def test_the_same_seed_says_the_same(self) -> None:
        def play() -> list[bytes]:
            alice = Endpoint(ALICE, seed=7)
            alice.agent.invite(TARGET, UDP, from_=ALICE_FROM, body=OFFER, now=0.0)
            alice.advance(100.0)
            return [transmit.data for transmit in alice.sent]

        assert play() == play()

    def test_tags_and_branches_are_long_and_never_the_same(self) -> None:
        alice = Endpoint(ALICE)
        for _ in range(100):
            alice.agent.invite(TARGET, UDP, from_=ALICE_FROM, body=OFFER, now=0.0)
        messages = [message for message in alice.messages() if isinstance(message, Request)]
        for read in (lambda m: m.from_.tag, lambda m: m.via.branch.removeprefix("z9hG4bK"), lambda m: m.call_id):
            values = {read(message) for message in messages}
            assert len(values) == 100
            assert {len(value) * 4 for value in values} == {96}

    def test_a_shell_that_does_not_say_how_we_are_reached(self) -> None:
        alice = Endpoint(ALICE)
        alice.agent.invite(TARGET, Flow("UDP", BOB), from_=ALICE_FROM, body=OFFER, now=0.0)
        (message,) = alice.messages()
        assert message.via.host == "anonymous.invalid"
