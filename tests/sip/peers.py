"""Peers for tests: two user agents over a virtual link that loses and reorders, or one and messages by hand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from ipaddress import ip_network
from random import Random
from typing import Any, TypeVar

from sipagent.sip.events import Acknowledged, Ended, Event, Flow, IncomingInvite, Transmit
from sipagent.sip.guard import GuardSettings, Rule
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Request, Response, parse_message
from sipagent.sip.ua import UserAgent, UserAgentSettings
from sipagent.sip.uri import Uri

T = TypeVar("T")

ALICE = ("192.0.2.1", 5060)
BOB = ("192.0.2.2", 5060)
TARGET = Uri.parse("sip:bob@192.0.2.2")
UDP = Flow("UDP", ALICE, BOB)
TCP = Flow("TCP", (ALICE[0], 40000), BOB)
ALICE_FROM = NameAddr.parse('"Alice" <sip:alice@192.0.2.1>')
TRUSTING = UserAgentSettings(guard=GuardSettings(rules=(Rule(line="", networks=(ip_network("192.0.2.0/24"),)),)))
"""Of a user agent that takes everybody here for its own PBX."""
OFFER = b"v=0 offer"
ANSWER = b"v=0 answer"


class Endpoint:
    """A user agent, and what it has put out."""

    def __init__(self, local: tuple[str, int], seed: int = 1, settings: UserAgentSettings | None = None) -> None:
        self.local = local
        self.agent = UserAgent(settings, random=Random(seed))
        self.sent: list[Transmit] = []
        self.events: list[Event] = []

    def drain(self) -> list[Transmit]:
        """Move the outputs into ``sent`` and ``events``; return what is new to be sent."""
        fresh = []
        while (output := self.agent.poll()) is not None:
            if isinstance(output, Transmit):
                fresh.append(output)
            else:
                self.events.append(output)
        self.sent += fresh
        return fresh

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Request | Response]:
        """Feed a message; return what is sent back, parsed."""
        (self.agent.receive_message if flow.reliable else self.agent.receive_datagram)(data, flow, now=now)
        return self.messages()

    def messages(self) -> list[Request | Response]:
        """What is newly sent, parsed."""
        return [parse_message(transmit.data) for transmit in self.drain()]

    def advance(self, to: float) -> list[tuple[float, Request | Response]]:
        """Fire every timer up to ``to`` at its very time; return what was sent, and when."""
        out = [(0.0, message) for message in self.messages()]
        while (at := self.agent.get_timer()) is not None and at <= to:
            self.agent.handle_timer(now=at)
            out += [(at, message) for message in self.messages()]
        return out

    def take(self, kind: type[T]) -> T:
        """The one event of that kind, which is removed."""
        self.drain()
        found = [event for event in self.events if isinstance(event, kind)]
        assert len(found) == 1, f"{kind.__name__}: {self.events}"
        self.events.remove(found[0])  # type: ignore[arg-type]
        return found[0]

    def last(self, method: str) -> Request:
        """The request of that method that was sent last."""
        self.drain()
        messages = [parse_message(transmit.data) for transmit in self.sent]
        return [message for message in messages if isinstance(message, Request) and message.method == method][-1]

    def assert_clean(self) -> None:
        """No session, dialog, transaction or timer is left."""
        agent: Any = self.agent
        assert agent.get_timer() is None, agent._core.timers._live
        assert not agent._sessions
        assert not agent._sessions.by_dialog
        layer = agent._core.transactions
        assert not {**layer._clients, **layer._servers, **layer._origins}
        assert not agent._core.timers._live
        assert agent.is_idle


@dataclass
class World:
    """Alice and Bob under one clock. ``loss`` and ``drop`` are asked for every message."""

    seed: int = 1
    transport: str = "UDP"
    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    drop: Callable[[Request | Response], bool] = lambda message: False
    now: float = 0.0
    log: list[tuple[float, str, Request | Response]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.alice = Endpoint(ALICE, 2 * self.seed)
        self.bob = Endpoint(BOB, 2 * self.seed + 1)
        self.on_event: dict[Endpoint, Callable[[Event], None]] = {}
        self._wire: list[tuple[float, int, Endpoint, Endpoint, bytes]] = []
        self._serial = 0

    def flow(self, source: Endpoint, target: Endpoint) -> Flow:
        """The way from one to the other."""
        return Flow(self.transport, target.local, source.local)

    def call(self, body: bytes = OFFER) -> int:
        """Alice calls Bob."""
        flow = self.flow(self.alice, self.bob)
        handle = self.alice.agent.invite(TARGET, flow, from_=ALICE_FROM, body=body, now=self.now)
        self.settle()
        return handle

    def settle(self) -> None:
        """Put on the wire what the two have to send, and let them react to their events."""
        for source, target in ((self.alice, self.bob), (self.bob, self.alice)):
            seen = len(source.events)
            for transmit in source.drain():
                self._send(source, target, transmit.data)
            if source in self.on_event:
                for event in source.events[seen:]:
                    self.on_event[source](event)
                    self.settle()

    def run(self, until: float) -> None:
        """Let time pass."""
        self.settle()
        while (at := self._next_at()) is not None and at <= until:
            self.now = at
            if self._wire and self._wire[0][0] <= at:
                _, _, source, target, data = heappop(self._wire)
                flow = Flow(self.transport, source.local, target.local)
                receive = target.agent.receive_datagram if self.transport == "UDP" else target.agent.receive_message
                receive(data, flow, now=at)
            else:
                for endpoint in (self.alice, self.bob):
                    due = endpoint.agent.get_timer()
                    if due is not None and due <= at:
                        endpoint.agent.handle_timer(now=at)
            self.settle()
        self.now = max(self.now, until)

    def assert_clean(self) -> None:
        """Nothing is left of anything."""
        assert not self._wire
        self.alice.assert_clean()
        self.bob.assert_clean()

    def seen(self, source: Endpoint, kind: str) -> list[float]:
        """When ``source`` sent messages of that kind: a method, or a status and the method it answers."""
        return [at for at, name, message in self.log if name == source.local[0] and describe(message) == kind]

    def _next_at(self) -> float | None:
        times = [self._wire[0][0]] if self._wire else []
        for endpoint in (self.alice, self.bob):
            at = endpoint.agent.get_timer()
            if at is not None:
                times.append(at)
        return min(times, default=None)

    def _send(self, source: Endpoint, target: Endpoint, data: bytes) -> None:
        message = parse_message(data)
        self.log.append((self.now, source.local[0], message))
        if self.drop(message) or self.random.random() < self.loss:
            return
        for _ in range(2 if self.random.random() < self.duplicate else 1):
            self._serial += 1
            at = self.now + self.delay + self.random.random() * self.jitter
            heappush(self._wire, (at, self._serial, source, target, data))


def describe(message: Request | Response) -> str:
    """``INVITE``, ``200 INVITE``."""
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"


def describe_all(messages: Iterable[Request | Response]) -> list[str]:
    """The above, for several."""
    return [describe(message) for message in messages]


def write(
    start: str,
    *,
    branch: str = "z9hG4bKone",
    call_id: str = "call-1",
    cseq: str = "1 INVITE",
    from_tag: str = "alice-tag",
    to_tag: str | None = None,
    headers: str = "",
    body: bytes = b"",
    transport: str = "UDP",
    contact: str | None = "<sip:alice@192.0.2.1>",
    record_route: str = "",
    content_type: str = "application/sdp",
) -> bytes:
    """A message of Alice's to Bob."""
    lines = [
        start,
        f"Via: SIP/2.0/{transport} 192.0.2.1;branch={branch};rport",
        "Max-Forwards: 70",
        f"From: <sip:alice@192.0.2.1>;tag={from_tag}" if from_tag else "From: <sip:alice@192.0.2.1>",
        f"To: <sip:bob@192.0.2.2>{f';tag={to_tag}' if to_tag else ''}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
    ]
    if contact:
        lines.append(f"Contact: {contact}")
    lines += [line for line in (record_route + "\n" + headers).splitlines() if line]
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def invite(**fields: Any) -> bytes:
    """An INVITE of Alice's."""
    return write("INVITE sip:bob@192.0.2.2 SIP/2.0", **{"body": OFFER, **fields})


