"""An INVITE that the peer sent us, the first of a call or one within it, until our final response is acknowledged.

A refusal is the transaction's to repeat. A 2xx is ours: it is sent again, over TCP too, until its ACK comes
(:rfc:`3261#section-13.3.1.4`). So is ringing, for a caller that wants to acknowledge it (:rfc:`3262`); a description
that is acknowledged so settles the exchange, and the 2xx says nothing more about it.
"""

from dataclasses import replace
from enum import Enum
from typing import Final, Protocol

from sipagent.sip.core import CONTENT_TYPE, Core, HeaderList, add_headers
from sipagent.sip.events import Flow
from sipagent.sip.headers import check_text, read_seconds
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.reliable import OPTION_TAG, ReliableProvisionals, read_rack
from sipagent.sip.transaction import T1, T2, TIMEOUT

ANSWER_LIMIT_S: Final = 180.0
"""An INVITE that nobody answers is refused after this long; proxies give up then too (timer C)."""


class State(Enum):
    """Whose turn it is."""

    UNANSWERED = "unanswered"
    ACCEPTING = "accepting"
    """Our 2xx waits until the description in our ringing is acknowledged (:rfc:`3262#section-3`)."""
    ACCEPTED = "accepted"
    """Our 2xx waits for its ACK."""
    DONE = "done"


class Timer(Enum):
    """What an INVITE waits for."""

    ANSWER = "answer"
    EXPIRY = "expiry"
    """Of the invitation, as the caller says (:rfc:`3261#section-13.3.1`)."""
    COPY = "copy"
    ACK = "ack"


class InviteServerOwner(Protocol):
    """The session an INVITE belongs to."""

    def on_acknowledged(self, body: bytes, *, now: float) -> None:
        """The ACK for our 2xx came; ``body`` is its session description, or empty."""

    def on_unacknowledged(self, *, now: float) -> None:
        """It never came."""

    def on_withdrawn(self, reason: str, *, now: float) -> None:
        """It was refused without the application: ``cancelled``, ``timeout``, ``transport`` or ``no_ack``."""


