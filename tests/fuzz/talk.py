"""A user agent in the midst of something, and a script of what happens to it next.

A script is octets, so that a fuzzer can change it: a first line that names where the user agent stands (one of
:data:`STAGES`), then steps, each after a line ``%%``. A step begins with a letter that says what it is (``DO``), and
goes on with a message, or with seconds. What means nothing is taken for a datagram.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from random import Random
from typing import Any

from sip.peers import (
    ALICE,
    ANSWER,
    BOB,
    OFFER,
    TARGET,
    TCP,
    TRUSTING,
    UDP,
    Callee,
    Caller,
    Endpoint,
    invite,
    request,
    respond,
)

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Flow, Locate
from sipagent.sip.guard import GuardSettings, Rule
from sipagent.sip.message import Request
from sipagent.sip.ua import UserAgent, UserAgentSettings
from sipagent.sip.uri import Uri

STEP = b"\n%%\n"
STEPS_MAX = 12
"""More steps don't lead further, and make a script slow."""

MESSAGES_MAX = 12
"""What one input may make us send: answers to an INVITE and its CANCEL, an ACK and a BYE to each fork, no more."""

GROWTH_MAX = 4096
"""By how many octets a message of ours may be longer than what it answers."""

ACCOUNT = "pbx"
END_S = 100_000.0
"""Until then everything has run out."""


class FaultError(AssertionError):
    """The user agent did what it must never do."""


class Stage:
    """An endpoint that has come somewhere, by whom it is talked to, and what would be said to it next."""

    def __init__(self, endpoint: Endpoint, flow: Flow, next_messages: list[bytes], handle: int = 1) -> None:
        self.endpoint = endpoint
        self.flow = flow
        self.messages = next_messages
        self.handle = handle


def _within(tag: str, **fields: str) -> list[bytes]:
    """What Alice may say within a dialog."""
    methods = ["ACK", "BYE", "OPTIONS", "INFO", "UPDATE", "PRACK", "NOTIFY", "REFER", "MESSAGE", "CANCEL"]
    said = [request(method, 2, to_tag=tag, **fields) for method in methods]
    said.append(request("ACK", 1, to_tag=tag, **fields))
    said.append(request("UPDATE", 3, to_tag=tag, body=OFFER, headers="Session-Expires: 90;refresher=uas", **fields))
    said.append(request("PRACK", 4, to_tag=tag, headers="RAck: 1 1 INVITE", **fields))
    said.append(request("REFER", 5, to_tag=tag, headers="Refer-To: <sip:carol@192.0.2.3?Replaces=a%3Bto-tag%3Db>"))
    again = {"branch": "z9hG4bKagain", "cseq": "6 INVITE", "to_tag": tag, **fields}
    said.append(invite(headers="Session-Expires: 1800;refresher=uac\nMin-SE: 90\nSupported: timer, 100rel", **again))
    said.append(invite(body=b"", **again))
    return said


def idle() -> Stage:
    """Nobody has called."""
    said = [invite(), request("OPTIONS"), request("REGISTER"), request("CANCEL", 1, branch="z9hG4bKone")]
    said.append(invite(headers="Replaces: call-2;to-tag=a;from-tag=b\nRequire: 100rel"))
    return Stage(Endpoint(BOB), UDP, [*said, *_within("nobody")])


def guarded() -> Stage:
    """The same with a guard, seen by a stranger and by a caller with a password."""
    rules = (
        Rule(line="main", networks=(ip_network("10.0.0.0/8"),)),
        Rule(line="phones", users={"alice": "wonderland"}),
    )
    bob = Endpoint(BOB, settings=UserAgentSettings(guard=GuardSettings(rules=rules)))
    usual = "Subject: " + 500 * "x"  # a stranger is sent no more than it sends
    (refused,) = bob.receive(invite(headers=usual), UDP, 0.0)
    asked = refused.headers.get("WWW-Authenticate") or ""
    nonce = asked.partition('nonce="')[2].partition('"')[0]
    said = (
        f'Authorization: Digest username="alice", realm="sipagent", nonce="{nonce}", uri="sip:bob@192.0.2.2", '
        'algorithm=SHA-256, qop=auth, nc=00000001, cnonce="c", response="' + 64 * "0" + '"'
    )
    return Stage(bob, UDP, [invite(headers=usual), invite(headers=said), request("REGISTER", headers=said)])


def _callee(flow: Flow = UDP) -> Callee:
    bob = Callee(flow)
    bob.ring(headers="Supported: 100rel, timer\nRequire: 100rel")
    return bob


