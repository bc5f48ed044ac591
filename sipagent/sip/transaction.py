"""Transactions (:rfc:`3261#section-17`, :rfc:`6026`): a request, its responses, and how often each is sent.

The four machines are tables: a line is one arrow of the RFC's figure, *state, event: next state, actions*. What has
no line is ignored, and a timer lives only as long as its state has a line for it. :class:`Transactions` holds the live
ones, finds the one that a message belongs to, and knows nothing of dialogs.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from sipagent.sip.events import Address, Flow, Transmit
from sipagent.sip.headers import MAGIC_COOKIE, CSeq, Headers
from sipagent.sip.message import Request, Response
from sipagent.timers import Timers

T1: Final = 0.5
"""Seconds: an estimate of the round trip, after which a message is first sent again."""
T2: Final = 4.0
"""Seconds: the longest interval between two copies of a message, but for an INVITE."""
T4: Final = 5.0
"""Seconds: how long a copy of a message may still wander in the network."""
TIMEOUT = 64 * T1
"""Seconds: when to stop hoping for an answer (timers B, F, H), and how long to remember one (D, J, L, M)."""

MAX_TRANSACTIONS: Final = 20_000
"""Server transactions of strangers at once: 500 new calls a second, each remembered 32 s; about 40 MB."""


class State(Enum):
    """The states of all four machines, by the names of the figures."""

    __hash__ = object.__hash__  # every table is looked up by it, and Enum's own is written in Python
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Event(Enum):
    """What can happen to a transaction; a response is *received* by a client and *sent* by a server's user."""

    __hash__ = object.__hash__  # as of State
    REQUEST = "request"
    ACK = "ack"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    TRANSPORT_ERROR = "transport error"
    ABANDONED = "abandoned"
    TIMER_A = "A"
    TIMER_B = "B"
    TIMER_D = "D"
    TIMER_E = "E"
    TIMER_F = "F"
    TIMER_G = "G"
    TIMER_H = "H"
    TIMER_I = "I"
    TIMER_J = "J"
    TIMER_K = "K"
    TIMER_L = "L"
    TIMER_M = "M"


DURATIONS: Mapping[Event, tuple[float, float | None]] = {
    # timer         over UDP, over TCP     (None: a transport that retransmits by itself needs no such timer)
    Event.TIMER_A: (T1, None),
    Event.TIMER_B: (TIMEOUT, TIMEOUT),
    Event.TIMER_D: (TIMEOUT, 0.0),
    Event.TIMER_E: (T1, None),
    Event.TIMER_F: (TIMEOUT, TIMEOUT),
    Event.TIMER_G: (T1, None),
    Event.TIMER_H: (TIMEOUT, TIMEOUT),
    Event.TIMER_I: (T4, 0.0),
    Event.TIMER_J: (TIMEOUT, 0.0),
    Event.TIMER_K: (T4, 0.0),
    Event.TIMER_L: (TIMEOUT, TIMEOUT),
    Event.TIMER_M: (TIMEOUT, TIMEOUT),
}
"""Seconds of each timer's first run (:rfc:`3261#appendix-A`); C is a proxy's."""


class ClientUser(Protocol):
    """Whoever sent a request and waits for its responses."""

    def receive_response(self, response: Response, *, now: float) -> None:
        """A response that is no mere copy; to an INVITE every 2xx, copies too."""

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """No final response will come: ``timeout`` or ``transport``."""


class ServerUser(Protocol):
    """Whoever answers a request."""

    local_tag: str
    """What our responses add to To."""

    def receive_cancel(self, *, now: float) -> None:
        """The request is not wanted any more."""

    def receive_ack(self, request: Request, *, now: float) -> None:
        """An ACK that matched the transaction although it acknowledges a 2xx."""

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """A response may not have arrived, or was never acknowledged: ``timeout`` or ``transport``."""


class Unconcerned:
    """The user of a transaction whose outcome changes nothing."""

    local_tag = ""

    def receive_cancel(self, *, now: float) -> None:
        """Nothing hangs on it."""

    def receive_response(self, response: Response, *, now: float) -> None:
        """Nothing hangs on it."""

    def receive_ack(self, request: Request, *, now: float) -> None:
        """Nothing hangs on it."""

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """Nothing hangs on it."""


UNCONCERNED = Unconcerned()


