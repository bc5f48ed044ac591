"""What all parts of the user agent share: settings, randomness, timers, transactions, and the queue of outputs."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Final, Protocol, TypeAlias

from sipagent.errors import LocalProtocolError
from sipagent.sip.dialog import MAX_FORWARDS, URI_TRANSPORTS
from sipagent.sip.events import Address, Event, Flow, Locate, Transmit
from sipagent.sip.flows import Flows
from sipagent.sip.guard import Guard, GuardSettings
from sipagent.sip.headers import MAGIC_COOKIE, CSeq, Headers, NameAddr, Via
from sipagent.sip.line import Line, timer_settings
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.session_timer import OPTION_TAG
from sipagent.sip.stun_client import StunClient
from sipagent.sip.transaction import MAX_TRANSACTIONS, TimerKey, Transactions
from sipagent.sip.uri import NO_PARAMETERS, Parameters, Uri
from sipagent.timers import Timers

HeaderList: TypeAlias = Sequence[tuple[str, str]]

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, REFER, NOTIFY, INFO"
"""The methods we serve."""

SUPPORTED: Final = "100rel, timer, replaces, norefersub"
"""The extensions we know by option tag (:rfc:`3261#section-20.37`)."""

CONTENT_TYPE: Final = "application/sdp"
"""The one kind of body that means anything to us."""

RESERVED = frozenset(
    {
        *("via", "max-forwards", "route", "record-route", "from", "to", "call-id", "cseq", "contact"),
        *("allow", "supported", "require", "content-type", "content-length"),
        *("session-expires", "min-se", "rseq", "rack"),
    }
)
"""Header fields that are ours to write, never the application's: a second one would change where a call leads."""

UNKNOWN_ADDRESS: Address = ("anonymous.invalid", 5060)
"""Stands where the shell has not said how we are reached (:rfc:`2606` keeps the name from ever being somebody's)."""

NOWHERE = Flow("UDP", UNKNOWN_ADDRESS)

IDENTIFIER_BITS: Final = 96
"""Of tags, branches and Call-IDs: too many to guess, so that who is not on the path can't meddle with a call."""


@dataclass(frozen=True, slots=True)
class UserAgentSettings:
    """What a :class:`~sipagent.sip.ua.UserAgent` may be told about itself."""

    user_agent: str = "sipagent"
    """For User-Agent and Server."""
    contact_user: str = "agent"
    """The user part of our Contact."""
    max_sessions: int = 1_000
    """INVITE sessions at once, those that are still saying goodbye included; more are refused with 503."""
    max_transactions: int = MAX_TRANSACTIONS
    """Server transactions at once; what needs one more is refused with 503."""
    reliable_ringing: bool = False
    """Whether our provisional responses want a PRACK from every caller that knows it, not only where it must."""
    retry_after_s: int = 10
    """Seconds that a 503 asks the peer to wait."""
    guard: GuardSettings | None = None
    """Who may call; ``None`` for whoever likes."""


class Locating(Protocol):
    """Whoever waits for the targets of a URI."""

    def located(self, targets: Sequence[Flow], *, reason: str, now: float) -> None:
        """Take them, the best first; there may be none, and then ``reason`` says why."""


