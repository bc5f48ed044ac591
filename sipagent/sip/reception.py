"""What becomes of a request that comes.

It goes to its transaction, else to its session, else it is judged here (:rfc:`3261#section-8.2`): a new call, a
question that is answered at once, or a refusal. What a stranger can make us remember is bounded; refusals are answered
and forgotten. An ACK is never answered.
"""

from collections.abc import Callable, Mapping

from sipagent.errors import RemoteProtocolError
from sipagent.sip.core import CONTENT_TYPE, Core
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow
from sipagent.sip.guard import Pass, Refuse
from sipagent.sip.invite import InviteSession, Phase, find_replaced
from sipagent.sip.line import Line
from sipagent.sip.message import Request, make_response
from sipagent.sip.refusals import find_refusal, find_timer_refusal
from sipagent.sip.sessions import Sessions


class Reception:
    """Takes every request.

    :param lines: by name.
    """

    def __init__(self, core: Core, sessions: Sessions, lines: Mapping[str, Line]) -> None:
        self.is_draining = False
        """Whether new calls are refused with 503, and OPTIONS answered so."""
        self.is_ready = True
        """Whether OPTIONS is answered with 200 or, as long as no call would succeed, with 503."""
        self.has_room: Callable[[], bool] = _always
        """Says whether a call would be taken now; when none would, OPTIONS is answered with 503 as well."""
        self._core = core
        self._sessions = sessions
        self._lines = lines
        self._lines_by_contact = {line.account.contact_user: line for line in lines.values()}
        self._size = 0
        """Octets of the request that is being received."""

    def receive(self, request: Request, flow: Flow, *, size: int, now: float) -> None:
        """Take a request of so many octets, whose top Via says where it came from."""
        self._size = size
        if self._core.transactions.receive_request(request, now=now):
            return
        match request.method:
            case "ACK":
                self._on_ack(request, flow, now)
            case "CANCEL":
                self._on_cancel(request, flow, now)
            case _:
                self._judge(request, flow, now)

    def _judge(self, request: Request, flow: Flow, now: float) -> None:
        passed = self._let_pass(request, flow, now)
        if passed is None:
            return
        refusal = find_refusal(request)
        if refusal is not None:
            self._core.reply(request, flow, *refusal)
        elif request.to.tag:
            self._on_request_within(request, flow, now)
        elif request.method == "INVITE":
            self._on_invite(request, flow, passed, now)
        elif request.method == "OPTIONS":
            self._on_options(request, flow)
        else:
            self._core.reply(request, flow, 403 if request.method == "REFER" else 481)

    def _let_pass(self, request: Request, flow: Flow, now: float) -> Pass | None:
        """Have the guard judge who asks; what does not pass is answered here, or not at all."""
        guard = self._core.guard
        if guard is None:
            line = self._lines_by_contact.get(request.uri.user or "")
            return Pass(line.account.name if line else "", is_trusted=False)
        if request.to.tag:
            session = self._sessions.find(request)
            dialog = session.dialog_of(request) if session is not None else None
            home = dialog.flow if dialog is not None else None
            judgement = guard.judge_within(flow, home, now=now)
        else:
            judgement = guard.judge(request, flow, now=now)
        match judgement:
            case Pass():
                return judgement
            case Refuse(status, headers) if request.method != "ACK":
                self._core.reply_to_anybody(request, flow, status, headers, size=self._size, now=now)
        return None

    def _on_ack(self, request: Request, flow: Flow, now: float) -> None:
        session = self._sessions.find(request)
        if session is not None and self._let_pass(request, flow, now):
            session.receive_ack(request, now=now)
        else:
            self._core.counters["stray_acks"] += 1

    def _on_cancel(self, request: Request, flow: Flow, now: float) -> None:
        """Answer the CANCEL, then the INVITE it is about (:rfc:`3261#section-9.2`)."""
        invite = self._core.transactions.find_invite(request)
        if invite is None:
            self._core.reply_to_anybody(request, flow, 481, size=self._size, now=now)
            return
        cancel = self._core.transactions.serve(request, flow)
        cancel.respond(make_response(request, 200, to_tag=invite.server.local_tag or None), now=now)
        invite.server.receive_cancel(now=now)

    def _on_invite(self, request: Request, flow: Flow, passed: Pass, now: float) -> None:
        if self._core.transactions.is_merged(request):
            self._core.reply(request, flow, 482)
            return
        try:
            replaced = find_replaced(request, self._sessions.by_dialog, is_trusted=passed.is_trusted)
        except RemoteProtocolError as error:
            self._core.reply(request, flow, error.status)
            return
        if (self.is_draining and replaced is None) or self._is_full:
            self._core.reply(request, flow, 503, self._core.retry_after())
        else:
            body = request.content(CONTENT_TYPE) or b""
            line = self._lines.get(passed.line)
            refusal = find_timer_refusal(request, line)
            if refusal is not None:
                self._core.reply(request, flow, *refusal)
            else:
                handle = replaced.handle if replaced else None
                session = self._sessions.open(Phase.INCOMING, line)
                session.receive(request, flow, body, passed, now=now, replaces=handle)

    def _on_options(self, request: Request, flow: Flow) -> None:
        """Answer with the status that an INVITE would get (:rfc:`3261#section-11.2`)."""
        if self.is_draining or not self.is_ready or self._is_full or not self.has_room():
            self._core.reply(request, flow, 503, self._core.retry_after())
        else:
            self._describe(request, flow)

    def _describe(self, request: Request, flow: Flow) -> None:
        """Say what we can."""
        headers = self._core.session_headers(flow, b"", product="Server")
        accept = [("Accept", CONTENT_TYPE), ("Accept-Encoding", "identity"), ("Accept-Language", "en")]
        self._core.reply(request, flow, 200, [*headers, *accept])

    def _on_request_within(self, request: Request, flow: Flow, now: float) -> None:
        session = self._sessions.find(request)
        dialog = session.dialog_of(request) if session is not None else None
        if session is None or dialog is None or (session.dialog is None and request.method in ("BYE", "INVITE")):
            self._core.reply(request, flow, 491 if self._sessions.is_ahead(request) else 481)
        elif request.method == "OPTIONS":
            self._on_options_within(dialog, request, flow)
        elif self._core.transactions.is_full:
            self._core.reply(request, flow, 503, self._core.retry_after())
        elif not dialog.receive_sequence(request):
            self._core.refuse(request, flow, 500, now=now)
        else:
            self._on_session_request(session, request, flow, now)

    def _on_session_request(self, session: InviteSession, request: Request, flow: Flow, now: float) -> None:
        body = request.content(CONTENT_TYPE) or b""
        match request.method:
            case "BYE":
                session.receive_bye(request, flow, now=now)
            case "INVITE":
                session.receive_reinvite(request, flow, body, now=now)
            case "UPDATE":
                session.receive_update(request, flow, body, now=now)
            case "PRACK":
                session.receive_prack(request, flow, body, now=now)
            case _:
                session.receive_midcall(request, flow, now=now)

    def _on_options_within(self, dialog: Dialog, request: Request, flow: Flow) -> None:
        if dialog.receive_sequence(request):
            self._describe(request, flow)
        else:
            self._core.reply(request, flow, 500)

    @property
    def _is_full(self) -> bool:
        return self._sessions.is_full or self._core.transactions.is_full


def _always() -> bool:
    """Nobody counts calls."""
    return True
