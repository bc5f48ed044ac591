"""An INVITE that we sent, the first of a call or one within it, until nothing more can come of it.

Whoever forwards our INVITE may send it to several telephones, so it may have several 2xx. Each is acknowledged,
and each copy of it gets a copy of the same ACK (:rfc:`3261#section-13.2.2.4`). A CANCEL waits for a sign of life
(:rfc:`3261#section-9.1`).
"""

from enum import Enum
from typing import Protocol

from sipagent.sip.client import Client
from sipagent.sip.core import NOWHERE, Core
from sipagent.sip.dialog import Dialog
from sipagent.sip.events import Flow, Hop, Transmit
from sipagent.sip.headers import read_seconds
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.transaction import TIMEOUT

RING_LIMIT_S = 180.0
"""A telephone that nobody picks up is given up after this long, as proxies do (timer C), or as the line says."""

FORKS_MAX = 16
"""2xx of different telephones that are acknowledged; the copies of others stop by themselves after 32 s."""


class Timer(Enum):
    """What an INVITE waits for."""

    RING = "ring"
    CANCEL = "cancel"


class Cancel(Enum):
    """How far a CANCEL is."""

    NO = "no"
    WANTED = "wanted"
    """Nothing came back yet, so it must wait."""
    SENT = "sent"


class InviteClientOwner(Protocol):
    """Whoever wants an INVITE answered."""

    def on_provisional(self, client: "InviteClient", response: Response, *, now: float) -> None:
        """A response from 101 to 199."""

    def on_accepted(self, client: "InviteClient", response: Response, *, now: float) -> None:
        """A 2xx from a telephone that had sent none; :meth:`InviteClient.acknowledge` must follow."""

    def on_refused(self, client: "InviteClient", response: Response, *, now: float) -> None:
        """A final response of 300 or above."""

    def on_failed(self, client: "InviteClient", failure: str, *, now: float) -> None:
        """No final response will come: ``timeout`` or ``transport``."""


class InviteClient:
    """One INVITE of ours."""

    def __init__(
        self, core: Core, request: Request, hop: Hop, owner: InviteClientOwner, *, line: Line | None = None
    ) -> None:
        self.is_pending = True
        """No final response yet."""
        self.is_expired = False
        """We gave up waiting."""
        self._core = core
        self._owner = owner
        self._line = line
        self._cancel = Cancel.NO
        self._is_alive = False
        self._acks: dict[str, Transmit] = {}
        self._request, self._flow = request, NOWHERE
        self._client: Client | None = Client(core, request, hop, self, line=line)
        """``None`` once there is a final response; it holds us, so we don't hold it for longer."""

    @property
    def request(self) -> Request:
        """The INVITE as it was last sent."""
        return self._request if self._client is None else self._client.request

    @property
    def is_cancelled(self) -> bool:
        """Whether we took it back, or mean to as soon as somebody hears."""
        return self._cancel is not Cancel.NO

    @property
    def flow(self) -> Flow:
        """Where it was last sent."""
        return self._flow if self._client is None else self._client.flow or NOWHERE

    def start(self, *, now: float) -> None:
        """Send it."""
        if self._client is not None:
            self._client.start(now=now)

    def cancel(self, *, now: float) -> None:
        """Take it back; a final response comes all the same, and it may be a 2xx."""
        if self.is_pending and self._cancel is Cancel.NO:
            self._cancel = Cancel.WANTED
            self._core.timers.cancel((self, Timer.RING))
            if self._is_alive:
                self._send_cancel(now)

    def acknowledge(self, dialog: Dialog, response: Response) -> None:
        """Send the ACK of a 2xx, and keep it for the copies."""
        request = dialog.make_request("ACK", sequence=response.cseq.number)
        flow = dialog.next_hop()
        self._core.add_via(request, flow)
        ack = self._acks[response.to.tag or ""] = Transmit(bytes(request), flow)
        self._core.emit(ack)

    def receive_response(self, response: Response, *, now: float) -> None:
        """A response of the transaction."""
        if response.status < 200:
            self._on_provisional(response, now)
        elif response.status < 300:
            self._on_accepted(response, now)
        else:
            self._finish()
            self._owner.on_refused(self, response, now=now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """No response will come."""
        if self.is_pending:
            self._finish()
            self._owner.on_failed(self, failure, now=now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Nobody picks up, or nobody heeds our CANCEL."""
        match timer:
            case Timer.RING:
                self.is_expired = True
                self.cancel(now=now)
            case Timer.CANCEL if self._client is not None:
                self._client.abandon(now=now)
                self.transaction_failed("timeout", now=now)

    def _on_provisional(self, response: Response, now: float) -> None:
        if not self._is_alive:
            self._is_alive = True
            if self._cancel is Cancel.NO:
                self._core.timers.set((self, Timer.RING), now + self._ring_limit_s())
        if self._cancel is Cancel.WANTED:
            self._send_cancel(now)
        if response.status > 100:
            self._owner.on_provisional(self, response, now=now)

    def _on_accepted(self, response: Response, now: float) -> None:
        self._finish()
        ack = self._acks.get(response.to.tag or "")
        if ack is not None:
            self._core.emit(ack)
        elif len(self._acks) < FORKS_MAX:
            self._owner.on_accepted(self, response, now=now)

    def _ring_limit_s(self) -> float:
        """How long it may ring: as the line says, and as the Expires of our INVITE (:rfc:`3261#section-13.2.1`)."""
        limit_s = RING_LIMIT_S if self._line is None else self._line.account.ring_limit_s
        expires_s = read_seconds(self.request.headers, "Expires")
        return limit_s if expires_s is None else min(limit_s, float(expires_s))

    def _send_cancel(self, now: float) -> None:
        self._cancel = Cancel.SENT
        if self._client is not None:
            self._client.cancel(now=now)
        self._core.timers.set((self, Timer.CANCEL), now + TIMEOUT)

    def _finish(self) -> None:
        self.is_pending = False
        self._request, self._flow, self._client = self.request, self.flow, None
        for timer in Timer:
            self._core.timers.cancel((self, timer))
