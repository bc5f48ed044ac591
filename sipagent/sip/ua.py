"""The user agent: every SIP message of this endpoint comes in here, and every one goes out.

A message goes to its transaction, else to its session, else it is judged here (:rfc:`3261#section-8.2`): a new call,
a question that is answered at once, or a refusal. What a stranger can make us remember is bounded; refusals are
answered and forgotten. A response is never answered, nor is an ACK.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.account import Account
from sipagent.sip.core import CONTENT_TYPE, Core, HeaderList, UserAgentSettings, check_headers
from sipagent.sip.dialog import Dialog, DialogId
from sipagent.sip.discovery import Discovery
from sipagent.sip.events import Address, Event, Flow, Hop
from sipagent.sip.finder import PeerFinder
from sipagent.sip.guard import Pass, Refuse
from sipagent.sip.headers import NameAddr
from sipagent.sip.invite import InviteSession, Phase, find_replaced
from sipagent.sip.line import Line
from sipagent.sip.message import MessageError, Request, Response, make_response, parse_message
from sipagent.sip.midcall import MidCall
from sipagent.sip.refer import ReferTo
from sipagent.sip.refusals import find_refusal, find_timer_refusal
from sipagent.sip.registrations import Registrations
from sipagent.sip.replaces import name_dialog
from sipagent.sip.stun import is_stun
from sipagent.sip.uri import Uri


class UserAgent:
    """A SIP endpoint as a :class:`~sipagent.machine.Machine`; its outputs are :mod:`sipagent.sip.events`.

    :param accounts: who we are toward which PBX or trunk.
    :param random: tags, branches and delays come from it; in service it must be a cryptographic one.
    """

    def __init__(
        self, settings: UserAgentSettings | None = None, accounts: Iterable[Account] = (), *, random: Random
    ) -> None:
        self.settings = settings or UserAgentSettings()
        self.draining = False
        """Whether new calls are refused with 503, and OPTIONS answered so."""
        self.ready = True
        """Whether OPTIONS is answered with 200 or, as long as no call would succeed, with 503."""
        self._core = Core(self.settings, random)
        self._lines = {account.name: Line(account, random=random) for account in accounts}
        self._lines_by_contact = {line.account.contact_user: line for line in self._lines.values()}
        self._registrations = Registrations(self._core, self._lines.values())
        self._sessions: dict[int, InviteSession] = {}
        self._dialogs: dict[DialogId, InviteSession] = {}
        self._discovery: Discovery | None = None
        self._last_handle = 0
        self._size = 0
        """Octets of the message that is being received."""

    # The machine.

    def poll(self) -> Event | None:
        """Return the next output."""
        return self._core.outputs.popleft() if self._core.outputs else None

    def get_timer(self) -> float | None:
        """Return when the earliest timer is due, in seconds."""
        return self._core.timers.next_at()

    def handle_timer(self, *, now: float) -> None:
        """Fire the timers that are due."""
        while (key := self._core.timers.pop_due(now)) is not None:
            owner, timer = key
            owner.on_timer(timer, now=now)

    @property
    def counters(self) -> Counter[str]:
        """What happened that no event tells: messages in and refused, by kind."""
        return self._core.counters

    @property
    def sessions(self) -> int:
        """INVITE sessions that have not ended."""
        return sum(session.phase is not Phase.ENDED for session in self._sessions.values())

    @property
    def is_idle(self) -> bool:
        """Whether every session has ended and every BYE and goodbye to a registrar is answered: time to leave."""
        return not self._sessions and not self._registrations.is_leaving

    @property
    def registrations(self) -> int:
        """Accounts that are registered."""
        return self._registrations.bound

    # What the transports bring.

    def admits(self, remote: Address, *, now: float) -> bool:
        """Whether a message from there is to be read, or a connection taken in.

        To be asked once for each, before any other work.
        """
        return self._core.guard is None or self._core.guard.admit(remote, now=now)

    def receive_datagram(self, data: bytes, flow: Flow, *, now: float) -> None:
        """A UDP datagram; of STUN only what answers us counts, and nothing is answered."""
        if is_stun(data):
            self.counters["stun" if self._core.stun.receive(data, flow, now=now) else "stray_stun"] += 1
        elif data.strip(b"\r\n\0"):
            self.receive_message(data, flow, now=now)
        else:
            self.counters["keepalives"] += 1

    def receive_message(self, data: bytes, flow: Flow, *, now: float) -> None:
        """A whole message, as a stream framer cuts it out."""
        self._size = len(data)
        try:
            message = parse_message(data)
        except MessageError as error:
            self.receive_malformed(error, flow, now=now)
            return
        if isinstance(message, Response):
            self.counters["responses"] += 1
            if not self._core.transactions.receive_response(message, now=now):
                self.counters["stray_responses"] += 1
        else:
            self.counters["requests"] += 1
            _stamp(message, flow)
            self._receive_request(message, flow, now)

    def receive_pong(self, flow: Flow, *, now: float) -> None:
        """A ping over this connection was answered."""
        self._core.flows.receive_pong(flow, now=now)

    def receive_malformed(self, error: MessageError, flow: Flow, *, now: float) -> None:
        """A message that is none, from here or from a stream framer; it is answered if it can be."""
        self.counters["malformed"] += 1
        if error.partial is not None:
            _stamp(error.partial, flow)
            reason = f"Bad Request: {error}" if error.status == 400 else None
            self._core.reply_to_anybody(error.partial, flow, error.status, reason=reason, size=self._size, now=now)

    def transport_failed(self, flow: Flow, *, now: float) -> None:
        """A message could not be sent there, or the connection was lost."""
        for session in [*self._sessions.values()]:
            session.flow_failed(flow)
        self._core.transactions.transport_failed(flow, now=now)
        self._registrations.flow_failed(flow, now=now)

    # What the application commands.

    def find_peers(self, *, now: float) -> None:
        """Find out from where the PBXs call that we do not register with; to be asked for once."""
        for line in self._lines.values():
            if not line.account.registrars and self._core.guard is not None:
                PeerFinder(self._core, line).start(now=now)

    def located(self, query: int, targets: Sequence[Flow], *, reason: str = "", now: float) -> None:
        """Take the answer to a :class:`~sipagent.sip.events.Locate`.

        :param targets: numeric, with our own address, the best first; none when the URI leads nowhere.
        :param reason: why it leads nowhere, in words.
        """
        self._core.located(query, targets, reason=reason, now=now)

    def first_hop(self, account: str, target: Uri) -> Uri:
        """Return where a request of the account's goes first: to its proxy, or to the target.

        :raises LocalProtocolError: when there is no such account.
        """
        line = self._line(account)
        return line.first_hop(target) if line else target

    def register(self, account: str, *, now: float) -> None:
        """Keep an account registered from now on; if it is already, renew that.

        :raises LocalProtocolError: when there is no such account, or it has no registrar.
        """
        self._registrations.find(account).start(now=now)

    def unregister(self, account: str, *, now: float) -> None:
        """End the registration of an account; errors as :meth:`register`."""
        self._registrations.find(account).leave(now=now)

    def query(self, account: str, registrar: Uri, *, now: float) -> None:
        """Ask a registrar whether it would take an account of ours, and change nothing there; errors as above."""
        self._registrations.find(account).query(registrar, now=now)

    def address_changed(self, *, now: float) -> None:
        """Our own address changed: let the registrars know at once."""
        self._registrations.address_changed(now=now)

    def discover(self, server: Uri, *, now: float) -> None:
        """Have a STUN server say how it sees us, now and every few minutes; each time it does, it is told.

        :param server: its host and port; another one takes the place of the one before.
        """
        if self._discovery is not None:
            self._discovery.stop()
        self._discovery = Discovery(self._core, server)
        self._discovery.start(now=now)

    def invite(
        self,
        target: Uri,
        hop: Hop | None = None,
        *,
        account: str | None = None,
        from_: NameAddr | None = None,
        body: bytes,
        headers: HeaderList = (),
        now: float,
    ) -> int:
        """Call somebody.

        :param target: Request-URI and To.
        :param hop: where the INVITE goes; else to the proxy of the account, or to the target.
        :param account: the line that calls, by its name: it says who we are, and proves it.
        :param from_: us, where the account does not say it, or otherwise; a tag is added.
        :param body: the offer; it must not be empty.
        :param headers: fields of the application's own.
        :return: the handle of the session.
        :raises LocalProtocolError: for header fields that are not the application's, too many sessions, no offer,
            no such account, or neither account nor ``from_``.
        """
        line = self._line(account)
        target = line.dialled(target) if line else target
        us, identity = line.present(from_) if line else (from_, [])
        if us is None:
            raise LocalProtocolError("an INVITE of ours says who calls")
        check_headers(headers)
        if not body:
            raise LocalProtocolError("an INVITE of ours carries an offer")
        if len(self._sessions) >= self.settings.max_sessions:
            raise LocalProtocolError("too many sessions")
        routes = line.routes() if line else ()
        request = self._core.make_invite(target, us, [*identity, *headers], body, routes=routes, line=line)
        session = self._add_session(Phase.OUTGOING, line)
        session.send(request, hop or (line.first_hop(target) if line else target), now=now)
        return session.handle

    def ring(self, handle: int, *, now: float, status: int = 180, headers: HeaderList = (), body: bytes = b"") -> None:
        """Send a provisional response; errors as :meth:`accept`."""
        check_headers(headers)
        self._session(handle).ring(status, headers, body, now=now)

    def accept(self, handle: int, body: bytes, *, now: float, headers: HeaderList = ()) -> None:
        """Accept an INVITE or re-INVITE with a 200.

        :param body: the answer, or the offer if there was none.
        :raises LocalProtocolError: when none waits for an answer, the session has ended, or a header field may not be.
        """
        check_headers(headers)
        self._session(handle).accept(headers, body, now=now)

    def reject(
        self, handle: int, status: int, *, now: float, reason: str | None = None, headers: HeaderList = ()
    ) -> None:
        """Refuse an INVITE or re-INVITE with a status of 300 to 699; errors as :meth:`accept`."""
        check_headers(headers)
        self._session(handle).reject(status, headers, reason=reason, now=now)

    def reinvite(self, handle: int, body: bytes, *, now: float) -> None:
        """Offer a new session description in a call that is up; a collision with the peer's is tried again.

        :raises LocalProtocolError: when the call is not up, or another INVITE is in progress either way.
        """
        self._session(handle).reinvite(body, now=now)

    def update(self, handle: int, body: bytes, *, tag: str = "", now: float) -> None:
        """Offer a new session description by UPDATE, in a call that is up or rings; collisions as :meth:`reinvite`.

        :param tag: of the telephone, while several may ring for our INVITE.
        :raises LocalProtocolError: when the media are not agreed on yet, or another offer is in progress either way.
        """
        self._session(handle).update(body, tag, now=now)

    def hang_up(self, handle: int, *, now: float, headers: HeaderList = ()) -> None:
        """End a session by whatever fits: 480, CANCEL or BYE; it is :class:`~sipagent.sip.events.Ended` at once.

        :raises LocalProtocolError: when it has ended, or a header field may not be.
        """
        check_headers(headers)
        self._session(handle).hang_up(headers, now=now)

    def refer(
        self,
        handle: int,
        target: Uri | None = None,
        *,
        replaces: int | None = None,
        headers: HeaderList = (),
        now: float,
    ) -> None:
        """Ask the peer of a call to call somebody else: a transfer (:rfc:`5589`). The call goes on until it is hung up.

        :param target: whom; it may be left out for an attended transfer: then it is who is at the other end of that.
        :param replaces: the handle of a call of ours with the target, of which the peer's is to take the place.
        :raises LocalProtocolError: when either call is not up, or the peer is busy with an earlier REFER.
        """
        check_headers(headers)
        other = None if replaces is None else self._session(replaces)
        dialog = None if other is None or other.phase is not Phase.CONFIRMED else other.dialog
        whom = target or (dialog.remote_target if dialog else None)
        if whom is None or (other is not None and dialog is None):
            raise LocalProtocolError("a REFER needs somebody, or a call that is up, to lead to")
        self._session(handle).refer(ReferTo(whom, name_dialog(dialog.id) if dialog else None), headers, now=now)

    def midcall(self, handle: int) -> MidCall:
        """What passes within a call besides offers and BYE: REFERs of the peer's, keys.

        :raises LocalProtocolError: when there is no such call.
        """
        return self._session(handle).midcall

    # What sessions tell.

    def on_dialogs(self, session: InviteSession, dialog_ids: frozenset[DialogId]) -> None:
        """Find the session by these from now on, and by what it had before no more."""
        for dialog_id in session.dialog_ids:
            self._dialogs.pop(dialog_id, None)
        self._dialogs.update(dict.fromkeys(dialog_ids, session))

    def on_gone(self, session: InviteSession) -> None:
        """Forget the session."""
        self._sessions.pop(session.handle, None)
        for dialog_id in session.dialog_ids:
            self._dialogs.pop(dialog_id, None)

    # A request that comes.

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
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
            session = self._find(request)
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
        session = self._find(request)
        if session is not None and self._let_pass(request, flow, now):
            session.receive_ack(request, now=now)
        else:
            self.counters["stray_acks"] += 1

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
            replaced = find_replaced(request, self._dialogs, is_trusted=passed.is_trusted)
        except RemoteProtocolError as error:
            self._core.reply(request, flow, error.status)
            return
        if (self.draining and replaced is None) or self._is_full:
            self._core.reply(request, flow, 503, self._core.retry_after())
        else:
            body = request.content(CONTENT_TYPE) or b""
            line = self._lines.get(passed.line)
            refusal = find_timer_refusal(request, line)
            if refusal is not None:
                self._core.reply(request, flow, *refusal)
            else:
                handle = replaced.handle if replaced else None
                session = self._add_session(Phase.INCOMING, line)
                session.receive(request, flow, body, passed, now=now, replaces=handle)

    def _on_options(self, request: Request, flow: Flow) -> None:
        """Answer with the status that an INVITE would get (:rfc:`3261#section-11.2`)."""
        if self.draining or not self.ready or self._is_full:
            self._core.reply(request, flow, 503, self._core.retry_after())
        else:
            self._describe(request, flow)

    def _describe(self, request: Request, flow: Flow) -> None:
        """Say what we can."""
        headers = self._core.session_headers(flow, b"", product="Server")
        accept = [("Accept", CONTENT_TYPE), ("Accept-Encoding", "identity"), ("Accept-Language", "en")]
        self._core.reply(request, flow, 200, [*headers, *accept])

    def _on_request_within(self, request: Request, flow: Flow, now: float) -> None:
        session = self._find(request)
        dialog = session.dialog_of(request) if session is not None else None
        if session is None or dialog is None or (session.dialog is None and request.method in ("BYE", "INVITE")):
            self._core.reply(request, flow, 491 if self._is_ahead(request) else 481)
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

    def _is_ahead(self, request: Request) -> bool:
        """Whether a re-INVITE overtook the 2xx that opens its dialog: another try will find it open."""
        return request.method == "INVITE" and (request.call_id, request.to.tag or "", "") in self._dialogs

    # The tables of sessions.

    @property
    def _is_full(self) -> bool:
        return len(self._sessions) >= self.settings.max_sessions or self._core.transactions.is_full

    def _add_session(self, phase: Phase, line: Line | None) -> InviteSession:
        self._last_handle += 1
        session = InviteSession(self._core, self._last_handle, phase, self, line=line)
        self._sessions[self._last_handle] = session
        return session

    def _line(self, account: str | None) -> Line | None:
        if account is not None and account not in self._lines:
            raise LocalProtocolError(f"there is no account {account}")
        return None if account is None else self._lines[account]

    def _session(self, handle: int) -> InviteSession:
        try:
            return self._sessions[handle]
        except KeyError:
            raise LocalProtocolError(f"there is no session {handle}") from None

    def _find(self, request: Request) -> InviteSession | None:
        return self._dialogs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))


def _stamp(request: Request, flow: Flow) -> None:
    """Note in the top Via where the request really came from (:rfc:`3581#section-4`)."""
    host, port = flow.remote
    via = request.via.with_parameter("received", host).with_parameter("rport", str(port))
    request.headers.replace_first("Via", str(via))
