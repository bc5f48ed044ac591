"""An INVITE that the peer sent us, the first of a call or one within it, until our final response is acknowledged.

A refusal is the transaction's to repeat. A 2xx is ours: it is sent again, over TCP too, until its ACK comes
(:rfc:`3261#section-13.3.1.4`).
"""

from dataclasses import replace
from enum import Enum
from typing import Protocol

from sipagent.sip.core import CONTENT_TYPE, Core, HeaderList, add_headers
from sipagent.sip.events import Flow
from sipagent.sip.headers import check_text
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.transaction import T1, T2, TIMEOUT

ANSWER_LIMIT_S = 180.0
"""An INVITE that nobody answers is refused after this long; proxies give up then too (timer C)."""


class State(Enum):
    """Whose turn it is."""

    UNANSWERED = "unanswered"
    ACCEPTED = "accepted"
    """Our 2xx waits for its ACK."""
    DONE = "done"


class Timer(Enum):
    """What an INVITE waits for."""

    ANSWER = "answer"
    COPY = "copy"
    ACK = "ack"


class InviteServerOwner(Protocol):
    """The session an INVITE belongs to."""

    def on_acknowledged(self, body: bytes, *, now: float) -> None:
        """The ACK for our 2xx came; ``body`` is its session description, or empty."""

    def on_unacknowledged(self, *, now: float) -> None:
        """It never came."""

    def on_withdrawn(self, reason: str) -> None:
        """It was refused without the application: ``cancelled``, ``timeout`` or ``transport``."""


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
        self._is_late_offer = not body
        self._transaction = core.transactions.serve(request, flow, self)
        self._accepted: Response | None = None
        self._interval = T1

    @property
    def is_unanswered(self) -> bool:
        """Whether it waits for a final response."""
        return self._state is State.UNANSWERED

    @property
    def is_accepted(self) -> bool:
        """Whether our 2xx waits for its ACK."""
        return self._state is State.ACCEPTED

    @property
    def awaits_answer(self) -> bool:
        """Whether that ACK is to bring the answer to our offer."""
        return self.is_accepted and self._is_late_offer

    def start(self, *, now: float) -> None:
        """Say that we are at it (:rfc:`3261#section-8.2.6.1`); the clock for an answer starts."""
        self._transaction.respond(make_response(self.request, 100), now=now)
        self._core.timers.set((self, Timer.ANSWER), now + ANSWER_LIMIT_S)

    def ring(self, status: int, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a provisional response above 100."""
        self._transaction.respond(self._make_response(status, headers, body), now=now)

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a 200, again and again until its ACK comes."""
        self._accepted = self._make_response(200, headers, body)
        self._leave_unanswered(State.ACCEPTED)
        self._transaction.respond(self._accepted, now=now)
        self._core.timers.set((self, Timer.COPY), now + T1)
        self._core.timers.set((self, Timer.ACK), now + TIMEOUT)

    def reject(self, status: int, headers: HeaderList = (), *, reason: str | None = None, now: float) -> None:
        """Send a final response of 300 or above; if one was sent before, nothing.

        :raises LocalProtocolError: for CR, LF or NUL in the reason.
        """
        if self.is_unanswered:
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
            case Timer.COPY if self._accepted is not None:
                self._transaction.respond(self._accepted, now=now)
                self._interval = min(2 * self._interval, T2)
                self._core.timers.set((self, Timer.COPY), now + self._interval)
            case Timer.ACK:
                self.stop()
                self._owner.on_unacknowledged(now=now)

    def _withdraw(self, status: int, reason: str, now: float) -> None:
        if self.is_unanswered:
            self.reject(status, now=now)
            self._owner.on_withdrawn(reason)

    def _leave_unanswered(self, state: State) -> None:
        self._state = state
        self._core.timers.cancel((self, Timer.ANSWER))

    def _make_response(self, status: int, headers: HeaderList, body: bytes) -> Response:
        """Build a response that opens or renews the dialog (:rfc:`3261#section-12.1.1`)."""
        response = make_response(self.request, status, to_tag=self.local_tag)
        for route in self.request.headers.get_fields("Record-Route"):
            response.headers.add("Record-Route", route)
        add_headers(response.headers, self._core.session_headers(self.flow, body, product="Server", line=self._line))
        add_headers(response.headers, headers)
        return replace(response, body=body)
