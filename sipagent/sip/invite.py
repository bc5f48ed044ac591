"""An INVITE session: one call as SIP sees it, from its first INVITE to the last word of its goodbye.

It is a hub. What comes of an INVITE is the affair of :mod:`~sipagent.sip.invite_server` or
:mod:`~sipagent.sip.calling`, what we change of the call that of :mod:`~sipagent.sip.changes`, addresses and order are
the dialog's. What is left here is who may do what when: above all, one offer at a time. A session that has told its
end says nothing more, but stays until its BYE is answered.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.bye import Bye
from sipagent.sip.calling import Calling
from sipagent.sip.changes import Changes
from sipagent.sip.core import Core, HeaderList, add_headers
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    EarlyAnswered,
    Ended,
    Event,
    Flow,
    Hop,
    IncomingInvite,
    Progressed,
    ReinviteCancelled,
    Reinvited,
)
from sipagent.sip.guard import Pass
from sipagent.sip.identity import Identity
from sipagent.sip.invite_server import InviteServer
from sipagent.sip.line import Line, timer_settings
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.midcall import MidCall
from sipagent.sip.refer import ReferTo
from sipagent.sip.replaces import Replaces
from sipagent.sip.session_timer import SessionTimer
from sipagent.sip.update import PromptOffer

RETRY_AFTER_MAX_S = 10
"""What comes before we answered the last is told to come again within this (:rfc:`3261#section-14.2`)."""


class Phase(Enum):
    """What the application may do."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class SessionOwner(Protocol):
    """Whoever finds sessions by handle and by dialog."""

    def on_dialogs(self, session: "InviteSession", dialog_ids: frozenset[DialogId]) -> None:
        """What finds the session is about to change; ``session.dialog_ids`` are still the old ones."""

    def on_gone(self, session: "InviteSession") -> None:
        """The session expects no more messages."""


