"""An INVITE session: one call as SIP sees it, from its first INVITE to the last word of its goodbye.

It is a hub. What comes of an INVITE is the affair of :mod:`~sipagent.sip.invite_server` or
:mod:`~sipagent.sip.invite_client`, a change of the call that of :mod:`~sipagent.sip.reinvite`, addresses and order are
the dialog's. What is left here is who may do what when. A session that has told its end says nothing more, but stays
until its BYE is answered.
"""

from enum import Enum
from typing import Protocol

from sipagent.errors import LocalProtocolError
from sipagent.sip.bye import Bye
from sipagent.sip.client import Client
from sipagent.sip.core import CONTENT_TYPE, Core, HeaderList
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.events import (
    Accepted,
    Acknowledged,
    Ended,
    Flow,
    Hop,
    IncomingInvite,
    Progressed,
    ReinviteCancelled,
    Reinvited,
    ReinviteRejected,
)
from sipagent.sip.guard import Pass
from sipagent.sip.invite_client import InviteClient
from sipagent.sip.invite_server import InviteServer
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.reinvite import Reinvite

RETRY_AFTER_MAX_S = 10
"""A second re-INVITE before the first was answered is told to come again within this (:rfc:`3261#section-14.2`)."""


class Phase(Enum):
    """What the application may do."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class SessionOwner(Protocol):
    """Whoever finds sessions by handle and by dialog."""

    def on_dialog(self, session: "InviteSession", dialog_id: DialogId) -> None:
        """What finds the session is about to change; ``session.dialog_id`` is still the old one."""

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
        self.dialog_id: DialogId = ("", "", "")
        """With an empty remote tag as long as nobody answered our INVITE."""
        self._core = core
        self._owner = owner
        self._is_call_id_ours = phase is Phase.OUTGOING
        self._server: InviteServer | None = None
        self._client: InviteClient | None = None
        self._reinvite: Reinvite | None = None
        self._bye: Bye | None = None
        self._bye_headers: HeaderList = ()

    def receive(self, request: Request, flow: Flow, body: bytes, passed: Pass, *, now: float) -> None:
        """Begin with an INVITE that came, from whom the guard let pass."""
        local_tag = self._core.new_identifier()
        self._set_dialog(Dialog.from_request(request, local_tag, flow))
        self._server = InviteServer(self._core, request, flow, body, local_tag, self, line=self.line)
        self._server.start(now=now)
        who = (passed.line, passed.is_trusted, passed.username)
        self._core.emit(IncomingInvite(self.handle, request, flow, body, *who))

    def send(self, request: Request, hop: Hop, *, now: float) -> None:
        """Begin with an INVITE of ours."""
        self._set_dialog_id((request.call_id, request.from_.tag or "", ""))
        self._client = InviteClient(self._core, request, hop, self, line=self.line)
        self._client.start(now=now)

    # Commands of the application.

    def ring(self, status: int, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Send a provisional response to the INVITE that waits."""
        if not 101 <= status <= 199:
            raise LocalProtocolError(f"{status} is no provisional response")
        self._waiting_server().ring(status, headers, body, now=now)

    def accept(self, headers: HeaderList, body: bytes, *, now: float) -> None:
        """Accept the INVITE or re-INVITE that waits; what we wanted to offer ourselves is then out of date."""
        server = self._waiting_server()
        if self.phase is Phase.CONFIRMED and self.dialog is not None:
            self.dialog.refresh_target(server.request, server.flow)
            if self._reinvite is not None:
                self._reinvite.stop(now=now)
                self._finish_reinvite(ReinviteRejected(self.handle, 491))
        self.phase = Phase.CONFIRMED
        server.accept(headers, body, now=now)

    def reject(self, status: int, headers: HeaderList, *, reason: str | None, now: float) -> None:
        """Refuse the INVITE that waits, which ends the call, or the re-INVITE, which does not."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"{status} is no refusal")
        self._waiting_server().reject(status, headers, reason=reason, now=now)
        if self.phase is Phase.INCOMING:
            self._end("rejected", status)
            self._leave()

    def reinvite(self, body: bytes, *, now: float) -> None:
        """Offer a new session description."""
        if self.phase is not Phase.CONFIRMED or self.dialog is None or not body:
            raise LocalProtocolError("a re-INVITE needs a call that is up, and an offer")
        if self._reinvite is not None or self.is_peer_inviting:
            raise LocalProtocolError("another INVITE is still in progress")
        self._reinvite = Reinvite(
            self._core, self.dialog, body, self, is_call_id_ours=self._is_call_id_ours, line=self.line
        )
        self._reinvite.start(now=now)

    def hang_up(self, headers: HeaderList, *, now: float) -> None:
        """End the call by a refusal, a CANCEL, or a BYE, which waits for the ACK of our 2xx."""
        phase = self.phase
        if phase is Phase.ENDED:
            raise LocalProtocolError("the call has ended")
        self._end("hung_up")
        if phase is Phase.INCOMING and self._server is not None:
            self._server.reject(480, headers, now=now)
            self._leave()
        elif phase is Phase.OUTGOING and self._client is not None:
            self._client.cancel(now=now)
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
        refusal = self._refuse_reinvite()
        if refusal is not None:
            self._core.refuse(request, flow, *refusal, now=now)
        elif self.dialog is not None:
            if self._server is not None:
                self._server.overtaken(now=now)
            tag = self.dialog.local.tag or ""
            self._server = InviteServer(self._core, request, flow, body, tag, self, line=self.line)
            self._server.start(now=now)
            self._core.emit(Reinvited(self.handle, request, body))

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

    def on_withdrawn(self, reason: str) -> None:
        """The INVITE is refused, and not by the application: ``cancelled``, ``timeout`` or ``transport``."""
        if self.phase is Phase.INCOMING:
            self._end(reason)
            self._leave()
        elif self.phase is Phase.CONFIRMED:
            self._core.emit(ReinviteCancelled(self.handle))

    # What becomes of the INVITE that we began with.

    def on_provisional(self, response: Response) -> None:
        """It rings."""
        if self.phase is Phase.OUTGOING:
            self._core.emit(Progressed(self.handle, response, response.content(CONTENT_TYPE) or b""))

    def on_accepted(self, client: InviteClient, response: Response, *, now: float) -> None:
        """Somebody answers: the call is up, or it is not wanted any more, or it is up with somebody else already.

        In the last two cases it is acknowledged all the same, and then hung up (:rfc:`3261#section-13.2.2.4`).
        """
        dialog = Dialog.from_response(client.request, response, client.flow)
        client.acknowledge(dialog, response)
        if self.dialog is not None:
            self._core.counters["forks_hung_up"] += 1
            Client(self._core, dialog.make_request("BYE"), dialog.hop()).start(now=now)
            return
        self._set_dialog(dialog)
        if self.phase is Phase.OUTGOING and not client.is_expired:
            self.phase = Phase.CONFIRMED
            self._core.emit(Accepted(self.handle, response, response.content(CONTENT_TYPE) or b""))
        else:
            self._end("timeout")
            self._say_goodbye((), now)

    def on_refused(self, client: InviteClient, status: int, *, now: float) -> None:
        """Nobody answers; after we gave up waiting, the refusal only confirms it."""
        if client.is_expired:
            self._end("timeout")
        else:
            self._end("rejected", status)
        self._leave()

    def on_failed(self, failure: str, *, now: float) -> None:
        """Nobody heard."""
        self._end(failure)
        self._leave()

    # What becomes of a re-INVITE of ours, and of our BYE.

    @property
    def is_peer_inviting(self) -> bool:
        """Whether an INVITE of the peer's waits for our answer, or our 2xx for its ACK."""
        return self._server is not None and (self._server.is_unanswered or self._server.is_accepted)

    def on_reinvite_accepted(self, response: Response) -> None:
        """The session has changed."""
        self._finish_reinvite(Accepted(self.handle, response, response.content(CONTENT_TYPE) or b""))

    def on_reinvite_refused(self, status: int, *, now: float) -> None:
        """The call goes on as before, unless the peer knows of none or is silent (:rfc:`3261#section-14.1`)."""
        if status in (408, 481) and self.phase is Phase.CONFIRMED:
            self._reinvite = None
            self._end("timeout" if status == 408 else "rejected", status)
            self._say_goodbye((), now)
        else:
            self._finish_reinvite(ReinviteRejected(self.handle, status))

    def on_goodbye(self) -> None:
        """Our BYE is answered, or never will be."""
        self._leave()

    def _waiting_server(self) -> InviteServer:
        if self.phase is Phase.ENDED or self._server is None or not self._server.is_unanswered:
            raise LocalProtocolError("no INVITE waits for an answer")
        return self._server

    def _refuse_reinvite(self) -> tuple[int, HeaderList] | None:
        """Say why an INVITE can't be taken now, if it can't."""
        if self.phase is Phase.ENDED:
            return 481, ()
        if self._server is not None and self._server.is_unanswered:
            return 500, [("Retry-After", str(self._core.random.randint(0, RETRY_AFTER_MAX_S)))]
        if self._reinvite is not None and self._reinvite.is_on_the_way:
            return 491, ()
        if self._server is not None and self._server.awaits_answer:
            return 491, ()
        return None

    def _finish_reinvite(self, event: Accepted | ReinviteRejected) -> None:
        self._reinvite = None
        if self.phase is Phase.CONFIRMED:
            self._core.emit(event)

    def _abandon_invites(self, now: float) -> None:
        if self._server is not None:
            self._server.reject(487, now=now)
            self._server.stop()
        if self._reinvite is not None:
            self._reinvite.stop(now=now)

    def _say_goodbye(self, headers: HeaderList, now: float) -> None:
        if self.dialog is not None and self._bye is None:
            self._abandon_invites(now)
            self._bye = Bye(self._core, self.dialog, headers, self)
            self._bye.start(now=now)

    def _set_dialog(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self._set_dialog_id(dialog.id)

    def _set_dialog_id(self, dialog_id: DialogId) -> None:
        self._owner.on_dialog(self, dialog_id)
        self.dialog_id = dialog_id

    def _end(self, reason: str, status: int | None = None) -> None:
        if self.phase is not Phase.ENDED:
            self.phase = Phase.ENDED
            self._core.emit(Ended(self.handle, reason, status))

    def _leave(self) -> None:
        self._owner.on_gone(self)
