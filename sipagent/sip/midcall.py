"""What passes between the two sides of a call that changes neither its media nor its dialog: REFER, NOTIFY and INFO.

One REFER a side is in progress at a time. A REFER of the peer's is only for the application to see where the peer is
trusted: whoever may make us call can spend our money.
"""

from typing import Protocol

from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.client import Client
from sipagent.sip.core import Core, HeaderList
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow, InfoReceived, ReferFinished, ReferProgressed, Referred
from sipagent.sip.info import DIGITS, PLAIN, RELAY, read_digit, write_digit
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response, make_response
from sipagent.sip.refer import EVENT, ReferTo, SubscriptionState, read_event, referred_by
from sipagent.sip.refer_client import ReferClient
from sipagent.sip.refer_server import ReferServer

BAD_INFO_PACKAGE = 469

KEYS_MAX = 64
"""Keys that wait to be pressed: a credit card number, three times."""


class MidCallOwner(Protocol):
    """The call."""

    handle: int
    line: Line | None
    dialog: Dialog | None
    may_refer: bool


class MidCall:
    """The small talk of one call."""

    def __init__(self, core: Core, owner: MidCallOwner) -> None:
        self._core = core
        self._owner = owner
        self._ours: ReferClient | None = None
        self._theirs: ReferServer | None = None
        self._is_over = False
        self._keys = ""
        """Those to be pressed; the first one is on its way."""

    def stop(self) -> None:
        """The call is over: nobody waits for anything."""
        self._is_over = True
        if self._ours is not None:
            self._ours.stop()
        if self._theirs is not None:
            self._theirs.stop()

    def leave(self, former: MidCallOwner) -> None:
        """The session is gone; ``former`` stands in its place."""
        self._owner = former
        self._ours = self._theirs = None

    # Commands of the application.

    def refer(self, refer_to: ReferTo, headers: HeaderList, *, now: float) -> None:
        """Ask the peer to call somebody.

        :raises LocalProtocolError: when it is asked already, or there is no call.
        """
        if self._owner.dialog is None or (self._ours is not None and self._ours.is_pending):
            raise LocalProtocolError("a REFER needs a call that is up, and is one at a time")
        self._ours = ReferClient(self._core, self._owner.dialog, refer_to, headers, self, line=self._owner.line)
        self._ours.start(now=now)

    def accept_refer(self, *, now: float) -> None:
        """Agree to call whom the peer :class:`~sipagent.sip.events.Referred` us to.

        :raises LocalProtocolError: when no REFER waits for an answer (any more).
        """
        self._undecided().accept(now=now)

    def refuse_refer(self, status: int = 603, *, now: float) -> None:
        """Refuse to; errors as :meth:`accept_refer`."""
        if not 300 <= status <= 699:
            raise LocalProtocolError(f"{status} is no refusal")
        self._undecided().refuse(status, now=now)

    def report_refer(self, status: int, *, now: float) -> None:
        """Tell the peer what whom we call has answered; the first final status is the last report.

        A peer that does not want to know, or does not listen any more, is told nothing.
        """
        if self._theirs is not None and self._theirs.is_reporting:
            self._theirs.report(status, now=now)

    def press(self, digits: str, *, now: float) -> None:
        """Press keys in INFOs, one after the other, for a peer that takes none in RTP; what it says is not told.

        :raises LocalProtocolError: when there is no call, no such key, or too many wait.
        """
        if self._owner.dialog is None or self._is_over or not set(digits) <= set(DIGITS):
            raise LocalProtocolError("a key is pressed in a call, and is one that there is")
        if len(self._keys) + len(digits) > KEYS_MAX:
            raise LocalProtocolError("too many keys at once")
        is_first = not self._keys
        self._keys += digits
        if is_first:
            self._send_key(now)

    def receive_response(self, response: Response, *, now: float) -> None:
        """The peer heard a key."""
        if response.status >= 200:
            self._press_next(now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """It did not."""
        self._press_next(now)

    def _press_next(self, now: float) -> None:
        self._keys = self._keys[1:]
        self._send_key(now)

    def _send_key(self, now: float) -> None:
        dialog = self._owner.dialog
        if self._keys and dialog is not None and not self._is_over:
            request = dialog.make_request("INFO", [("Content-Type", RELAY)], write_digit(self._keys[0]))
            Client(self._core, request, dialog.hop(), self, line=self._owner.line).start(now=now)

    # What the peer sends.

    def receive(self, request: Request, flow: Flow, *, now: float) -> None:
        """Take a REFER, NOTIFY or INFO, in its place in the dialog."""
        try:
            match request.method:
                case "REFER":
                    self._receive_refer(request, flow, now)
                case "NOTIFY":
                    self._receive_notify(request, flow, now)
                case _:
                    self._receive_info(request, flow, now)
        except RemoteProtocolError as error:
            accept = [("Accept", f"{RELAY}, {PLAIN}")] if error.status == 415 else []
            self._core.refuse(request, flow, error.status, accept, now=now)

    def _receive_refer(self, request: Request, flow: Flow, now: float) -> None:
        refer_to = ReferTo.of_request(request)
        dialog = self._owner.dialog
        if dialog is None or not self._owner.may_refer:
            self._core.refuse(request, flow, 403, now=now)
        elif self._theirs is not None:
            self._core.refuse(request, flow, 491, now=now)
        else:
            self._theirs = ReferServer(self._core, dialog, request, flow, self, line=self._owner.line)
            self._theirs.start(now=now)
            by = referred_by(request.headers)
            self._core.emit(Referred(self._owner.handle, refer_to.target, refer_to.replaces, by))

    def _receive_notify(self, request: Request, flow: Flow, now: float) -> None:
        """Take a report of our REFER; any other was not asked for (:rfc:`6665#section-4.1.3`)."""
        if read_event(request.headers)[0] != EVENT:
            self._core.refuse(request, flow, 489, [("Allow-Events", EVENT)], now=now)
        elif self._ours is None or not self._ours.is_for(request):
            self._core.refuse(request, flow, 481, now=now)
        else:
            state = SubscriptionState.of_request(request.headers)
            self._ours.receive_notify(request, flow, state, now=now)

    def _receive_info(self, request: Request, flow: Flow, now: float) -> None:
        if "Info-Package" in request.headers:  # we said in no Recv-Info that we take any (RFC 6086, section 4.2.2)
            self._core.refuse(request, flow, BAD_INFO_PACKAGE, [("Recv-Info", "")], now=now)
            return
        digit = read_digit(request)
        self._core.transactions.serve(request, flow).respond(make_response(request, 200), now=now)
        if digit:
            self._core.emit(InfoReceived(self._owner.handle, digit))

    # What becomes of a REFER.

    def on_refer_progressed(self, status: int, reason: str) -> None:
        """The peer is at it."""
        self._core.emit(ReferProgressed(self._owner.handle, status, reason))

    def on_refer_finished(self, status: int | None, reason: str) -> None:
        """It came to this."""
        self._core.emit(ReferFinished(self._owner.handle, status, reason))

    def on_refer_gone(self) -> None:
        """The peer's is done with; another may come."""
        self._theirs = None

    def _undecided(self) -> ReferServer:
        if self._theirs is None or not self._theirs.is_undecided:
            raise LocalProtocolError("no REFER waits for an answer")
        return self._theirs