def request(method: str, number: int = 1, **fields: Any) -> bytes:
    """Another request of Alice's."""
    fields.setdefault("branch", f"z9hG4bK{method}{number}")
    return write(f"{method} sip:bob@192.0.2.2 SIP/2.0", cseq=f"{number} {method}", **fields)


def respond(
    to: Request, status: int, *, tag: str = "", headers: str = "", body: bytes = b"", contact: str = ""
) -> bytes:
    """A response by hand to a request that the user agent sent."""
    to_header = to.headers.get("To") or ""
    lines = [
        f"SIP/2.0 {status} Whatever",
        *(f"Via: {via}" for via in to.headers.get_all("Via")),
        f"From: {to.headers.get('From')}",
        f"To: {to_header}{f';tag={tag}' if tag and to.to.tag is None else ''}",
        f"Call-ID: {to.call_id}",
        f"CSeq: {to.headers.get('CSeq')}",
    ]
    if contact:
        lines.append(f"Contact: {contact}")
    lines += [line for line in headers.splitlines() if line]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Callee(Endpoint):
    """Bob's user agent, called by an Alice who writes by hand."""

    def __init__(self, flow: Flow = UDP, settings: UserAgentSettings | None = None) -> None:
        super().__init__(BOB, settings=settings)
        self.flow = flow
        self.handle = 0
        self.tag = ""

    def say(self, data: bytes, now: float = 0.0, flow: Flow | None = None) -> list[str]:
        """Feed a message; return what is answered."""
        if self.flow.reliable:
            data = data.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
        return describe_all(self.receive(data, flow or self.flow, now))

    def ring(self, **fields: Any) -> None:
        """Let Alice call, and ring."""
        assert self.say(invite(**fields)) == ["100 INVITE"]
        self.handle = self.take(IncomingInvite).handle
        self.agent.ring(self.handle, now=0.0)
        (ringing,) = self.messages()
        assert describe(ringing) == "180 INVITE"
        self.tag = ringing.to.tag or ""

    def accept(self, body: bytes = ANSWER, now: float = 0.0) -> Response:
        """Pick up."""
        self.agent.accept(self.handle, body, now=now)
        (response,) = self.messages()
        assert isinstance(response, Response)
        return response

    def talk(self, **fields: Any) -> None:
        """All of the above, and Alice's ACK."""
        self.ring(**fields)
        self.accept()
        assert self.say(request("ACK", to_tag=self.tag)) == []
        self.take(Acknowledged)

    def end(self, reason: str, status: int | None = None) -> None:
        """The session has ended so, and when the last timer is gone so is everything."""
        assert self.take(Ended) == Ended(self.handle, reason, status)
        self.advance(1000.0)
        assert self.events == []
        self.assert_clean()