class Transaction:
    """One request, seen from one side; what it does stands in its table."""

    __slots__ = ("client", "flow", "interval", "key", "last", "layer", "request", "server", "state", "table")

    def __init__(self, layer: "Transactions", key: "Key", request: Request, flow: Flow, table: "Table") -> None:
        self.layer = layer
        self.key = key
        self.request = request
        self.flow = flow
        self.table = table
        self.state = next(iter(table))[0]
        self.client: ClientUser = UNCONCERNED
        self.server: ServerUser = UNCONCERNED
        self.last = b""
        """What was last sent, and is sent again when asked for."""
        self.interval = T1
        """Seconds between the last two copies."""

    def respond(self, response: Response, *, now: float) -> None:
        """Send a response, if the state still allows one; the transaction sees to its copies."""
        self.on_event(event_of(response), response, now=now)

    def on_timer(self, timer: Event, *, now: float) -> None:
        """One of its timers fired."""
        self.on_event(timer, None, now=now)

    def on_event(self, event: Event, message: Request | Response | None, *, now: float) -> None:
        """Follow the arrow for ``event``, if there is one from this state."""
        arrow = self.table.get((self.state, event))
        if arrow is None:
            return
        state, actions = arrow
        if state is not self.state:
            self.state = state
            self.layer.state_changed(self)
        for action in actions:
            action(self, message, now)
        if state is State.TERMINATED:
            self.client = self.server = UNCONCERNED  # they hold us, and we are not to hold them for ever


Action: TypeAlias = Callable[[Transaction, Any, float], None]
"""Takes the message that came with the event: the one that the name of the event promises, ``None`` for a timer."""
Table: TypeAlias = Mapping[tuple[State, Event], tuple[State, tuple[Action, ...]]]
"""The first line's state is where the machine begins."""


def send(transaction: Transaction, response: Response, _now: float) -> None:
    """Send a response of the user's, and keep it for copies."""
    transaction.last = bytes(response)
    transaction.layer.transmit(Transmit(transaction.last, transaction.flow))


def send_again(transaction: Transaction, _message: object, _now: float) -> None:
    """Send a copy of what was last sent, if anything was."""
    if transaction.last:
        transaction.layer.transmit(Transmit(transaction.last, transaction.flow))


def send_ack(transaction: Transaction, response: Response, _now: float) -> None:
    """Acknowledge a refusal."""
    transaction.layer.transmit(Transmit(bytes(make_ack(transaction.request, response)), transaction.flow))


def report(transaction: Transaction, response: Response, now: float) -> None:
    """Pass a response up."""
    transaction.client.receive_response(response, now=now)


def report_ack(transaction: Transaction, request: Request, now: float) -> None:
    """Pass an ACK up."""
    transaction.server.receive_ack(request, now=now)


def report_timeout(transaction: Transaction, _message: object, now: float) -> None:
    """Tell the user that nothing more will come."""
    transaction.client.transaction_failed("timeout", now=now)
    transaction.server.transaction_failed("timeout", now=now)


def report_transport(transaction: Transaction, _message: object, now: float) -> None:
    """Tell the user that the transport could not carry what was sent."""
    transaction.client.transaction_failed("transport", now=now)
    transaction.server.transaction_failed("transport", now=now)


def start(timer: Event) -> Action:
    """Start a timer for its first run; one of no duration has fired at once."""

    def action(transaction: Transaction, _message: object, now: float) -> None:
        seconds = DURATIONS[timer][transaction.flow.reliable]
        if seconds == 0:
            transaction.on_timer(timer, now=now)
        elif seconds is not None:
            transaction.layer.timers.set((transaction, timer), now + seconds)

    return action


def double(timer: Event, longest: float = TIMEOUT) -> Action:
    """Start a timer that sends copies again, for twice as long, but no longer than ``longest`` seconds."""

    def action(transaction: Transaction, _message: object, now: float) -> None:
        transaction.interval = min(2 * transaction.interval, longest)
        transaction.layer.timers.set((transaction, timer), now + transaction.interval)

    return action


def slow_down(timer: Event) -> Action:
    """Start a timer that sends copies again, at the longest interval."""

    def action(transaction: Transaction, _message: object, now: float) -> None:
        transaction.layer.timers.set((transaction, timer), now + T2)

    return action