def ringing() -> Stage:
    """Alice hears it ring, reliably."""
    bob = _callee()
    said = [request("CANCEL", 1, branch="z9hG4bKone"), request("PRACK", 2, to_tag=bob.tag, headers="RAck: 1 1 INVITE")]
    return Stage(bob, UDP, [*said, *_within(bob.tag)])


def accepted() -> Stage:
    """We answered, and wait for the ACK."""
    bob = _callee()
    bob.accept()
    return Stage(bob, UDP, _within(bob.tag))


def offering() -> Stage:
    """We offered in our answer, and wait for theirs in the ACK."""
    bob = Callee()
    bob.ring(body=b"")
    bob.accept()
    return Stage(bob, UDP, [request("ACK", 1, to_tag=bob.tag, body=ANSWER), *_within(bob.tag)])


def talking(flow: Flow = UDP) -> Stage:
    """The call is up."""
    bob = Callee(flow)
    bob.talk()
    return Stage(bob, flow, _within(bob.tag))


def streaming() -> Stage:
    """The call is up, over TCP."""
    return talking(TCP)


def referred() -> Stage:
    """Our PBX wants us to call Carol, we try, and our first report waits for its answer."""
    bob = Callee(settings=TRUSTING)
    bob.talk()
    said = _within(bob.tag)
    bob.say(request("REFER", 2, to_tag=bob.tag, headers="Refer-To: <sip:carol@192.0.2.3>"), now=1.0)
    bob.agent.midcall(bob.handle).accept_refer(now=1.0)
    (notify,) = [message for message in bob.messages() if isinstance(message, Request)]
    return Stage(bob, UDP, [*_answers(notify), *said])


def transferring() -> Stage:
    """We want the peer to call Carol, and wait for its reports."""
    bob = Callee()
    bob.talk()
    bob.agent.refer(bob.handle, Uri.parse("sip:carol@192.0.2.3"), now=1.0)
    (refer,) = [message for message in bob.messages() if isinstance(message, Request)]
    said = [answer for answer in _answers(refer) if b" 2 REFER" not in answer]
    states = ("active;expires=60", "terminated;reason=noresource", "pending")
    for number, (state, status) in enumerate(zip(states, (100, 200, 180), strict=True), 2):
        headers = f"Event: refer\nSubscription-State: {state}"
        body = f"SIP/2.0 {status} Whatever\r\n".encode()
        said.append(
            request("NOTIFY", number, to_tag=bob.tag, headers=headers, body=body).replace(
                b"application/sdp", b"message/sipfrag;version=2.0"
            )
        )
    return Stage(bob, UDP, [respond(refer, 202, tag="x"), *said, *_within(bob.tag)])


def changing() -> Stage:
    """Our re-INVITE waits for its answer."""
    bob = Callee()
    bob.talk()
    bob.agent.reinvite(bob.handle, OFFER, now=1.0)
    (sent,) = [message for message in bob.messages() if isinstance(message, Request)]
    return Stage(bob, UDP, [*_answers(sent), *_within(bob.tag)])


def leaving() -> Stage:
    """Our BYE waits for its answer."""
    bob = Callee()
    bob.talk()
    bob.agent.hang_up(bob.handle, now=1.0)
    (sent,) = [message for message in bob.messages() if isinstance(message, Request)]
    return Stage(bob, UDP, [*_answers(sent), *_within(bob.tag)])


def _answers(sent: Request) -> list[bytes]:
    """What may be answered to a request of ours."""
    contact = "<sip:bob@192.0.2.2>"
    timer = "Session-Expires: 90;refresher=uac\nRequire: timer"
    challenge = 'Digest realm="192.0.2.2", nonce="n", qop="auth", algorithm=MD5'
    return [
        respond(sent, 100),
        respond(sent, 180, tag="one", contact=contact),
        respond(sent, 183, tag="two", contact=contact, body=ANSWER, headers="Require: 100rel\nRSeq: 7"),
        respond(sent, 200, tag="one", contact=contact, body=ANSWER, headers=timer),
        respond(sent, 200, tag="two", contact=contact, body=ANSWER, headers="Record-Route: <sip:p1;lr>, <sip:p2;lr>"),
        respond(sent, 302, tag="one", contact="<sip:carol@192.0.2.3>;q=0.5, <sip:dave@192.0.2.4>"),
        respond(sent, 401, tag="one", headers=f"WWW-Authenticate: {challenge}, Digest realm=x, nonce=y"),
        respond(sent, 407, tag="one", headers=f"Proxy-Authenticate: {challenge}, stale=true"),
        respond(sent, 422, tag="one", headers="Min-SE: 1800"),
        *(respond(sent, status, tag="one", headers="Retry-After: 5") for status in (408, 481, 486, 491, 500, 503, 603)),
    ]