class InviteServer:
    """One INVITE of the peer's."""

    def __init__(
        self,
        core: Core,
        request: Request,
        flow: Flow,
        body: bytes,
        local_tag: str,
        owner: InviteServerOwner,
        *,
        line: Line | None = None,
    ) -> None:
        self._line = line
        self.request = request
        self.flow = flow
        self.local_tag = local_tag
        self._core = core
        self._owner = owner
        self._state = State.UNANSWERED
        self.is_late_offer = not body
        """Whether the offer is ours."""
        self._is_exchanged = False
        self._held: tuple[HeaderList, bytes] = ((), b"")
        self._transaction = core.transactions.serve(request, flow, self)
        self._accepted: Response | None = None
        self._interval = T1
        self._reliable = self._make_reliable()

    @property
    def is_initial(self) -> bool:
        """Whether it opens a call."""
        return not self.request.to.tag

    @property
    def is_unanswered(self) -> bool:
        """Whether it waits for the application's final response."""
        return self._state is State.UNANSWERED

    @property
    def is_pending(self) -> bool:
        """Whether it had no final response yet."""
        return self._state in (State.UNANSWERED, State.ACCEPTING)

    @property
    def is_exchanged(self) -> bool:
        """Whether offer and answer have met before the final response."""
        return self._is_exchanged

    @property
    def owes_answer(self) -> bool:
        """Whether descriptions are still to come from us before anybody may offer another one."""
        return self.is_pending and not self._is_exchanged and not self._offers_early

    @property
    def is_accepted(self) -> bool:
        """Whether our 2xx waits for its ACK."""
        return self._state is State.ACCEPTED

    @property
    def awaits_answer(self) -> bool:
        """Whether the ACK, or a PRACK, is to bring the answer to our offer."""
        is_late = self.is_late_offer and not self._is_exchanged
        return is_late and (self.is_accepted or self._offers_early)

    def start(self, *, now: float) -> None:
        """Say that we are at it (:rfc:`3261#section-8.2.6.1`); the clock for an answer starts."""
        self._transaction.respond(make_response(self.request, 100), now=now)
        self._core.timers.set((self, Timer.ANSWER), now + ANSWER_LIMIT_S)
        expires_s = read_seconds(self.request.headers, "Expires")
        if expires_s is not None and expires_s < ANSWER_LIMIT_S:
            self._core.timers.set((self, Timer.EXPIRY), now + expires_s)

    def ring(self, status: int, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a provisional response above 100.

        A caller that insists on reliable ones, but leaves the offer to us, gets none without it
        (:rfc:`3262#section-5`).
        """
        response = self._make_response(status, headers, b"" if self._is_exchanged else body)
        if self._reliable is None:
            self.send_provisional(response, now=now)
        elif response.body or not self.is_late_offer or self._is_exchanged or self._offers_early:
            self._reliable.send(response, now=now)

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a 200, again and again until its ACK comes."""
        if self._reliable is not None and self._reliable.holds_description:
            self._state, self._held = State.ACCEPTING, (headers, body)
            return
        self._accepted = self._make_response(200, headers, b"" if self._is_exchanged else body)
        self._leave_unanswered(State.ACCEPTED)
        self._transaction.respond(self._accepted, now=now)
        self._core.timers.set((self, Timer.COPY), now + T1)
        self._core.timers.set((self, Timer.ACK), now + TIMEOUT)

    def reject(self, status: int, headers: HeaderList = (), *, reason: str | None = None, now: float) -> None:
        """Send a final response of 300 or above; if one was sent before, nothing.

        :raises LocalProtocolError: for CR, LF or NUL in the reason.
        """
        if self.is_pending:
            text = None if reason is None else check_text(reason)
            response = make_response(self.request, status, reason=text, to_tag=self.local_tag)
            add_headers(response.headers, headers)
            self._leave_unanswered(State.DONE)
            self._transaction.respond(response, now=now)

    def receive_ack(self, request: Request, *, now: float) -> None:
        """An ACK of this dialog; it counts if it is for our 2xx and the first."""
        if self.is_accepted and request.cseq.number == self.request.cseq.number:
            self.stop()
            self._owner.on_acknowledged(request.content(CONTENT_TYPE) or b"", now=now)

    def receive_prack(self, request: Request, body: bytes, *, now: float) -> Response | None:
        """A PRACK; return what it acknowledges, ``None`` when that is nothing (:rfc:`3262#section-3`)."""
        if self._reliable is None:
            return None
        heard = self._reliable.receive_prack(read_rack(request.headers), now=now)
        if heard is not None and heard.body and (body or not self.is_late_offer):
            self._is_exchanged = True
        return heard

    def proceed(self, *, now: float) -> None:
        """Accept, if only a PRACK was missing that has come."""
        if self._state is State.ACCEPTING and not (self._reliable and self._reliable.holds_description):
            self.accept(*self._held, now=now)

    def send_provisional(self, response: Response, *, now: float) -> None:
        """Send it, or a copy."""
        self._transaction.respond(response, now=now)

    def on_unheard(self, *, now: float) -> None:
        """Our ringing was never acknowledged (:rfc:`3262#section-3`)."""
        self._withdraw(500, "no_ack", now)

    def receive_cancel(self, *, now: float) -> None:
        """A CANCEL; it is too late once there is a final response (:rfc:`3261#section-9.2`)."""
        self._withdraw(487, "cancelled", now)

    def overtaken(self, *, now: float) -> None:
        """The peer went on, so it must have our 2xx: its ACK was lost or is late (:rfc:`5407#section-3.1.4`)."""
        if self.is_accepted:
            self.stop()
            self._owner.on_acknowledged(b"", now=now)

    def stop(self) -> None:
        """Send no more 2xx, and wait for no ACK."""
        self._state = State.DONE
        for timer in Timer:
            self._core.timers.cancel((self, timer))

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """Whoever waited at the end of a lost connection is gone; once we answered, the lack of an ACK tells more."""
        if failure == "transport":
            self._withdraw(503, failure, now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Send a copy of the 2xx, or give up waiting."""
        match timer:
            case Timer.ANSWER:
                self._withdraw(480, "timeout", now)
            case Timer.EXPIRY:
                self._withdraw(487, "timeout", now)
            case Timer.COPY if self._accepted is not None:
                self._transaction.respond(self._accepted, now=now)
                self._interval = min(2 * self._interval, T2)
                self._core.timers.set((self, Timer.COPY), now + self._interval)
            case Timer.ACK:
                self.stop()
                self._owner.on_unacknowledged(now=now)

    @property
    def _offers_early(self) -> bool:
        """Whether our ringing holds the offer, and its answer is to come."""
        return self.is_late_offer and self._reliable is not None and self._reliable.holds_description

    def _make_reliable(self) -> ReliableProvisionals | None:
        wants = OPTION_TAG in map(str.lower, self.request.require)
        knows = OPTION_TAG in map(str.lower, self.request.supported) and self._core.settings.reliable_ringing
        return ReliableProvisionals(self._core, self.request.cseq, self) if wants or knows else None

    def _withdraw(self, status: int, reason: str, now: float) -> None:
        if self.is_pending:
            self.reject(status, now=now)
            self._owner.on_withdrawn(reason, now=now)

    def _leave_unanswered(self, state: State) -> None:
        self._state = state
        self._core.timers.cancel((self, Timer.ANSWER))
        self._core.timers.cancel((self, Timer.EXPIRY))
        if self._reliable is not None:
            self._reliable.stop()

    def _make_response(self, status: int, headers: HeaderList, body: bytes) -> Response:
        """Build a response that opens or renews the dialog (:rfc:`3261#section-12.1.1`)."""
        response = make_response(self.request, status, to_tag=self.local_tag)
        for route in self.request.headers.get_fields("Record-Route"):
            response.headers.add("Record-Route", route)
        add_headers(response.headers, self._core.session_headers(self.flow, body, product="Server", line=self._line))
        add_headers(response.headers, headers)
        return replace(response, body=body)