class Caller(Endpoint):
    """Alice's user agent, calling a Bob who writes by hand."""

    def __init__(self, flow: Flow | None = None) -> None:
        super().__init__(ALICE)
        self.flow = flow or Flow("UDP", BOB, ALICE)
        self.handle = self.agent.invite(TARGET, self.flow, from_=ALICE_FROM, body=OFFER, now=0.0)
        (message,) = self.messages()
        assert isinstance(message, Request)
        self.invite = message

    def say(self, data: bytes, now: float = 0.0) -> list[str]:
        """Feed a message; return what is answered."""
        return describe_all(self.receive(data, self.flow, now))

    def answer(self, status: int, now: float = 0.0, **fields: Any) -> list[str]:
        """Respond to the INVITE."""
        fields = {"tag": "bob-tag", "contact": "<sip:bob@192.0.2.2>", **fields}
        return self.say(respond(self.invite, status, **fields), now)

    def within(self, method: str, number: int = 1, **fields: Any) -> bytes:
        """A request of Bob's within the dialog."""
        ids = {"call_id": self.invite.call_id, "from_tag": "bob-tag", "to_tag": self.invite.from_.tag}
        return request(method, number, **{**ids, **fields})

    def end(self, reason: str, status: int | None = None) -> None:
        """The session has ended so, and when the last timer is gone so is everything."""
        assert self.take(Ended) == Ended(self.handle, reason, status)
        self.advance(1000.0)
        assert self.events == []
        self.assert_clean()
