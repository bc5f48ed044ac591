"""UPDATE (:rfc:`3311`): a change or a mere refresh of a call, ringing or up, that has its answer at once.

:class:`Update` is one of ours, :class:`PromptOffer` an offer of the peer's, in an UPDATE or in a PRACK
(:rfc:`3262#section-5`), for the short time that the application takes to answer it. The answer is part of the same
stack; whoever would have to ask a human first is refused for him.
"""

from dataclasses import replace
from enum import Enum
from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import Core, HeaderList, add_headers
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow
from sipagent.sip.glare import Glare
from sipagent.sip.headers import check_text, read_seconds
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.session_timer import SessionTimer

PROMPT_S = 1.0
"""An offer that the application has not answered by then is refused with 504 (:rfc:`3311#section-5.2`)."""


class Timer(Enum):
    """What an UPDATE waits for."""

    GLARE = "glare"
    PROMPT = "prompt"


class UpdateOwner(Protocol):
    """The session that changes or is refreshed."""

    def on_update_accepted(self, update: "Update", response: Response, *, now: float) -> None:
        """A 2xx."""

    def on_update_refused(self, update: "Update", status: int, retry_s: int | None, *, now: float) -> None:
        """A refusal; 408 also when nothing came, 503 when nothing could be sent."""


class PromptOwner(Protocol):
    """The session that the peer wants changed."""

    def on_unprompted(self) -> None:
        """The application did not answer an offer in time."""


class Update:
    """One UPDATE of ours, tried again when it collides with a request of the peer's.

    :param body: an offer, or empty for a mere refresh.
    """

    def __init__(
        self,
        core: Core,
        dialog: Dialog,
        body: bytes,
        owner: UpdateOwner,
        *,
        timer: SessionTimer,
        is_call_id_ours: bool,
        line: Line | None = None,
    ) -> None:
        self.body = body
        self.is_on_the_way = False
        """Whether it waits for its final response; if not, the next try waits for its time."""
        self._core = core
        self._dialog = dialog
        self._owner = owner
        self._timer = timer
        self._line = line
        self._glare = Glare(core.random, is_call_id_ours=is_call_id_ours)
        self._is_stopped = False
        self._client: Client | None = None

    def start(self, *, now: float) -> None:
        """Send it."""
        headers = self._core.session_headers(None, self.body, product="User-Agent", line=self._line)
        request = self._dialog.make_request("UPDATE", [*headers, *self._timer.request_headers()], self.body)
        self.is_on_the_way = True
        self._client = Client(self._core, request, self._dialog.hop(), self, line=self._line)
        self._client.start(now=now)

    def stop(self) -> None:
        """Try no more, and care no more what comes."""
        self._is_stopped = True
        self._core.timers.cancel((self, Timer.GLARE))

    def receive_response(self, response: Response, *, now: float) -> None:
        """A response of the transaction."""
        if response.status < 200:
            return
        client = self._arrive()
        if self._is_stopped:
            return
        if response.status < 300:
            self._dialog.refresh_target(response, (client and client.flow) or self._dialog.flow)
            self._owner.on_update_accepted(self, response, now=now)
        elif response.status == 422 and self._timer.raise_interval(response):
            self.start(now=now)
        elif (delay_s := self._glare.delay_s(response)) is not None:
            self._core.timers.set((self, Timer.GLARE), now + delay_s)
        else:
            retry_s = read_seconds(response.headers, "Retry-After")
            self._owner.on_update_refused(self, response.status, retry_s, now=now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """No final response."""
        self._arrive()
        if not self._is_stopped:
            self._owner.on_update_refused(self, 408 if failure == "timeout" else 503, None, now=now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Time for the next try."""
        self.start(now=now)

    def _arrive(self) -> Client | None:
        """Note that there is a final response, or never will be; what sent us holds us, so we let go of it."""
        self.is_on_the_way = False
        client, self._client = self._client, None
        return client


class PromptOffer:
    """An offer that the peer wants answered at once."""

    def __init__(
        self, core: Core, request: Request, flow: Flow, owner: PromptOwner, *, line: Line | None = None
    ) -> None:
        self.request = request
        self.flow = flow
        self._core = core
        self._owner = owner
        self._line = line
        self._transaction = core.transactions.serve(request, flow)

    def start(self, *, now: float) -> None:
        """Give the application its moment."""
        self._core.timers.set((self, Timer.PROMPT), now + PROMPT_S)

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a 200."""
        response = make_response(self.request, 200)
        add_headers(response.headers, self._core.session_headers(self.flow, body, product="Server", line=self._line))
        add_headers(response.headers, headers)
        self._respond(replace(response, body=body), now)

    def reject(self, status: int, headers: HeaderList = (), *, reason: str | None = None, now: float) -> None:
        """Send a final response of 300 or above.

        :raises LocalProtocolError: for CR, LF or NUL in the reason.
        """
        response = make_response(self.request, status, reason=None if reason is None else check_text(reason))
        add_headers(response.headers, headers)
        self._respond(response, now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Nobody answered."""
        self.reject(504, now=now)
        self._owner.on_unprompted()

    def _respond(self, response: Response, now: float) -> None:
        self._core.timers.cancel((self, Timer.PROMPT))
        self._transaction.respond(response, now=now)