class InviteSession:
    """One call; it begins with :meth:`receive` or :meth:`send`."""

    def __init__(
        self, core: Core, handle: int, phase: Phase, owner: SessionOwner, *, line: Line | None = None
    ) -> None:
        self.handle = handle
        self.phase = phase
        self.line = line
        """The account that calls, or that was called; ``None`` for a call past all of them."""
        self.dialog: Dialog | None = None
        """The one that the call has come to; the early ones of our INVITE are found by :meth:`dialog_of`."""
        self.dialog_ids: frozenset[DialogId] = frozenset()
        """One has an empty remote tag as long as nobody answered our INVITE."""
        self.may_refer = phase is Phase.OUTGOING
        """Whether the peer may ask us to call others: it is our PBX, has shown a password, or was called by us."""
        self.midcall = MidCall(core, self)
        self._core = core
        self._owner = owner
        self._server: InviteServer | None = None
        self._calling: Calling | None = None
        self._prompt: PromptOffer | None = None
        self._timer = SessionTimer(timer_settings(line))
        is_ours = phase is Phase.OUTGOING
        self._changes = Changes(core, handle, self, self._timer, is_call_id_ours=is_ours, line=line)
        self._bye: Bye | None = None
        self._bye_headers: HeaderList = ()

    def receive(
        self, request: Request, flow: Flow, body: bytes, passed: Pass, *, now: float, replaces: int | None = None
    ) -> None:
        """Begin with an INVITE that came, from whom the guard let pass."""
        self.may_refer = passed.is_trusted or passed.username is not None
        local_tag = self._core.new_identifier()
        self._set_dialog(Dialog.from_request(request, local_tag, flow))
        self._changes.learn(request)
        self._server = InviteServer(self._core, request, flow, body, local_tag, self, line=self.line)
        self._server.start(now=now)
        who = (passed.line, passed.is_trusted, passed.username)
        us = self.line.account.contact_user if self.line is not None else self._core.settings.contact_user
        identity = Identity.from_request(request, is_trusted=passed.is_trusted, contact_user=us)
        self._core.emit(IncomingInvite(self.handle, request, flow, body, identity, *who, replaces))

    def send(self, request: Request, hop: Hop, *, now: float) -> None:
        """Begin with an INVITE of ours."""
        self._set_dialog_ids(frozenset({(request.call_id, request.from_.tag or "", "")}))
        self._calling = Calling(self._core, request, hop, self, timer=self._timer, line=self.line)
        self._calling.start(now=now)
        self._changes.description = request.body

    def dialog_of(self, request: Request) -> Dialog | None:
        """Return the dialog that a request of the peer's is in, which may still be an early one."""
        if self.dialog is not None or self._calling is None:
            return self.dialog
        early = self._calling.early.find(request.from_.tag or "")
        return None if early is None else early.dialog

    # Commands of the application.

    def ring(self, status: int, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a provisional response to the INVITE that waits."""
        if not 101 <= status <= 199:
            raise LocalProtocolError(f"{status} is no provisional response")
        self._waiting_server().ring(status, headers, body, now=now)
        self._changes.description = body or self._changes.description

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Accept the offer or INVITE that waits; what we wanted to offer ourselves is then out of date."""
        if self._prompt is not None:
            self._accept_prompt(self._prompt, headers, body, now)
            return
        server, dialog = self._waiting_server(), self.dialog
        if not server.is_initial and dialog is not None:
            dialog.refresh_target(server.request, server.flow)
            self._changes.overrule(now=now)
        self.phase = Phase.CONFIRMED
        if not server.is_exchanged:
            self._changes.description = body
        server.accept([*self._timer.accept(server.request), *headers], body, now=now)
        if dialog is not None:
            self._changes.begin(dialog, now=now)

    def reject(self, status: int, headers: HeaderList, *, reason: str | None, now: float) -> None:
        """Refuse the INVITE that waits, which ends the call, or a change of the call, which does not."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"{status} is no refusal")
        if self._prompt is not None:
            self._prompt.reject(status, headers, reason=reason, now=now)
            self._prompt = None
            return
        self._waiting_server().reject(status, headers, reason=reason, now=now)
        if self.phase is Phase.INCOMING:
            self._end("rejected", status)
            self._leave()

    def reinvite(self, body: bytes, *, now: float) -> None:
        """Offer a new session description."""
        if self.phase is not Phase.CONFIRMED or self.dialog is None or not body:
            raise LocalProtocolError("a re-INVITE needs a call that is up, and an offer")
        self._changes.reinvite(body, now=now)

    def update(self, body: bytes, tag: str = "", *, now: float) -> None:
        """Offer a new session description to a call that is up, or to one that rings and has agreed on its media."""
        if not body or self.phase is Phase.ENDED or self._prompt is not None or self._owes_answer or self._is_awaiting:
            raise LocalProtocolError("an UPDATE needs an offer, and an end of all others")
        early = self._calling.early.find(tag) if self._calling is not None else None
        if self.phase is Phase.OUTGOING and (early is None or not early.is_exchanged):
            raise LocalProtocolError("this telephone has not answered our first offer")
        self._changes.update(body, early.dialog if self.dialog is None and early else self.dialog, now=now)

    def refer(self, refer_to: ReferTo, headers: HeaderList, *, now: float) -> None:
        """Ask the peer to call somebody else."""
        if self.phase is not Phase.CONFIRMED:
            raise LocalProtocolError("a REFER needs a call that is up")
        self.midcall.refer(refer_to, headers, now=now)

    def hang_up(self, headers: HeaderList, *, now: float) -> None:
        """End the call by a refusal, a CANCEL, or a BYE, which waits for the ACK of our 2xx."""
        phase = self.phase
        if phase is Phase.ENDED:
            raise LocalProtocolError("the call has ended")
        self._end("hung_up")
        if self._server is not None and self._server.is_initial and self._server.is_pending:
            self._changes.stop(now=now)
            self._server.reject(480, headers, now=now)
            self._leave()
        elif phase is Phase.OUTGOING and self._calling is not None:
            self._changes.stop(now=now)
            self._calling.cancel(now=now)
        elif self._server is not None and self._server.is_accepted:
            self._bye_headers = headers
        else:
            self._say_goodbye(headers, now)

    # What the peer sends within the dialog.

    def receive_ack(self, request: Request, *, now: float) -> None:
        """An ACK."""
        if self._server is not None:
            self._server.receive_ack(request, now=now)

    def receive_bye(self, request: Request, flow: Flow, *, now: float) -> None:
        """A BYE; it may come before we answered, or cross ours (:rfc:`3261#section-15.1.2`)."""
        self._core.transactions.serve(request, flow).respond(make_response(request, 200), now=now)
        self._abandon_invites(now)
        self._end("bye")
        if self._bye is None:
            self._leave()

    def receive_reinvite(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """An INVITE (:rfc:`3261#section-14.2`); it may collide with ours, or with their own."""
        refusal = self._refuse_reinvite(request)
        if refusal is not None:
            self._core.refuse(request, flow, *refusal, now=now)
        elif self.dialog is not None:
            self._changes.learn(request)
            if self._server is not None:
                self._server.overtaken(now=now)
            tag = self.dialog.local.tag or ""
            self._server = InviteServer(self._core, request, flow, body, tag, self, line=self.line)
            self._server.start(now=now)
            self._core.emit(Reinvited(self.handle, request, body))

    def receive_update(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """An UPDATE (:rfc:`3311#section-5.2`): a mere refresh of the call, or an offer."""
        refusal = self._refuse_update(request, body)
        dialog = self.dialog_of(request)
        if refusal is not None or dialog is None:
            self._core.refuse(request, flow, *(refusal or (481, ())), now=now)
            return
        self._changes.learn(request)
        if body:
            self._await_prompt(request, flow, body, now)
        else:
            dialog.refresh_target(request, flow)
            self._respond(request, flow, self._renew(request, now), now)

    def receive_prack(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """A PRACK: our ringing was heard; it may bring the answer to our offer, or an offer (:rfc:`3262#section-5`)."""
        server = None if self.phase is Phase.ENDED else self._server
        was_exchanged = server is not None and server.is_exchanged
        if server is None or server.receive_prack(request, body, now=now) is None:
            self._core.refuse(request, flow, 481, now=now)
            return
        if not body or not server.is_exchanged:
            self._respond(request, flow, (), now)
        elif server.is_late_offer and not was_exchanged:
            self._respond(request, flow, (), now)
            self._core.emit(EarlyAnswered(self.handle, body))
        else:
            self._await_prompt(request, flow, body, now)
        server.proceed(now=now)

    def receive_midcall(self, request: Request, flow: Flow, *, now: float) -> None:
        """A REFER, NOTIFY or INFO; once the call has ended, what our REFER has come to is still heard politely."""
        if self.phase is Phase.ENDED and request.method != "NOTIFY":
            self._core.refuse(request, flow, 481, now=now)
        elif self.phase is not Phase.CONFIRMED and request.method == "REFER":
            self._core.refuse(request, flow, 403, now=now)
        else:
            self.midcall.receive(request, flow, now=now)

    def flow_failed(self, flow: Flow) -> None:
        """A connection is lost; the call is not."""
        if self.dialog is not None:
            self.dialog.flow_failed(flow)

    # What becomes of an INVITE that came.

    def on_acknowledged(self, body: bytes, *, now: float) -> None:
        """The ACK came; a BYE that had to wait for it may go (:rfc:`3261#section-15`)."""
        if self.phase is Phase.CONFIRMED:
            self._core.emit(Acknowledged(self.handle, body))
        else:
            self._say_goodbye(self._bye_headers, now)

    def on_unacknowledged(self, *, now: float) -> None:
        """The peer never confirmed the call: it ends (:rfc:`3261#section-13.3.1.4`)."""
        self._end("no_ack")
        self._say_goodbye(self._bye_headers, now)

    def on_withdrawn(self, reason: str, *, now: float) -> None:
        """The INVITE is refused, and not by the application: ``cancelled``, ``timeout``, ``transport``, ``no_ack``."""
        if self._server is not None and self._server.is_initial:
            self._changes.stop(now=now)
            self._end(reason)
            self._leave()
        elif self.phase is Phase.CONFIRMED:
            self._core.emit(ReinviteCancelled(self.handle))

    def on_unprompted(self) -> None:
        """The application did not answer an UPDATE."""
        self._prompt = None

    # What becomes of the INVITE that we began with.

    def on_early_dialog(self, dialog_id: DialogId) -> None:
        """A telephone rings."""
        self._set_dialog_ids(self.dialog_ids | {dialog_id})

    def on_ringing(self, response: Response, body: bytes) -> None:
        """It says so, and may be heard."""
        self._changes.learn(response)
        if self.phase is Phase.OUTGOING:
            self._core.emit(Progressed(self.handle, response, body))

    def on_answered(self, dialog: Dialog, response: Response, body: bytes, *, is_expired: bool, now: float) -> None:
        """Somebody answers: the call is up, unless it is not wanted any more."""
        self._set_dialog(dialog)
        if self.phase is Phase.OUTGOING and not is_expired:
            self.phase = Phase.CONFIRMED
            self._changes.learn(response)
            self._timer.receive_success(response)
            self._changes.begin(dialog, now=now)
            self._core.emit(Accepted(self.handle, response, body))
        else:
            self._end("timeout")
            self._say_goodbye((), now)

    def on_unanswered(self, reason: str, status: int | None, *, now: float) -> None:
        """Nobody answers, or nobody heard."""
        self._changes.stop(now=now)
        self._end(reason, status)
        self._leave()

    # What becomes of our changes, and of our BYE.

    @property
    def is_peer_inviting(self) -> bool:
        """Whether an INVITE of the peer's waits for our answer, or our 2xx for its ACK."""
        return self._server is not None and (self._server.is_pending or self._server.is_accepted)

    def tell(self, event: Event) -> None:
        """Something happened to the call, if it still is."""
        if self.phase is not Phase.ENDED:
            self._core.emit(event)

    def give_up(self, reason: str, status: int | None, headers: HeaderList = (), *, now: float) -> None:
        """There is no such call any more."""
        if self.phase is Phase.CONFIRMED:
            self._end(reason, status)
            self._say_goodbye(headers, now)

    def on_goodbye(self) -> None:
        """Our BYE is answered, or never will be."""
        self._leave()

    def _waiting_server(self) -> InviteServer:
        if self.phase is Phase.ENDED or self._server is None or not self._server.is_unanswered:
            raise LocalProtocolError("no INVITE waits for an answer")
        return self._server

    @property
    def _owes_answer(self) -> bool:
        return self._server is not None and self._server.owes_answer

    @property
    def _is_awaiting(self) -> bool:
        """Whether an offer of ours waits for its answer within the dialog that is up."""
        return self._changes.is_offering or (self._server is not None and self._server.awaits_answer)

    def _refuse_reinvite(self, request: Request) -> tuple[int, HeaderList] | None:
        """Say why an INVITE can't be taken now, if it can't."""
        if self.phase is Phase.ENDED:
            return 481, ()
        if self._prompt is not None or (self._server is not None and self._server.is_pending):
            return 500, self._soon()
        if self._is_awaiting:
            return 491, ()
        min_se = self._timer.refuses(request)
        return None if min_se is None else (422, min_se)

    def _refuse_update(self, request: Request, body: bytes) -> tuple[int, HeaderList] | None:
        """Say why an UPDATE can't be taken now, if it can't (:rfc:`3311#section-5.2`)."""
        if self.phase is Phase.ENDED:
            return 481, ()
        if self._prompt is not None or (body and self._owes_answer):
            return 500, self._soon()
        if body and (self._is_awaiting or self._is_unanswered_by(request)):
            return 491, ()
        min_se = self._timer.refuses(request)
        return None if min_se is None else (422, min_se)

    def _is_unanswered_by(self, request: Request) -> bool:
        """Whether whoever asks still owes the answer to our INVITE's offer."""
        early = self._calling.early.find(request.from_.tag or "") if self._calling is not None else None
        return self.phase is Phase.OUTGOING and (early is None or not early.is_exchanged)

    def _soon(self) -> HeaderList:
        return [("Retry-After", str(self._core.random.randint(0, RETRY_AFTER_MAX_S)))]

    def _await_prompt(self, request: Request, flow: Flow, body: bytes, now: float) -> None:
        self._prompt = PromptOffer(self._core, request, flow, self, line=self.line)
        self._prompt.start(now=now)
        self._core.emit(Reinvited(self.handle, request, body, is_update=True))

    def _accept_prompt(self, prompt: PromptOffer, headers: HeaderList, body: bytes, now: float) -> None:
        self._prompt = None
        dialog = self.dialog_of(prompt.request)
        if dialog is not None and prompt.request.method == "UPDATE":
            dialog.refresh_target(prompt.request, prompt.flow)
        early = self._calling.early.find(prompt.request.from_.tag or "") if self._calling is not None else None
        if early is not None:
            early.description = b""
        self._changes.overrule(now=now)
        self._changes.description = body
        prompt.accept([*self._renew(prompt.request, now), *headers], body, now=now)

    def _renew(self, request: Request, now: float) -> HeaderList:
        """Let an UPDATE wind up the session timer of a call that is up; return what the 200 says of it."""
        if self.phase is not Phase.CONFIRMED or self.dialog is None or request.method != "UPDATE":
            return ()
        headers = self._timer.accept(request)
        self._changes.begin(self.dialog, now=now)
        return headers

    def _respond(self, request: Request, flow: Flow, headers: HeaderList, now: float) -> None:
        response = make_response(request, 200)
        add_headers(response.headers, self._core.session_headers(flow, b"", product="Server", line=self.line))
        add_headers(response.headers, headers)
        self._core.transactions.serve(request, flow).respond(response, now=now)

    def _abandon_invites(self, now: float) -> None:
        if self._prompt is not None:
            self._prompt.reject(487, now=now)
            self._prompt = None
        if self._server is not None:
            self._server.reject(487, now=now)
            self._server.stop()
        self._changes.stop(now=now)

    def _say_goodbye(self, headers: HeaderList, now: float) -> None:
        if self.dialog is not None and self._bye is None:
            self._abandon_invites(now)
            self._bye = Bye(self._core, self.dialog, headers, self)
            self._bye.start(now=now)

    def _set_dialog(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self._set_dialog_ids(frozenset({dialog.id}))

    def _set_dialog_ids(self, dialog_ids: frozenset[DialogId]) -> None:
        self._owner.on_dialogs(self, dialog_ids)
        self.dialog_ids = dialog_ids

    def _end(self, reason: str, status: int | None = None) -> None:
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self.midcall.stop()
            self._core.emit(Ended(self.handle, reason, status))

    def _leave(self) -> None:
        self._owner.on_gone(self)


def find_replaced(
    request: Request, sessions: Mapping[DialogId, InviteSession], *, is_trusted: bool
) -> InviteSession | None:
    """Find the call whose place an INVITE is to take, if it is to take one (:rfc:`3891#section-3`).

    :raises RemoteProtocolError: when it may not, with the status that says why.
    """
    replaces = Replaces.of_request(request.headers)
    if replaces is None:
        return None
    if not is_trusted:
        raise RemoteProtocolError("who is not trusted takes no place", status=403)
    session = sessions.get(replaces.dialog_id)
    if session is None or session.phase in (Phase.INCOMING, Phase.OUTGOING):
        raise RemoteProtocolError("there is no such call, or nobody answered it yet", status=481)
    if session.phase is Phase.ENDED:
        raise RemoteProtocolError("the call has ended", status=603)
    if replaces.early_only:
        raise RemoteProtocolError("the call is answered", status=486)
    return session