def calling() -> Stage:
    """Our INVITE waits for an answer."""
    alice = Caller()
    said = [alice.within("BYE", 1), alice.within("UPDATE", 1), alice.within("INVITE", 1, body=OFFER)]
    return Stage(alice, alice.flow, [*_answers(alice.invite), *said])


def cancelling() -> Stage:
    """It rings at two telephones, and we have given up."""
    alice = Caller()
    alice.answer(180, tag="one")
    alice.answer(183, tag="two", headers="Require: 100rel\nRSeq: 7", body=ANSWER)
    alice.agent.hang_up(alice.handle, now=1.0)
    sent = [message for message in alice.messages() if isinstance(message, Request)]
    return Stage(alice, alice.flow, [answer for one in (alice.invite, *sent) for answer in _answers(one)])


def connected() -> Stage:
    """Bob has answered."""
    alice = Caller()
    alice.answer(200, body=ANSWER, headers="Session-Expires: 90;refresher=uac\nRequire: timer")
    said = [alice.within("BYE", 1), alice.within("UPDATE", 1, body=OFFER), alice.within("INVITE", 1, body=OFFER)]
    return Stage(alice, alice.flow, [*_answers(alice.invite), *said])


def _with_account(**more: Any) -> Endpoint:
    alice = Endpoint(ALICE)
    account = Account(
        name=ACCOUNT,
        address=Uri.parse("sip:alice@192.0.2.2"),
        contact_user="c0ffee",
        credentials=Credentials("alice", "wonderland"),
        **more,
    )
    alice.agent = UserAgent(accounts=[account], random=Random(1))
    return alice


def accounted() -> Stage:
    """Our INVITE, by an account with a password, waits for an answer."""
    alice, flow = _with_account(redirects=2), Flow("UDP", BOB, ALICE)
    handle = alice.agent.invite(TARGET, flow, account=ACCOUNT, body=OFFER, now=0.0)
    (sent,) = [message for message in alice.messages() if isinstance(message, Request)]
    return Stage(alice, flow, _answers(sent), handle)


def registering() -> Stage:
    """Our REGISTER waits for an answer."""
    alice, flow = _with_account(registrars=(Uri.parse("sip:192.0.2.2"),)), Flow("UDP", BOB, ALICE)
    alice.agent.register(ACCOUNT, now=0.0)
    return Stage(alice, flow, _bindings(_registered(alice, flow)))


def registered() -> Stage:
    """Our REGISTER was accepted, and the next one waits for an answer."""
    alice, flow = _with_account(registrars=(Uri.parse("sip:192.0.2.2"),)), Flow("UDP", BOB, ALICE)
    alice.agent.register(ACCOUNT, now=0.0)
    sent = _registered(alice, flow)
    alice.receive(_bindings(sent)[0], flow, 0.0)
    alice.agent.register(ACCOUNT, now=1.0)
    return Stage(alice, flow, [*_bindings(_registered(alice, flow)), invite(), request("OPTIONS")])


def _registered(alice: Endpoint, flow: Flow) -> Request:
    """Our last REGISTER, once it is on its way; what is asked for on the way there is answered."""
    for _ in range(3):
        alice.advance(1.0)
        for event in alice.events:
            if isinstance(event, Locate):
                alice.agent.located(event.query, [flow], now=1.0)
        alice.events.clear()
    return alice.last("REGISTER")


def _bindings(sent: Request) -> list[bytes]:
    """What may be answered to a REGISTER."""
    contact = f"{sent.headers.get('Contact')};expires=60"
    more = "Path: <sip:edge;lr>\nService-Route: <sip:a;lr>, <sip:b;lr>\nRequire: outbound\nFlow-Timer: 20\nExpires: 0"
    return [
        respond(sent, 200, tag="one", contact=contact),
        respond(sent, 200, tag="one", contact=f"<sip:other@192.0.2.9>;expires=1, {contact}", headers=more),
        respond(sent, 423, tag="one", headers="Min-Expires: 4294967295"),
        *_answers(sent),
    ]


STAGES: dict[str, Callable[[], Stage]] = {
    stage.__name__: stage
    for stage in (
        idle, guarded, ringing, accepted, offering, talking, streaming, referred, transferring, changing, leaving,
        calling, cancelling, connected, accounted, registering, registered,
    )
}  # fmt: skip


