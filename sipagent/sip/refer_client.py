"""A REFER of ours (:rfc:`3515`): the peer is asked to call somebody else, and tells in NOTIFYs what has come of it.

The 2xx only says that it will try. A NOTIFY may overtake it, the last one brings the final status, and some peers send
none at all: so there is a limit to waiting, and an end in any case.
"""

from enum import Enum
from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import Core, HeaderList
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.refer import ReferTo, SubscriptionState, read_event, read_sipfrag, wants_no_subscription
from sipagent.sip.transaction import TIMEOUT

NOTIFY_LIMIT_S = TIMEOUT
"""A peer that accepted and sent no NOTIFY by then sends none (timer N of :rfc:`6665#section-4.1.2.4`)."""

OUTCOME_LIMIT_S = 180.0
"""A peer that does not say how long it will report has as long as a telephone may ring."""

OUTCOME_LIMIT_MAX_S = 600.0


class State(Enum):
    """How far it is."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    """A 2xx or a NOTIFY came."""
    DONE = "done"


class Timer(Enum):
    """What a REFER waits for."""

    OUTCOME = "outcome"


class ReferClientOwner(Protocol):
    """Whoever wants somebody referred."""

    def on_refer_progressed(self, status: int, reason: str) -> None:
        """The peer was told this by whom it calls; or, with 202, it says that it will try."""

    def on_refer_finished(self, status: int | None, reason: str) -> None:
        """The last word; ``None`` when the peer agreed and never told the outcome."""


class ReferClient:
    """One REFER of ours."""

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        refer_to: ReferTo,
        headers: HeaderList,
        owner: ReferClientOwner,
        *,
        line: Line | None,
    ) -> None:
        self._core = core
        self._owner = owner
        self._state = State.ASKED
        self._progress = 0
        fields = [
            ("Refer-To", str(refer_to)),
            ("Referred-By", f"<{dialog.local.uri}>"),
            *core.session_headers(None, b"", product="User-Agent", line=line),
            *headers,
        ]
        self._request, self._hop, self._line = dialog.make_request("REFER", fields), dialog.hop(), line
        self._id = str(self._request.cseq.number)

    @property
    def is_pending(self) -> bool:
        """Whether the last word is still to come."""
        return self._state is not State.DONE

    def start(self, *, now: float) -> None:
        """Send it."""
        Client(self._core, self._request, self._hop, self, line=self._line).start(now=now)

    def stop(self) -> None:
        """Nobody cares any more."""
        self._state = State.DONE
        self._core.timers.cancel((self, Timer.OUTCOME))

    def receive_response(self, response: Response, *, now: float) -> None:
        """What the peer says to it."""
        if response.status < 200 or self._state is State.DONE:
            return
        if response.status >= 300:
            self._finish(response.status, response.reason)
        elif wants_no_subscription(response.headers):
            self._finish(None, "the peer reports nothing")
        elif self._state is State.ASKED:
            self._state = State.ACCEPTED
            self._core.timers.set((self, Timer.OUTCOME), now + NOTIFY_LIMIT_S)
            self._tell(202, response.reason)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """It was not heard, or not answered; a NOTIFY all the same says that it was."""
        if self._state is State.ASKED:
            self._finish(408 if failure == "timeout" else 503, failure)

    def is_for(self, request: Request) -> bool:
        """Whether a NOTIFY is of this REFER: the id may be absent when there is but one (:rfc:`3515#section-2.4.6`)."""
        return read_event(request.headers)[1].get("id") in (None, self._id)

    def receive_notify(self, request: Request, flow: Flow, state: SubscriptionState, *, now: float) -> None:
        """Take a report, which is answered whatever it says."""
        self._core.transactions.serve(request, flow).respond(make_response(request, 200), now=now)
        if self._state is State.DONE:
            return
        self._state = State.ACCEPTED
        status, reason = read_sipfrag(request) or (0, "")
        if status >= 200:
            self._finish(status, reason)
        elif state.state == "terminated":
            self._finish(None, state.reason or "the peer reports no more")
        else:
            limit = OUTCOME_LIMIT_S if state.expires_s is None else min(state.expires_s, OUTCOME_LIMIT_MAX_S)
            self._core.timers.set((self, Timer.OUTCOME), now + max(limit, NOTIFY_LIMIT_S))
            self._tell(status, reason)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """The peer is silent for too long."""
        self._finish(None, "the peer reports nothing")

    def _tell(self, status: int, reason: str) -> None:
        if status and status != self._progress:
            self._progress = status
            self._owner.on_refer_progressed(status, reason)

    def _finish(self, status: int | None, reason: str) -> None:
        self.stop()
        self._owner.on_refer_finished(status, reason)