class Core:
    """The common ground of the parts of one user agent."""

    def __init__(self, settings: UserAgentSettings, random: Random) -> None:
        self.settings = settings
        self.random = random
        self.timers: Timers[TimerKey] = Timers()
        self.transactions = Transactions(self.timers, self.emit, limit=settings.max_transactions)
        self.stun = StunClient(self.timers, self.emit, random=random)
        self.flows = Flows(self.emit)
        self.outputs: deque[Event] = deque()
        self.counters: Counter[str] = Counter()
        self.guard: Guard | None = None
        if settings.guard is not None:
            self.guard = Guard(settings.guard, random=random, counters=self.counters, banned=self.emit)
        self._tag_key = random.randbytes(32)
        self._locating: dict[int, Locating] = {}
        self._last_query = 0

    def emit(self, event: Event) -> None:
        """Queue an output."""
        self.outputs.append(event)

    def new_identifier(self) -> str:
        """Make a tag, a Call-ID, or what follows the cookie of a branch."""
        return f"{self.random.getrandbits(IDENTIFIER_BITS):0{IDENTIFIER_BITS // 4}x}"

    def contact_uri(self, flow: Flow, line: Line | None) -> Uri:
        """Return by what URI whoever is at the far end of the flow reaches us, or that line of ours."""
        host, port = flow.local or UNKNOWN_ADDRESS
        if line is not None and flow.local is not None:
            host, port = line.outside.toward(flow.remote[0], flow.local)
        user = self.settings.contact_user if line is None else line.account.contact_user
        transport = Parameters([("transport", URI_TRANSPORTS[flow.transport])])
        return Uri("sip", user, None, host, port, NO_PARAMETERS if flow.transport == "UDP" else transport)

    def session_headers(
        self, flow: Flow | None, body: bytes, *, product: str, line: Line | None = None
    ) -> list[tuple[str, str]]:
        """Return what every message that opens or renews a session says of us.

        :param flow: our Contact is for whoever is at the far end of it; ``None`` where it is still to be located.
        :param body: of the message; an empty one is none.
        :param product: the field that names our program, ``User-Agent`` or ``Server``.
        """
        contact = self.contact_uri(flow or NOWHERE, line)
        headers = [
            ("Contact", str(NameAddr(None, contact))),
            ("Allow", ALLOW),
            ("Supported", supported(line)),
            (product, self.settings.user_agent),
        ]
        return [*headers, ("Content-Type", CONTENT_TYPE)] if body else headers

    def make_invite(
        self,
        target: Uri,
        us: NameAddr,
        headers: HeaderList,
        body: bytes,
        *,
        routes: Sequence[NameAddr],
        line: Line | None,
    ) -> Request:
        """Build the INVITE of a new call (:rfc:`3261#section-8.1.1`), still without Via.

        :param us: still without a tag.
        """
        fields = [
            ("Max-Forwards", MAX_FORWARDS),
            *(("Route", str(route)) for route in routes),
            ("From", str(us.with_tag(self.new_identifier()))),
            ("To", str(NameAddr(None, target))),
            ("Call-ID", self.new_identifier()),
            ("CSeq", str(CSeq(1, "INVITE"))),
            *self.session_headers(None, body, product="User-Agent", line=line),
            *headers,
        ]
        return Request("INVITE", target, Headers(fields), body)

    def locate(self, waiting: Locating, uri: Uri) -> None:
        """Have the targets of a URI found."""
        self._last_query += 1
        self._locating[self._last_query] = waiting
        self.emit(Locate(self._last_query, uri))

    def located(self, query: int, targets: Sequence[Flow], *, reason: str, now: float) -> None:
        """Pass the targets on."""
        waiting = self._locating.pop(query, None)
        if waiting is not None:
            waiting.located(targets, reason=reason, now=now)

    def add_via(self, request: Request, flow: Flow) -> None:
        """Put our Via on top, with a branch of its own, and ask for the port we are seen from (:rfc:`3581`)."""
        host, port = flow.local or UNKNOWN_ADDRESS
        parameters = Parameters([("branch", MAGIC_COOKIE + self.new_identifier()), ("rport", None)])
        request.headers.insert_first("Via", str(Via(flow.transport, host, port, parameters)))

    def reply(
        self, request: Request, flow: Flow, status: int, headers: HeaderList = (), *, reason: str | None = None
    ) -> None:
        """Answer without remembering (:rfc:`3261#section-8.2.7`): a copy of the request gets a copy of the answer."""
        response = self._stateless_response(request, status, headers, reason=reason)
        self.counters[f"replied_{status}"] += 1
        self.emit(Transmit(bytes(response), flow))

    def reply_to_anybody(
        self,
        request: Request,
        flow: Flow,
        status: int,
        headers: HeaderList = (),
        *,
        reason: str | None = None,
        size: int,
        now: float,
    ) -> None:
        """Answer without remembering, but a stranger rarely, and over UDP with no more octets than it sent.

        :param headers: a stranger gets as many as fit, at least the last, or no answer.
        :param reason: for those we know.
        :param size: of the request as it came, in octets.
        """
        if self.guard is None or not self.guard.is_stranger(flow.remote):
            self.reply(request, flow, status, headers, reason=reason)
        elif self.guard.may_reply(flow, now=now):
            for first in range(max(1, len(headers))):
                data = bytes(self._stateless_response(request, status, headers[first:]))
                if flow.reliable or len(data) <= size:
                    self.counters[f"replied_{status}"] += 1
                    self.emit(Transmit(data, flow))
                    return
            self.counters["guard_unanswered_size"] += 1

    def learn_peer(self, line: Line, flow: Flow) -> None:
        """The line's own PBX is at the far end of the flow."""
        if self.guard is not None:
            self.guard.learn_peer(line.account.name, flow.remote[0])

    def know(self, flow: Flow, *, now: float) -> None:
        """Expect messages from there: they belong to a call or to a request of ours."""
        if self.guard is not None:
            self.guard.know(flow.remote, now=now)

    def refuse(self, request: Request, flow: Flow, status: int, headers: HeaderList = (), *, now: float) -> None:
        """Answer a request within a dialog, and remember: a late copy must not be judged by what is true then."""
        response = make_response(request, status)
        add_headers(response.headers, headers)
        self.counters[f"replied_{status}"] += 1
        self.transactions.serve(request, flow).respond(response, now=now)

    def retry_after(self) -> list[tuple[str, str]]:
        """The header fields of a 503."""
        return [("Retry-After", str(self.settings.retry_after_s))]

    def _stateless_response(
        self, request: Request, status: int, headers: HeaderList, *, reason: str | None = None
    ) -> Response:
        response = make_response(request, status, reason=reason, to_tag=self._stateless_tag(request))
        add_headers(response.headers, headers)
        return response

    def _stateless_tag(self, request: Request) -> str:
        """Make a tag that the same request always gets, and that nobody else can predict."""
        parts = [request.headers.get(name) or "" for name in ("Call-ID", "From", "CSeq")]
        text = "\n".join([*parts, request.via.branch or ""])
        digest = blake2b(text.encode("utf-8", "surrogateescape"), digest_size=IDENTIFIER_BITS // 8, key=self._tag_key)
        return digest.hexdigest()


def supported(line: Line | None) -> str:
    """Return the extensions we know in the calls of a line: session timers may be switched off there."""
    if timer_settings(line).mode != "off":
        return SUPPORTED
    return ", ".join(tag for tag in SUPPORTED.split(", ") if tag != OPTION_TAG)


def add_headers(headers: Headers, extra: HeaderList) -> None:
    """Add fields to a message.

    :raises LocalProtocolError: for CR, LF or NUL.
    """
    for name, value in extra:
        headers.add(name, value)


def check_headers(extra: HeaderList) -> None:
    """Refuse header fields that an application must not write, before anything has changed.

    :raises LocalProtocolError: for one of :data:`RESERVED`, a name that is no token, or CR, LF or NUL in a value.
    """
    if not extra:
        return
    for name in [name for name, _ in Headers(extra).items() if name.lower() in RESERVED]:
        raise LocalProtocolError(f"{name} is written by the user agent")
