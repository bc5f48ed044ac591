"""Signs of life over the flow of a registration: they keep a NAT open, and show when the flow is dead.

- Over a stream a double CRLF is a ping, and the peer answers with a CRLF within ten seconds
  (:rfc:`5626#section-4.4.1`). Many never do: of a peer that left the first ping unanswered none is expected, and where
  the choice is ours it is asked by OPTIONS, which everybody answers.
- Over UDP, where the choice is ours, the registration renews itself as often: only that shows whether the registrar
  still knows us. A CRLF keeps the NAT open and shows nothing; a STUN Binding request, for peers that serve it, also
  shows when our mapping has moved (:rfc:`5626#section-4.4.2`). OPTIONS, with whatever answer, shows that it is there.
- Beats are uneven, so that those who began together don't stay together. Of accounts that share a flow
  one gives them for all.
- What is found dead is told once; the registration makes a new flow.
"""

from enum import Enum
from typing import Protocol

from sipagent.sip.account import Account, KeepAliveMethod
from sipagent.sip.client import Client
from sipagent.sip.core import Core
from sipagent.sip.dialog import MAX_FORWARDS
from sipagent.sip.events import Address, Flow, Ping, Transmit
from sipagent.sip.headers import CSeq, Headers, NameAddr
from sipagent.sip.message import Request, Response
from sipagent.sip.stun_client import StunTransaction
from sipagent.sip.uri import Uri

DATAGRAM = b"\r\n"
"""Over UDP: enough to keep a NAT open, and dropped by whoever gets it."""

ANSWER_S = 10.0
"""For a pong or any answer (:rfc:`5626#section-4.4.1`); over UDP an OPTIONS has been sent five times by then."""

STUN_TRIES = 4
"""Given up after 11.5 s."""

EARLIEST = 0.8
"""The share of the interval after which the next beat comes at the soonest; the latest is all of it."""


class Method(Enum):
    """How a sign of life is given."""

    DATAGRAM = "datagram"
    PING = "ping"
    STUN = "stun"
    OPTIONS = "options"


class Timer(Enum):
    """What is waited for."""

    BEAT = "beat"
    ANSWER = "answer"


class FlowUser(Protocol):
    """Whoever registered over the flow."""

    def on_flow_dead(self, *, now: float) -> None:
        """Nothing comes back over it any more, or our address has changed."""


