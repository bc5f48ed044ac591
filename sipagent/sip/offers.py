"""The peer's changes of a call: UPDATEs, PRACKs and, as far as the rules go, re-INVITEs; one offer at a time.

Whoever offers while his last offer is unanswered is told 500, whoever offers while ours is unanswered 491
(:rfc:`3261#section-14.2`, :rfc:`3311#section-5.2`). What is no offer is answered here, and at once.
"""

from typing import Protocol

from sipagent.sip.changes import Changes
from sipagent.sip.core import Core, HeaderList, add_headers
from sipagent.sip.dialog import Dialog
from sipagent.sip.early import EarlyDialog
from sipagent.sip.events import EarlyAnswered, Flow, Reinvited
from sipagent.sip.invite_server import InviteServer
from sipagent.sip.line import Line
from sipagent.sip.message import Request, make_response
from sipagent.sip.session_timer import SessionTimer
from sipagent.sip.update import PromptOffer

RETRY_AFTER_MAX_S = 10
"""What comes before we answered the last is told to come again within this (:rfc:`3261#section-14.2`)."""


class OffersOwner(Protocol):
    """The session that the peer changes."""

    @property
    def handle(self) -> int:
        """Of the session."""

    @property
    def dialog(self) -> Dialog | None:
        """The one that the call has come to."""

    @property
    def server(self) -> InviteServer | None:
        """The last INVITE of the peer's."""

    @property
    def is_up(self) -> bool:
        """Whether the call was answered, and goes on."""

    @property
    def is_calling(self) -> bool:
        """Whether our INVITE waits to be answered."""

    def dialog_of(self, request: Request) -> Dialog | None:
        """The dialog that a request is in."""

    def early_of(self, request: Request) -> EarlyDialog | None:
        """The telephone that a request comes from, if our INVITE ever made it ring."""


class Offers:
    """What the peer wants of one call."""

    def __init__(
        self, core: Core, owner: OffersOwner, changes: Changes, timer: SessionTimer, *, line: Line | None
    ) -> None:
        self._core = core
        self._owner = owner
        self._changes = changes
        self._timer = timer
        self._line = line
        self._prompt: PromptOffer | None = None

    def leave(self, former: OffersOwner) -> None:
        """The session is gone; ``former`` stands in its place."""
        self._owner = former
        self._prompt = None

    @property
    def is_waiting(self) -> bool:
        """Whether an UPDATE or PRACK waits for the application's answer."""
        return self._prompt is not None

    @property
    def is_settled(self) -> bool:
        """Whether no offer is unanswered, so that we may make one."""
        return not (self._prompt or self._owes_answer or self._awaits_answer)

    def refuse_invite(self, request: Request) -> tuple[int, HeaderList] | None:
        """Say why a re-INVITE can't be taken now, if it can't."""
        server = self._owner.server
        if self._prompt is not None or (server is not None and server.is_pending):
            return 500, self._soon()
        if self._awaits_answer:
            return 491, ()
        return self._refuse_interval(request)

    def receive_update(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """An UPDATE (:rfc:`3311#section-5.2`): a mere refresh of the call, or an offer."""
        refusal = self._refuse_update(request, body)
        if refusal is not None:
            self._core.refuse(request, flow, *refusal, now=now)
            return
        self._changes.learn(request)
        if body:
            self._await_answer(request, flow, body, now)
        else:
            self._refresh_target(request, flow)
            self._respond(request, flow, self._renew(request, now), now)

    def receive_prack(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """A PRACK: our ringing was heard; it may bring the answer to our offer, or an offer (:rfc:`3262#section-5`)."""
        server = self._owner.server
        was_exchanged = server is not None and server.is_exchanged
        if server is None or server.receive_prack(request, body, now=now) is None:
            self._core.refuse(request, flow, 481, now=now)
            return
        if not body or not server.is_exchanged:
            self._respond(request, flow, (), now)
        elif server.is_late_offer and not was_exchanged:
            self._respond(request, flow, (), now)
            self._core.emit(EarlyAnswered(self._owner.handle, body))
        elif self.is_settled:
            self._await_answer(request, flow, body, now)
        else:
            self._core.refuse(request, flow, 491, now=now)
        server.proceed(now=now)

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Answer the offer that waits; what we wanted to offer ourselves is then out of date."""
        prompt, self._prompt = self._prompt, None
        if prompt is None:
            return
        request = prompt.request
        if request.method == "UPDATE":
            self._refresh_target(request, prompt.flow)
        early = self._owner.early_of(request)
        if early is not None:
            early.description = b""
        self._changes.overrule(now=now)
        self._changes.description = body
        prompt.accept([*self._renew(request, now), *headers], body, now=now)

    def reject(self, status: int, headers: HeaderList = (), *, reason: str | None = None, now: float) -> None:
        """Refuse the offer that waits; the call goes on as it was."""
        if self._prompt is not None:
            self._prompt.reject(status, headers, reason=reason, now=now)
            self._prompt = None

    def on_unprompted(self) -> None:
        """The application did not answer in time."""
        self._prompt = None

    @property
    def _owes_answer(self) -> bool:
        server = self._owner.server
        return server is not None and server.owes_answer

    @property
    def _awaits_answer(self) -> bool:
        """Whether an offer of ours waits for its answer, that of our first INVITE aside."""
        server = self._owner.server
        return self._changes.is_offering or (server is not None and server.awaits_answer)

    def _refuse_update(self, request: Request, body: bytes) -> tuple[int, HeaderList] | None:
        if self._prompt is not None or (body and self._owes_answer):
            return 500, self._soon()
        if body and (self._awaits_answer or self._is_unanswered_by(request)):
            return 491, ()
        return self._refuse_interval(request)

    def _refuse_interval(self, request: Request) -> tuple[int, HeaderList] | None:
        min_se = self._timer.refuses(request)
        return None if min_se is None else (422, min_se)

    def _is_unanswered_by(self, request: Request) -> bool:
        """Whether whoever asks still owes the answer to our first INVITE's offer."""
        early = self._owner.early_of(request)
        return self._owner.is_calling and (early is None or not early.is_exchanged)

    def _soon(self) -> HeaderList:
        return [("Retry-After", str(self._core.random.randint(0, RETRY_AFTER_MAX_S)))]

    def _await_answer(self, request: Request, flow: Flow, body: bytes, now: float) -> None:
        self._prompt = PromptOffer(self._core, request, flow, self, line=self._line)
        self._prompt.start(now=now)
        self._core.emit(Reinvited(self._owner.handle, request, body, is_update=True))

    def _refresh_target(self, request: Request, flow: Flow) -> None:
        dialog = self._owner.dialog_of(request)
        if dialog is not None:
            dialog.refresh_target(request, flow)

    def _renew(self, request: Request, now: float) -> HeaderList:
        """Let an UPDATE wind up the session timer of a call that is up; return what the 200 says of it."""
        dialog = self._owner.dialog
        if not self._owner.is_up or dialog is None or request.method != "UPDATE":
            return ()
        headers = self._timer.accept(request)
        self._changes.begin(dialog, now=now)
        return headers

    def _respond(self, request: Request, flow: Flow, headers: HeaderList, now: float) -> None:
        response = make_response(request, 200)
        add_headers(response.headers, self._core.session_headers(flow, b"", product="Server", line=self._line))
        add_headers(response.headers, headers)
        self._core.transactions.serve(request, flow).respond(response, now=now)