CALLING, TRYING, PROCEEDING = State.CALLING, State.TRYING, State.PROCEEDING
ACCEPTED, COMPLETED, CONFIRMED, TERMINATED = State.ACCEPTED, State.COMPLETED, State.CONFIRMED, State.TERMINATED
E = Event

# fmt: off
INVITE_CLIENT: Table = {  # RFC 3261 figure 5, with Accepted and timer M of RFC 6026
    (CALLING,    E.TIMER_A):         (CALLING,    (send_again, double(E.TIMER_A))),
    (CALLING,    E.TIMER_B):         (TERMINATED, (report_timeout,)),
    (CALLING,    E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (CALLING,    E.PROVISIONAL):     (PROCEEDING, (report,)),
    (CALLING,    E.SUCCESS):         (ACCEPTED,   (start(E.TIMER_M), report)),
    (CALLING,    E.FAILURE):         (COMPLETED,  (send_ack, report, start(E.TIMER_D))),
    (PROCEEDING, E.PROVISIONAL):     (PROCEEDING, (report,)),
    (PROCEEDING, E.SUCCESS):         (ACCEPTED,   (start(E.TIMER_M), report)),
    (PROCEEDING, E.FAILURE):         (COMPLETED,  (send_ack, report, start(E.TIMER_D))),
    (PROCEEDING, E.ABANDONED):       (TERMINATED, ()),  # 64*T1 after a CANCEL, section 9.1
    (ACCEPTED,   E.SUCCESS):         (ACCEPTED,   (report,)),
    (ACCEPTED,   E.TIMER_M):         (TERMINATED, ()),
    (COMPLETED,  E.FAILURE):         (COMPLETED,  (send_ack,)),
    (COMPLETED,  E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (COMPLETED,  E.TIMER_D):         (TERMINATED, ()),
}

NON_INVITE_CLIENT: Table = {  # RFC 3261 figure 6
    (TRYING,     E.TIMER_E):         (TRYING,     (send_again, double(E.TIMER_E, T2))),
    (TRYING,     E.TIMER_F):         (TERMINATED, (report_timeout,)),
    (TRYING,     E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (TRYING,     E.PROVISIONAL):     (PROCEEDING, (report,)),
    (TRYING,     E.SUCCESS):         (COMPLETED,  (report, start(E.TIMER_K))),
    (TRYING,     E.FAILURE):         (COMPLETED,  (report, start(E.TIMER_K))),
    (TRYING,     E.ABANDONED):       (TERMINATED, ()),  # ours: the user asks elsewhere
    (PROCEEDING, E.ABANDONED):       (TERMINATED, ()),
    (PROCEEDING, E.TIMER_E):         (PROCEEDING, (send_again, slow_down(E.TIMER_E))),
    (PROCEEDING, E.TIMER_F):         (TERMINATED, (report_timeout,)),
    (PROCEEDING, E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (PROCEEDING, E.PROVISIONAL):     (PROCEEDING, (report,)),
    (PROCEEDING, E.SUCCESS):         (COMPLETED,  (report, start(E.TIMER_K))),
    (PROCEEDING, E.FAILURE):         (COMPLETED,  (report, start(E.TIMER_K))),
    (COMPLETED,  E.TIMER_K):         (TERMINATED, ()),
}

INVITE_SERVER: Table = {  # RFC 3261 figure 7, with Accepted and timer L of RFC 6026
    (PROCEEDING, E.REQUEST):         (PROCEEDING, (send_again,)),
    (PROCEEDING, E.PROVISIONAL):     (PROCEEDING, (send,)),
    (PROCEEDING, E.SUCCESS):         (ACCEPTED,   (send, start(E.TIMER_L))),
    (PROCEEDING, E.FAILURE):         (COMPLETED,  (send, start(E.TIMER_G), start(E.TIMER_H))),
    (PROCEEDING, E.TRANSPORT_ERROR): (PROCEEDING, (report_transport,)),
    (ACCEPTED,   E.ACK):             (ACCEPTED,   (report_ack,)),
    (ACCEPTED,   E.SUCCESS):         (ACCEPTED,   (send,)),
    (ACCEPTED,   E.TRANSPORT_ERROR): (ACCEPTED,   (report_transport,)),
    (ACCEPTED,   E.TIMER_L):         (TERMINATED, ()),
    (COMPLETED,  E.REQUEST):         (COMPLETED,  (send_again,)),
    (COMPLETED,  E.ACK):             (CONFIRMED,  (start(E.TIMER_I),)),
    (COMPLETED,  E.TRANSPORT_ERROR): (COMPLETED,  (report_transport,)),
    (COMPLETED,  E.TIMER_G):         (COMPLETED,  (send_again, double(E.TIMER_G, T2))),
    (COMPLETED,  E.TIMER_H):         (TERMINATED, (report_timeout,)),
    (CONFIRMED,  E.TIMER_I):         (TERMINATED, ()),
}

NON_INVITE_SERVER: Table = {  # RFC 3261 figure 8
    (TRYING,     E.PROVISIONAL):     (PROCEEDING, (send,)),
    (TRYING,     E.SUCCESS):         (COMPLETED,  (send, start(E.TIMER_J))),
    (TRYING,     E.FAILURE):         (COMPLETED,  (send, start(E.TIMER_J))),
    (PROCEEDING, E.REQUEST):         (PROCEEDING, (send_again,)),
    (PROCEEDING, E.PROVISIONAL):     (PROCEEDING, (send,)),
    (PROCEEDING, E.SUCCESS):         (COMPLETED,  (send, start(E.TIMER_J))),
    (PROCEEDING, E.FAILURE):         (COMPLETED,  (send, start(E.TIMER_J))),
    (PROCEEDING, E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (COMPLETED,  E.REQUEST):         (COMPLETED,  (send_again,)),
    (COMPLETED,  E.TRANSPORT_ERROR): (TERMINATED, (report_transport,)),
    (COMPLETED,  E.TIMER_J):         (TERMINATED, ()),
}
# fmt: on

Key: TypeAlias = tuple[str, ...]
"""What tells transactions apart; a client's and a server's are never looked up in the same table."""


class TimerOwner(Protocol):
    """Whoever set a timer, and is told when it fires."""

    def on_timer(self, timer: Any, *, now: float) -> None:
        """It fired."""


TimerKey: TypeAlias = tuple[TimerOwner, Any]


class Transactions:
    """The live transactions of a user agent.

    :param timers: shared with the whole user agent; the keys are ``(owner, timer)``.
    :param transmit: called with whatever is to be sent.
    :param limit: server transactions at once, above which :attr:`is_full`.
    """

    def __init__(
        self, timers: Timers[TimerKey], transmit: Callable[[Transmit], None], *, limit: int = MAX_TRANSACTIONS
    ) -> None:
        self.timers = timers
        self.transmit = transmit
        self._limit = limit
        self._clients: dict[Key, Transaction] = {}
        self._servers: dict[Key, Transaction] = {}
        self._origins: dict[Key, Transaction] = {}
        self._at_ends: dict[tuple[str, Address], dict[Transaction, None]] = {}

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    @property
    def is_full(self) -> bool:
        """Whether requests that open a new server transaction should be refused without one."""
        return len(self._servers) >= self._limit

    def request(self, request: Request, flow: Flow, user: ClientUser = UNCONCERNED, *, now: float) -> Transaction:
        """Send a request, with the one Via it already has, in a client transaction."""
        table, copies, timeout = CLIENTS[request.method == "INVITE"]
        key = (request.via.branch or "", request.method)
        transaction = self._clients[key] = self._open(key, request, flow, table)
        transaction.client = user
        transaction.last = bytes(request)
        send_again(transaction, None, now)
        start(copies)(transaction, None, now)
        start(timeout)(transaction, None, now)
        return transaction

    def serve(self, request: Request, flow: Flow, user: ServerUser = UNCONCERNED) -> Transaction:
        """Open the server transaction of a request that :meth:`receive_request` did not know."""
        key = server_key(request, request.method)
        table = INVITE_SERVER if request.method == "INVITE" else NON_INVITE_SERVER
        transaction = self._servers[key] = self._open(key, request, flow, table)
        transaction.server = user
        if not request.to.tag:
            self._origins[(request.method, *_origin(request))] = transaction
        return transaction

    def receive_request(self, request: Request, *, now: float) -> bool:
        """Give a request to the transaction it is a copy or the ACK of; ``False`` if there is none."""
        transaction = self._servers.get(server_key(request, request.method))
        if transaction is None:
            return False
        transaction.on_event(Event.ACK if request.method == "ACK" else Event.REQUEST, request, now=now)
        return True

    def receive_response(self, response: Response, *, now: float) -> bool:
        """Give a response to the transaction it answers (:rfc:`3261#section-17.1.3`); ``False`` if there is none."""
        transaction = self._clients.get((response.via.branch or "", response.cseq.method))
        if transaction is None or len(response.vias) != 1:
            return False
        transaction.on_event(event_of(response), response, now=now)
        return True

    def find_invite(self, cancel: Request) -> Transaction | None:
        """Find the INVITE that a CANCEL is about (:rfc:`3261#section-9.2`); it must also name the same call."""
        transaction = self._servers.get(server_key(cancel, "INVITE"))
        if transaction is None or _origin(transaction.request) != _origin(cancel):
            return None
        return transaction

    def is_merged(self, request: Request) -> bool:
        """Whether this request came before, by another path (:rfc:`3261#section-8.2.2.2`)."""
        return not request.to.tag and (request.method, *_origin(request)) in self._origins

    def transport_failed(self, flow: Flow, *, now: float) -> None:
        """Whatever went to that place did not arrive."""
        for transaction in [*self._at_ends.get((flow.transport, flow.remote), ())]:
            transaction.on_event(Event.TRANSPORT_ERROR, None, now=now)

    def state_changed(self, transaction: Transaction) -> None:
        """Stop the timers that mean nothing in the new state; forget a transaction that has ended."""
        for timer in DURATIONS:
            if (transaction.state, timer) not in transaction.table:
                self.timers.cancel((transaction, timer))
        if transaction.state is State.TERMINATED:
            for table in (self._clients, self._servers):
                if table.get(transaction.key) is transaction:
                    del table[transaction.key]
            origin = (transaction.request.method, *_origin(transaction.request))
            if self._origins.get(origin) is transaction:
                del self._origins[origin]
            self._close(transaction)

    def _open(self, key: Key, request: Request, flow: Flow, table: Table) -> Transaction:
        transaction = Transaction(self, key, request, flow, table)
        self._at_ends.setdefault((flow.transport, flow.remote), {})[transaction] = None
        return transaction

    def _close(self, transaction: Transaction) -> None:
        """Forget where it ends; who resets connections as fast as it can costs us no look at all the others."""
        end = (transaction.flow.transport, transaction.flow.remote)
        others = self._at_ends.get(end, {})
        others.pop(transaction, None)
        if not others:
            self._at_ends.pop(end, None)


CLIENTS = {
    True: (INVITE_CLIENT, Event.TIMER_A, Event.TIMER_B),
    False: (NON_INVITE_CLIENT, Event.TIMER_E, Event.TIMER_F),
}
"""What a client begins with: its table, the timer of its copies, and the timer of its patience; by "is an INVITE"."""


def event_of(response: Response) -> Event:
    """The class of a response, as the tables see it."""
    if response.status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if response.status < 300 else Event.FAILURE


def server_key(request: Request, method: str) -> Key:
    """How a request is matched (:rfc:`3261#section-17.2.3`), as if its method were ``method``; an ACK is an INVITE's.

    Without the magic cookie the older rule of RFC 2543 holds, which compares all that names a request.
    """
    method = "INVITE" if method == "ACK" else method
    via = request.via
    branch = via.branch or ""
    if branch.startswith(MAGIC_COOKIE):
        return (branch, via.sent_by.lower(), method)
    return (branch, via.sent_by.lower(), method, str(request.uri), *_origin(request))


def _origin(request: Request) -> Key:
    """What a request keeps by whatever path it comes, and shares with its ACK and CANCEL."""
    return (request.call_id, request.from_.tag or "", str(request.cseq.number))


def make_ack(request: Request, response: Response) -> Request:
    """Build the ACK of a refusal (:rfc:`3261#section-17.1.1.3`); the ACK of a 2xx is the dialog's."""
    ack = _same_branch(request, "ACK")
    ack.headers.set("To", response.headers.get("To") or "")
    return ack


def make_cancel(request: Request) -> Request:
    """Build the CANCEL of a request (:rfc:`3261#section-9.1`)."""
    return _same_branch(request, "CANCEL")


def _same_branch(request: Request, method: str) -> Request:
    headers = Headers([("Via", str(request.via)), ("Max-Forwards", "70")])
    for name in ("From", "To", "Call-ID", "Route"):
        for value in request.headers.get_all(name):
            headers.add(name, value)
    headers.add("CSeq", str(CSeq(request.cseq.number, method)))
    return Request(method, request.uri, headers)
