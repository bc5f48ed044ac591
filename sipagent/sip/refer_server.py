"""A REFER of the peer's (:rfc:`3515`): whether we call somebody is the application's decision, and what comes of it
is told in NOTIFYs.

One NOTIFY is on its way at a time, so that none overtakes another; what happens in between is told by the next.
"""

from enum import Enum
from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import Core, HeaderList, add_headers
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.refer import EVENT, SIPFRAG_TYPE, SubscriptionState, wants_no_subscription, write_sipfrag

DECISION_LIMIT_S = 16.0
"""An application that has not decided by then has refused: the peer gives up after twice that."""

EXPIRES_S = 300
"""How long we report: longer than any telephone rings."""


class State(Enum):
    """How far it is."""

    UNDECIDED = "undecided"
    REPORTING = "reporting"
    DONE = "done"


class Timer(Enum):
    """What a REFER waits for."""

    DECISION = "decision"
    OUTCOME = "outcome"


class ReferServerOwner(Protocol):
    """The call in which it came."""

    def on_refer_gone(self) -> None:
        """There is nothing left to report, or nobody to report to."""


class ReferServer:
    """One REFER of the peer's."""

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        request: Request,
        flow: Flow,
        owner: ReferServerOwner,
        *,
        line: Line | None,
    ) -> None:
        self._core = core
        self._dialog = dialog
        self._owner = owner
        self._line = line
        self._request = request
        self._state = State.UNDECIDED
        self._is_silent = wants_no_subscription(request.headers)
        self._is_notifying = False
        self._next: int | None = None
        self._expires_at = 0.0
        self._transaction = core.transactions.serve(request, flow)

    @property
    def is_undecided(self) -> bool:
        """Whether it waits for the application."""
        return self._state is State.UNDECIDED

    @property
    def is_reporting(self) -> bool:
        """Whether the peer wants to know how it goes."""
        return self._state is State.REPORTING

    def start(self, *, now: float) -> None:
        """The clock for the decision starts."""
        self._core.timers.set((self, Timer.DECISION), now + DECISION_LIMIT_S)

    def stop(self) -> None:
        """The call has ended; report nothing more. What is not decided yet is refused in its time."""
        self._core.timers.cancel((self, Timer.OUTCOME))
        if self._state is State.REPORTING:
            self._state = State.DONE

    def accept(self, *, now: float) -> None:
        """Say that we try; where the peer wants no reports, that is all (:rfc:`4488#section-4`)."""
        headers = self._core.session_headers(None, b"", product="Server", line=self._line)
        self._respond(202, [*headers, ("Refer-Sub", "false")] if self._is_silent else headers, now)
        self._core.timers.cancel((self, Timer.DECISION))
        self._state = State.REPORTING
        self._expires_at = now + EXPIRES_S
        self._core.timers.set((self, Timer.OUTCOME), self._expires_at)
        self.report(100, now=now)

    def refuse(self, status: int, *, now: float) -> None:
        """Say that we don't."""
        self._respond(status, (), now)
        self._core.timers.cancel((self, Timer.DECISION))
        self._state = State.DONE
        self._owner.on_refer_gone()

    def report(self, status: int, *, now: float) -> None:
        """Tell the peer what whom we call has answered; a final status is the last report."""
        if self._is_silent:
            if status >= 200:
                self._leave()
        elif self._is_notifying:
            self._next = status
        else:
            self._notify(status, now)

    def receive_response(self, response: Response, *, now: float) -> None:
        """The peer heard it, or has forgotten that it asked."""
        if response.status >= 200:
            self._is_notifying = False
            if response.status == 481:
                self._leave()
            else:
                self._go_on(now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """Nobody heard it, so nobody waits."""
        self._is_notifying = False
        self._leave()

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Time is up."""
        match timer:
            case Timer.DECISION:
                self.refuse(603, now=now)
            case Timer.OUTCOME:
                self.report(408, now=now)

    def _respond(self, status: int, headers: HeaderList, now: float) -> None:
        response = make_response(self._request, status)
        add_headers(response.headers, headers)
        self._transaction.respond(response, now=now)

    def _notify(self, status: int, now: float) -> None:
        is_last = status >= 200
        left_s = max(0, round(self._expires_at - now))
        state = SubscriptionState("terminated", None, "noresource") if is_last else SubscriptionState("active", left_s)
        fields = [
            ("Event", f"{EVENT};id={self._request.cseq.number}"),
            ("Subscription-State", str(state)),
            *self._core.session_headers(None, b"", product="User-Agent", line=self._line),
            ("Content-Type", SIPFRAG_TYPE),
        ]
        request = self._dialog.make_request("NOTIFY", fields, write_sipfrag(status))
        self._is_notifying = True
        if is_last:
            self.stop()
        Client(self._core, request, self._dialog.hop(), self, line=self._line).start(now=now)

    def _go_on(self, now: float) -> None:
        status, self._next = self._next, None
        if self._state is State.DONE:
            self._owner.on_refer_gone()
        elif status is not None:
            self._notify(status, now)

    def _leave(self) -> None:
        self.stop()
        self._owner.on_refer_gone()