class Talk:
    """Plays a script, and looks at every step whether what must never happen did."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._endpoint = stage.endpoint
        self._agent = stage.endpoint.agent
        self._now = 2.0

    def step(self, step: bytes) -> None:
        """Play one step."""
        name, text = chr(step[0]) if step else "", step[1:]
        if name == "t":
            self._wait(float(text[:3]) if text[:3].isdigit() else 1.0)
            return
        if name in self._commands():
            self._command(self._commands()[name])
        else:
            self._inputs(text).get(name, lambda: self._receive(step))()
        self._look(len(step))

    def _inputs(self, text: bytes) -> dict[str, Callable[[], None]]:
        """What may happen to it, by letter."""
        flow, agent, now = self._stage.flow, self._agent, self._now
        return {
            "d": lambda: self._receive(text),
            "s": lambda: agent.receive_message(text, replace(flow, transport="TCP"), now=now),
            "o": lambda: agent.receive_datagram(text, replace(flow, remote=("198.51.100.9", 9)), now=now),
            "f": lambda: agent.transport_failed(flow, now=now),
            "p": lambda: agent.receive_pong(flow, now=now),
            "n": lambda: agent.address_changed(now=now),
        }

    def _commands(self) -> dict[str, Callable[[], None]]:
        """What it may be told, by letter."""
        agent, handle, now = self._agent, self._stage.handle, self._now
        return {
            "a": lambda: agent.accept(handle, ANSWER, now=now),
            "r": lambda: agent.reject(handle, 486, now=now),
            "g": lambda: agent.ring(handle, now=now),
            "i": lambda: agent.reinvite(handle, OFFER, now=now),
            "u": lambda: agent.update(handle, OFFER, now=now),
            "h": lambda: agent.hang_up(handle, now=now),
            "x": lambda: agent.refer(handle, TARGET, now=now),
            "y": lambda: agent.midcall(handle).accept_refer(now=now),
            "w": lambda: agent.unregister(ACCOUNT, now=now),
        }

    def _receive(self, data: bytes) -> None:
        receive = self._agent.receive_message if self._stage.flow.reliable else self._agent.receive_datagram
        receive(data, self._stage.flow, now=self._now)

    def end(self) -> None:
        """Let everything end; nothing may be left."""
        for handle in [session.handle for session in self._agent._sessions]:
            self._command(lambda: self._agent.hang_up(handle, now=self._now))  # noqa: B023 - called at once
        self._command(lambda: self._agent.unregister(ACCOUNT, now=self._now))
        self._look(0)
        while (at := self._agent.get_timer()) is not None:
            if at > END_S:
                raise FaultError("it never ends")
            self._handle_timer(at)
        self._endpoint.assert_clean()

    def _wait(self, seconds: float) -> None:
        until = self._now + seconds
        while (at := self._agent.get_timer()) is not None and at <= until:
            self._handle_timer(at)
        self._now = until

    def _handle_timer(self, at: float) -> None:
        self._now = max(at, self._now)
        self._agent.handle_timer(now=self._now)
        self._look(0)

    def _command(self, command: Callable[[], None]) -> None:
        with suppress(LocalProtocolError):
            command()

    def _look(self, received: int) -> None:
        """Judge what one input made us say."""
        events = len(self._endpoint.events)
        sent = self._endpoint.drain()
        for event in self._endpoint.events[events:]:
            if isinstance(event, Locate):
                self._agent.located(event.query, [self._stage.flow], now=self._now)
                sent += self._endpoint.drain()
        if len(sent) > MESSAGES_MAX:
            raise FaultError(f"{len(sent)} messages")
        for transmit in sent:
            if len(transmit.data) > 2 * received + GROWTH_MAX:
                raise FaultError(f"{len(transmit.data)} octets for {received}")


def talk(script: bytes) -> None:
    """Play a whole script; ``AssertionError`` or anything else that it raises is a bug."""
    name, *steps = script.split(STEP)
    stages = list(STAGES.values())
    stage = STAGES.get(name.decode("ascii", "replace")) or stages[sum(name) % len(stages)]
    play = Talk(stage())
    for step in steps[:STEPS_MAX]:
        play.step(step)
    play.end()


def scripts() -> Iterator[bytes]:
    """A script for everything that could be said next, at every stage, and some that go on from there."""
    for name, make in STAGES.items():
        messages = make().messages
        for message in messages:
            yield STEP.join([name.encode(), b"d" + message])
            yield STEP.join([name.encode(), b"d" + message, b"a", b"d" + messages[0], b"t9", b"h"])
        yield STEP.join([name.encode(), *(b"d" + message for message in messages[:STEPS_MAX])])
        yield STEP.join([name.encode(), b"g", b"a", b"i", b"u", b"f", b"r", b"t99", b"h"])
