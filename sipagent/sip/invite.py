"""An INVITE session: one call as SIP sees it, from its first INVITE to the last word of its goodbye.

It is a hub. What comes of an INVITE is the affair of :mod:`~sipagent.sip.invite_server` or
:mod:`~sipagent.sip.calling`, what we change of the call that of :mod:`~sipagent.sip.changes`, what the peer changes
that of :mod:`~sipagent.sip.offers`, addresses and order are the dialog's. What is left here is who may do what when. A
session that has told its end says nothing more, but stays until its BYE is answered.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.bye import Bye
from sipagent.sip.calling import Calling
from sipagent.sip.changes import Changes
from sipagent.sip.core import Core, HeaderList
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.early import EarlyDialog
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    Ended,
    Event,
    Flow,
    Hop,
    IncomingInvite,
    Progressed,
    ReinviteCancelled,
    Reinvited,
)
from sipagent.sip.former import FormerSession
from sipagent.sip.guard import Pass
from sipagent.sip.identity import Identity
from sipagent.sip.invite_server import InviteServer
from sipagent.sip.line import Line, timer_settings
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.midcall import MidCall
from sipagent.sip.offers import Offers
from sipagent.sip.refer import ReferTo
from sipagent.sip.replaces import Replaces
from sipagent.sip.session_timer import SessionTimer


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

    def __init__(self, core: Core, handle: int, phase: Phase, owner: SessionOwner, *, line: Line | None = None) -> None:
        self.handle = handle
        self.phase = phase
        self.line = line
        """The account that calls, or that was called; ``None`` for a call past all of them."""
        self.dialog: Dialog | None = None
        """The one that the call has come to; the early ones of our INVITE are found by :meth:`dialog_of`."""
        self.dialog_ids: frozenset[DialogId] = frozenset()
        """One has an empty remote tag as long as nobody answered our INVITE."""
        self.server: InviteServer | None = None
        """The last INVITE of the peer's."""
        self.may_refer = phase is Phase.OUTGOING
        """Whether the peer may ask us to call others: it is our PBX, has shown a password, or was called by us."""
        self.midcall = MidCall(core, self)
        self._core = core
        self._owner = owner
        self._calling: Calling | None = None
        self._timer = SessionTimer(timer_settings(line))
        is_ours = phase is Phase.OUTGOING
        self._changes = Changes(core, handle, self, self._timer, is_call_id_ours=is_ours, line=line)
        self._offers = Offers(core, self, self._changes, self._timer, line=line)
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
        self.server = InviteServer(self._core, request, flow, body, local_tag, self, line=self.line)
        self.server.start(now=now)
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
        early = self.early_of(request)
        return early.dialog if self.dialog is None and early is not None else self.dialog

    def early_of(self, request: Request) -> EarlyDialog | None:
        """Return the telephone that a request comes from, if our INVITE ever made it ring."""
        return None if self._calling is None else self._calling.early.find(request.from_.tag or "")

    @property
    def is_up(self) -> bool:
        """Whether the call was answered, and goes on."""
        return self.phase is Phase.CONFIRMED

    @property
    def is_calling(self) -> bool:
        """Whether our INVITE waits to be answered."""
        return self.phase is Phase.OUTGOING

    # Commands of the application.

    def ring(self, status: int, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a provisional response to the INVITE that waits."""
        if not 101 <= status <= 199:
            raise LocalProtocolError(f"{status} is no provisional response")
        server = self._waiting_server()
        server.ring(status, headers, body, now=now)
        if body and not server.is_exchanged:
            self._changes.description = body

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Accept the offer or INVITE that waits; what we wanted to offer ourselves is then out of date."""
        if self._offers.is_waiting:
            self._offers.accept(headers, body, now=now)
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
        if self._offers.is_waiting:
            self._offers.reject(status, headers, reason=reason, now=now)
            return
        self._waiting_server().reject(status, headers, reason=reason, now=now)
        if self.phase is Phase.INCOMING:
            self._end("rejected", status)
            self._leave()

    def reinvite(self, body: bytes, *, now: float) -> None:
        """Offer a new session description."""
        if not self.is_up or self.dialog is None or not body:
            raise LocalProtocolError("a re-INVITE needs a call that is up, and an offer")
        self._changes.reinvite(body, now=now)

    def update(self, body: bytes, tag: str = "", *, now: float) -> None:
        """Offer a new session description to a call that is up, or to one that rings and has agreed on its media."""
        if not body or self.phase is Phase.ENDED or not self._offers.is_settled:
            raise LocalProtocolError("an UPDATE needs an offer, and an end of all others")
        early = self._calling.early.find(tag) if self._calling is not None else None
        if self.phase is Phase.OUTGOING and (early is None or not early.is_exchanged):
            raise LocalProtocolError("this telephone has not answered our first offer")
        self._changes.update(body, early.dialog if self.dialog is None and early else self.dialog, now=now)

    def refresh(self, *, now: float) -> None:
        """Ask whether the peer still has the call."""
        if not self.is_up:
            raise LocalProtocolError("only a call that is up can be refreshed")
        self._changes.on_refresh_due(now=now)

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
        if self.server is not None and self.server.is_initial and self.server.is_pending:
            self._changes.stop(now=now)
            self.server.reject(480, headers, now=now)
            self._leave()
        elif phase is Phase.OUTGOING and self._calling is not None:
            self._changes.stop(now=now)
            self._calling.cancel(now=now)
        elif self.server is not None and self.server.is_accepted:
            self._bye_headers = headers
        else:
            self._say_goodbye(headers, now)

    # What the peer sends within the dialog.

    def receive_ack(self, request: Request, *, now: float) -> None:
        """An ACK."""
        if self.server is not None:
            self.server.receive_ack(request, now=now)

    def receive_bye(self, request: Request, flow: Flow, *, now: float) -> None:
        """A BYE; it may come before we answered, or cross ours (:rfc:`3261#section-15.1.2`)."""
        self._core.transactions.serve(request, flow).respond(make_response(request, 200), now=now)
        self._abandon_invites(now)
        self._end("bye")
        if self._bye is None:
            self._leave()

    def receive_reinvite(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """An INVITE (:rfc:`3261#section-14.2`); it may collide with ours, or with their own."""
        refusal = (481, ()) if self.phase is Phase.ENDED else self._offers.refuse_invite(request)
        if refusal is not None:
            self._core.refuse(request, flow, *refusal, now=now)
        elif self.dialog is not None:
            self._changes.learn(request)
            if self.server is not None:
                self.server.overtaken(now=now)
            tag = self.dialog.local.tag or ""
            self.server = InviteServer(self._core, request, flow, body, tag, self, line=self.line)
            self.server.start(now=now)
            self._core.emit(Reinvited(self.handle, request, body))

    def receive_update(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """An UPDATE, of a call that is up or rings."""
        if self.phase is Phase.ENDED:
            self._core.refuse(request, flow, 481, now=now)
        else:
            self._offers.receive_update(request, flow, body, now=now)

    def receive_prack(self, request: Request, flow: Flow, body: bytes, *, now: float) -> None:
        """A PRACK: our ringing was heard."""
        if self.phase is Phase.ENDED:
            self._core.refuse(request, flow, 481, now=now)
        else:
            self._offers.receive_prack(request, flow, body, now=now)

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
        if self.server is not None and self.server.is_initial:
            self._changes.stop(now=now)
            self._end(reason)
            self._leave()
        elif self.phase is Phase.CONFIRMED:
            self._core.emit(ReinviteCancelled(self.handle))

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
        return self.server is not None and (self.server.is_pending or self.server.is_accepted)

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
        if self.phase is Phase.ENDED or self.server is None or not self.server.is_unanswered:
            raise LocalProtocolError("no INVITE waits for an answer")
        return self.server

    def _abandon_invites(self, now: float) -> None:
        self._offers.reject(487, now=now)
        if self.server is not None:
            self.server.reject(487, now=now)
            self.server.stop()
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
        """Let go of everything that holds us; only transactions still do, until they end."""
        self._owner.on_gone(self)
        former = FormerSession(self.handle)
        self.midcall.leave(former)
        self._changes.leave(former)
        self._offers.leave(former)
        self.dialog = self.server = self._calling = self._bye = None


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