class KeepAlive:
    """The signs of life over one flow.

    :param flow: by which the registration succeeded.
    :param owner: is told, once, that the flow is dead.
    :param flow_timer_s: the registrar's own wish (``Flow-Timer``, :rfc:`5626#section-5.4`); the shorter time counts.
    :param expects_pong: the registrar says that it answers pings (``outbound`` in ``Require`` or ``Supported``).
    """

    def __init__(
        self,
        core: Core,
        flow: Flow,
        account: Account,
        owner: FlowUser,
        *,
        flow_timer_s: float | None = None,
        expects_pong: bool = False,
    ) -> None:
        self._core = core
        self._flow = flow
        self._account = account
        self._owner = owner
        self._interval_s = min(account.keep_alive_s, flow_timer_s or account.keep_alive_s)
        self._method = choose_method(account.keep_alive, flow)
        self._expects_pong = expects_pong
        self._mapped: Address | None = None
        self._binding: StunTransaction | None = None
        self._options: Client | None = None

    def start(self, *, now: float) -> None:
        """Give signs of life, unless another account gives them over the same flow."""
        if self._method is not None:
            self._core.flows.join(self._flow, self, now=now)

    def stop(self, *, now: float) -> None:
        """Give no more signs."""
        self._core.timers.cancel((self, Timer.BEAT))
        self._stop_waiting(now)
        self._core.flows.leave(self._flow, self, now=now)

    # What the flow tells.

    def lead(self, *, now: float) -> None:
        """Give the first sign after an interval: there was one just now, the registration or another's."""
        self._schedule(now)

    def receive_pong(self, *, now: float) -> None:
        """The peer answers pings: from now on it is expected to."""
        self._expects_pong = True
        self._on_life(now)

    def receive_death(self, *, now: float) -> None:
        """The registration makes a new flow."""
        self.stop(now=now)
        self._owner.on_flow_dead(now=now)

    # What becomes of a sign of ours.

    def receive_response(self, response: Response, *, now: float) -> None:
        """Any answer to an OPTIONS is life."""
        if response.status >= 200:
            self._options = None
            self._on_life(now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """Nobody answers an OPTIONS."""
        self._options = None
        self._core.flows.die(self._flow, now=now)

    def on_bound(self, mapped: Address, *, now: float) -> None:
        """The peer answered a Binding request; if it sees us elsewhere, it will not find us where it looks for us."""
        self._binding = None
        if self._mapped in (None, mapped):
            self._mapped = mapped
            self._on_life(now)
        else:
            self._core.flows.die(self._flow, now=now)

    def on_unbound(self, *, now: float) -> None:
        """Nobody answers a Binding request."""
        self._binding = None
        self._core.flows.die(self._flow, now=now)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """It is time for a sign, or too late for an answer."""
        if timer is Timer.BEAT:
            self._beat(now)
        elif self._method is Method.PING and not self._expects_pong:
            if self._account.keep_alive == "auto":
                self._method = Method.OPTIONS
            self._on_life(now)
        else:
            self._core.flows.die(self._flow, now=now)

    # Beats.

    def _schedule(self, now: float) -> None:
        share = self._core.random.uniform(EARLIEST, 1.0)
        self._core.timers.set((self, Timer.BEAT), now + share * self._interval_s)

    def _on_life(self, now: float) -> None:
        self._stop_waiting(now)
        self._schedule(now)

    def _beat(self, now: float) -> None:
        match self._method:
            case Method.DATAGRAM:
                self._core.emit(Transmit(DATAGRAM, self._flow))
                self._schedule(now)
            case Method.PING:
                self._core.timers.set((self, Timer.ANSWER), now + ANSWER_S)
                self._core.emit(Ping(self._flow))
            case Method.STUN:
                self._binding = self._core.stun.ask(self._flow, self, now=now, tries=STUN_TRIES)
            case Method.OPTIONS:
                self._core.timers.set((self, Timer.ANSWER), now + ANSWER_S)
                self._options = Client(self._core, self._make_options(), self._flow, self)
                self._options.start(now=now)

    def _make_options(self) -> Request:
        address = self._account.address
        domain = Uri(address.scheme, None, None, address.host, address.port)
        fields = [
            ("Max-Forwards", MAX_FORWARDS),
            ("From", str(NameAddr(None, address).with_tag(self._core.new_identifier()))),
            ("To", str(NameAddr(None, domain))),
            ("Call-ID", self._core.new_identifier()),
            ("CSeq", str(CSeq(1, "OPTIONS"))),
            ("User-Agent", self._core.settings.user_agent),
        ]
        return Request("OPTIONS", domain, Headers(fields))

    def _stop_waiting(self, now: float) -> None:
        self._core.timers.cancel((self, Timer.ANSWER))
        if self._binding is not None:
            self._binding.cancel()
        options, self._binding, self._options = self._options, None, None
        if options is not None:
            options.abandon(now=now)


def choose_method(wanted: KeepAliveMethod, flow: Flow) -> Method | None:
    """Return how signs of life are given over a flow, or ``None`` for not at all.

    Left to us, over UDP the registration does it by itself: it renews itself as often.
    """
    match wanted:
        case "options":
            return Method.OPTIONS
        case "stun" if not flow.reliable:
            return Method.STUN
        case "crlf" if not flow.reliable:
            return Method.DATAGRAM
        case "off":
            return None
        case _:
            return Method.PING if flow.reliable else None
