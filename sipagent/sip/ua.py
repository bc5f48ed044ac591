"""The user agent: every SIP message of this endpoint comes in here, and every one goes out.

What the transports bring is parsed here; a request goes on to :mod:`~sipagent.sip.reception`, a response to its
transaction. What the application commands goes to the session, the registration or the line that it is about.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

from sipagent.errors import LocalProtocolError
from sipagent.sip.account import Account
from sipagent.sip.core import Core, HeaderList, UserAgentSettings, check_headers
from sipagent.sip.discovery import Discovery
from sipagent.sip.events import Address, Event, Flow, Hop
from sipagent.sip.finder import PeerFinder
from sipagent.sip.headers import NameAddr
from sipagent.sip.invite import Phase
from sipagent.sip.line import Line
from sipagent.sip.message import MessageError, Request, Response, parse_message
from sipagent.sip.midcall import MidCall
from sipagent.sip.reception import Reception
from sipagent.sip.refer import ReferTo
from sipagent.sip.registrations import Registrations
from sipagent.sip.replaces import name_dialog
from sipagent.sip.sessions import Sessions
from sipagent.sip.uri import Uri
from sipagent.stun import is_stun


class UserAgent:
    """A SIP endpoint as a :class:`~sipagent.machine.Machine`; its outputs are :mod:`sipagent.sip.events`.

    :param accounts: who we are toward which PBX or trunk.
    :param random: tags, branches and delays come from it; in service it must be a cryptographic one.
    """

    def __init__(
        self, settings: UserAgentSettings | None = None, accounts: Iterable[Account] = (), *, random: Random
    ) -> None:
        self.settings = settings or UserAgentSettings()
        self._core = Core(self.settings, random)
        self._lines = {account.name: Line(account, random=random) for account in accounts}
        self._registrations = Registrations(self._core, self._lines.values())
        self._sessions = Sessions(self._core)
        self._reception = Reception(self._core, self._sessions, self._lines)
        self._discovery: Discovery | None = None

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
    def draining(self) -> bool:
        """Whether new calls are refused with 503, and OPTIONS answered so."""
        return self._reception.is_draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._reception.is_draining = draining

    @property
    def ready(self) -> bool:
        """Whether OPTIONS is answered with 200 or, as long as no call would succeed, with 503."""
        return self._reception.is_ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._reception.is_ready = ready

    def heed(self, has_room: Callable[[], bool]) -> None:
        """Answer OPTIONS with 503 as well while this says that no call would be taken, as an INVITE would be."""
        self._reception.has_room = has_room

    @property
    def counters(self) -> Counter[str]:
        """What happened that no event tells: messages in and refused, by kind."""
        return self._core.counters

    @property
    def sessions(self) -> int:
        """INVITE sessions that have not ended."""
        return sum(session.phase is not Phase.ENDED for session in self._sessions)

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
        try:
            message = parse_message(data)
        except MessageError as error:
            self.receive_malformed(error, flow, size=len(data), now=now)
            return
        if isinstance(message, Response):
            self.counters["responses"] += 1
            if not self._core.transactions.receive_response(message, now=now):
                self.counters["stray_responses"] += 1
        else:
            self.counters["requests"] += 1
            _stamp(message, flow)
            self._reception.receive(message, flow, size=len(data), now=now)

    def receive_pong(self, flow: Flow, *, now: float) -> None:
        """A ping over this connection was answered."""
        self._core.flows.receive_pong(flow, now=now)

    def receive_malformed(self, error: MessageError, flow: Flow, *, size: int = 0, now: float) -> None:
        """A message that is none, of so many octets, from here or from a stream framer; it is answered if it can be."""
        self.counters["malformed"] += 1
        if error.partial is not None:
            _stamp(error.partial, flow)
            reason = f"Bad Request: {error}" if error.status == 400 else None
            self._core.reply_to_anybody(error.partial, flow, error.status, reason=reason, size=size, now=now)

    def transport_failed(self, flow: Flow, *, now: float) -> None:
        """A message could not be sent there, or the connection was lost."""
        for session in self._sessions:
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
        if self._sessions.is_full:
            raise LocalProtocolError("too many sessions")
        routes = line.routes() if line else ()
        request = self._core.make_invite(target, us, [*identity, *headers], body, routes=routes, line=line)
        session = self._sessions.open(Phase.OUTGOING, line)
        session.send(request, hop or (line.first_hop(target) if line else target), now=now)
        return session.handle

    def ring(self, handle: int, *, now: float, status: int = 180, headers: HeaderList = (), body: bytes = b"") -> None:
        """Send a provisional response; errors as :meth:`accept`."""
        check_headers(headers)
        self._sessions.get(handle).ring(status, headers, body, now=now)

    def accept(self, handle: int, body: bytes, *, now: float, headers: HeaderList = ()) -> None:
        """Accept an INVITE or re-INVITE with a 200.

        :param body: the answer, or the offer if there was none.
        :raises LocalProtocolError: when none waits for an answer, the session has ended, or a header field may not be.
        """
        check_headers(headers)
        self._sessions.get(handle).accept(headers, body, now=now)

    def reject(
        self, handle: int, status: int, *, now: float, reason: str | None = None, headers: HeaderList = ()
    ) -> None:
        """Refuse an INVITE or re-INVITE with a status of 300 to 699; errors as :meth:`accept`."""
        check_headers(headers)
        self._sessions.get(handle).reject(status, headers, reason=reason, now=now)

    def reinvite(self, handle: int, body: bytes, *, now: float) -> None:
        """Offer a new session description in a call that is up; a collision with the peer's is tried again.

        :raises LocalProtocolError: when the call is not up, or another INVITE is in progress either way.
        """
        self._sessions.get(handle).reinvite(body, now=now)

    def update(self, handle: int, body: bytes, *, tag: str = "", now: float) -> None:
        """Offer a new session description by UPDATE, in a call that is up or rings; collisions as :meth:`reinvite`.

        :param tag: of the telephone, while several may ring for our INVITE.
        :raises LocalProtocolError: when the media are not agreed on yet, or another offer is in progress either way.
        """
        self._sessions.get(handle).update(body, tag, now=now)

    def refresh(self, handle: int, *, now: float) -> None:
        """Ask whether the peer still has a call that is up, by the refresh of a session timer; one it has not ends.

        :raises LocalProtocolError: when the call is not up.
        """
        self._sessions.get(handle).refresh(now=now)

    def hang_up(self, handle: int, *, now: float, headers: HeaderList = ()) -> None:
        """End a session by whatever fits: 480, CANCEL or BYE; it is :class:`~sipagent.sip.events.Ended` at once.

        :raises LocalProtocolError: when it has ended, or a header field may not be.
        """
        check_headers(headers)
        self._sessions.get(handle).hang_up(headers, now=now)

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
        other = None if replaces is None else self._sessions.get(replaces)
        dialog = None if other is None or other.phase is not Phase.CONFIRMED else other.dialog
        whom = target or (dialog.remote_target if dialog else None)
        if whom is None or (other is not None and dialog is None):
            raise LocalProtocolError("a REFER needs somebody, or a call that is up, to lead to")
        self._sessions.get(handle).refer(ReferTo(whom, name_dialog(dialog.id) if dialog else None), headers, now=now)

    def midcall(self, handle: int) -> MidCall:
        """What passes within a call besides offers and BYE: REFERs of the peer's, keys.

        :raises LocalProtocolError: when there is no such call.
        """
        return self._sessions.get(handle).midcall

    # Within.

    def _line(self, account: str | None) -> Line | None:
        if account is not None and account not in self._lines:
            raise LocalProtocolError(f"there is no account {account}")
        return None if account is None else self._lines[account]


def _stamp(request: Request, flow: Flow) -> None:
    """Note in the top Via where the request really came from (:rfc:`3581#section-4`)."""
    host, port = flow.remote
    via = request.via.with_parameter("received", host).with_parameter("rport", str(port))
    request.headers.replace_first("Via", str(via))
