"""The registration of one account: that its PBX knows where we are, now and for as long as we want it to.

A REGISTER tells our Contact, and another renews it well before it expires (:rfc:`3261#section-10`). All of one
registration have one Call-ID and count on. How it stays up:

- **A registrar that forgot us tells nobody.** A proxy that was restarted without its location table answers OPTIONS
  as if nothing had happened, so over UDP the sign of life that keeps the way through a NAT open is a REGISTER
  itself, each :attr:`~sipagent.sip.account.Account.keep_alive_s` (``auto``). It is the one a registrar can't
  misunderstand, and as it carries credentials for a nonce that was good it is one message and its answer. So a
  table that is lost is filled again within 25 s. Over TCP and TLS such a restart ends the connection, which is a
  sooner sign; the flow is kept open by others (:rfc:`5626#section-3.5`).
- **A registrar that does not answer** is left after :data:`PATIENCE_S`, and asked again later and later, unevenly
  (:rfc:`5626#section-4.5`), at the latest after :data:`LONGEST_WAIT_S`. But one that we were registered with is
  asked again within :data:`LONGEST_WAIT_AFTER_S`: somebody is called there, and 30 s after it is back so must we be.
  20 s of waiting leave room for lost packets and for the challenge.
- **Several registrars** are tried in order, each round from the first. Who ended up elsewhere comes back to the first
  after :data:`RETURN_S`.
- **A refusal** (a wrong password, an unknown user) is told once and tried again each :data:`REFUSED_WAIT_S`, so that
  what is put right at the other end heals, and no ban on guessing is earned.
- **Many accounts** that have the same reason to register at once, as after a lost connection, spread over a time that
  grows with their number, up to :data:`CROWD_MAX_S`; and what they do again and again is uneven, so that what a
  restart has brought into step gets out of it.
"""

import re
from collections import deque
from enum import Enum

from sipagent.sip.binding import EXPIRES_MAX_S, Binding, read_number
from sipagent.sip.client import Client
from sipagent.sip.core import Core
from sipagent.sip.diagnosis import diagnose
from sipagent.sip.events import Address, Flow, Hop, Registered, RegistrationFailed, TargetFailed, Unregistered
from sipagent.sip.grammar import parse_number
from sipagent.sip.headers import NameAddr
from sipagent.sip.keep_alive import KeepAlive
from sipagent.sip.line import Line
from sipagent.sip.message import Request, Response
from sipagent.sip.register import binding_headers, make_register
from sipagent.sip.registrar_query import RegistrarQuery
from sipagent.sip.uri import Uri

PATIENCE_S = 8.0
"""Without any answer a target is given up: UDP has sent five copies, and those to come would only add to a crowd."""

LONGEST_WAIT_S = 300.0
"""Between two tries where we never got through; :rfc:`5626#section-4.5` would have half an hour."""

LONGEST_WAIT_AFTER_S = 20.0
"""The same where we were registered once: back within 30 s."""

REFUSED_WAIT_S = 300.0
"""Between two tries with what was refused: two wrong passwords in five minutes, where five in ten are banned."""

RETURN_S = 300.0
"""On another registrar than the first for so long, the first is tried again."""

RETRY_AFTER_MAX_S = 3_600
"""A registrar that wants to be left alone for longer is asked once an hour all the same."""

SHORTEST_S = 5.0
"""Between two renewals, however little is granted."""

RENEW_AT = (0.8, 0.9)
"""Parts of what is granted after which it is renewed: time is left for more than one try."""

KEEP_ALIVE_AT = (0.6, 1.0)
"""Parts of the time between two signs of life: 15 to 25 s."""

CROWD_PER_ACCOUNT_S = 0.02
CROWD_MAX_S = 20.0
"""Over how long accounts spread that register at once: 50 a second, unless that made the last of them late."""

LEAVE_S = 4.0
"""How long the answer to our goodbye is waited for; the binding ends by itself if it is lost."""

CORRECTIONS_MAX = 3
"""Of one try: a longer time (423), and without outbound (439)."""

SILENT_WAIT_S = 16.0
"""After a silence at least, before it is made uneven: five copies were sent, and so many again are no better."""

TRANSIENT = frozenset({408, 429, 430, 480, 491, 500, 502, 503, 504, 580})
"""Refusals that may be different the next time, or elsewhere; others need somebody to change something."""

_seconds = re.compile(r"[0-9]+").match


def back_off(failures: int, shortest: float, longest: float, crowd: float) -> float:
    """Return the seconds to wait after so many failures, before they are made uneven: 1, 2, 4 and so on."""
    return min(max(2.0 ** min(failures - 1, 16), shortest) + crowd, longest)


class State(Enum):
    """What a registration is about."""

    IDLE = "idle"
    """Not wanted."""
    WANTED = "wanted"
    """It is up, or being tried, or waits for the next try."""
    LEAVING = "leaving"
    """Our goodbye is not answered yet."""


class Timer(Enum):
    """What a registration waits for."""

    NEXT = "next"
    """To register, again or anew."""
    PATIENCE = "patience"
    LEAVE = "leave"


class Registration:
    """One account's; it is the user of its requests.

    :param line: its ``service_route`` is kept up to date (:rfc:`3608`).
    :param crowd_s: over how long all that have the same reason to register at once spread.
    :param by_flow: where it enters itself under the flow that it goes by.
    """

    def __init__(
        self, core: Core, line: Line, *, crowd_s: float, by_flow: dict[tuple[str, Address], set["Registration"]]
    ) -> None:
        self.name = line.account.name
        self.state = State.IDLE
        self.is_bound = False
        """The last REGISTER was accepted, and its time is not over as far as we know."""
        self.path: tuple[NameAddr, ...] = ()
        """The proxies by which the registrar reaches us (:rfc:`3327`), as it told."""
        self._core = core
        self._line = line
        self._account = line.account
        self._crowd_s = crowd_s
        self._by_flow = by_flow
        proxy = line.account.outbound_proxy
        self._registrars = (proxy,) if proxy is not None else line.account.registrars
        self._not_before = [0.0] * len(self._registrars)
        self._round: deque[int] = deque()
        self._index = 0
        self._return_at: float | None = None
        self._flow: Flow | None = None
        """The way of the REGISTER that was accepted; a connection is kept to (:rfc:`5626#section-4.2.2`)."""
        self._keep_alive: KeepAlive | None = None
        self._is_by_flow = False
        self._client: Client | None = None
        self._call_id = core.new_identifier()
        self._sequence = 0
        self._asked_s = line.account.expires_s
        self._has_outbound = True
        self._corrections = 0
        self._failures = 0
        self._has_been_bound = False
        self._told: object = None
        """What was last said, so as not to say it again."""

    @property
    def is_trying(self) -> bool:
        """Whether an answer is awaited."""
        return self._client is not None

    # Commands.

    def start(self, *, now: float) -> None:
        """Register, or renew the registration, soon."""
        self._stop_trying(now)
        self._core.timers.cancel((self, Timer.LEAVE))
        self.state = State.WANTED
        self._failures = 0
        self._go_by(None, now)
        self._core.timers.set((self, Timer.NEXT), now + self._spread())

    def leave(self, *, now: float) -> None:
        """End the registration (:rfc:`3261#section-10.2.2`); :class:`~sipagent.sip.events.Unregistered` will follow."""
        if self.state is not State.WANTED:
            return
        was_trying = self.is_trying
        self._stop_trying(now)
        self._core.timers.cancel((self, Timer.NEXT))
        self.state = State.LEAVING
        if self.is_bound or was_trying:
            self._core.timers.set((self, Timer.LEAVE), now + LEAVE_S)
            self._send(0, now)
        else:
            self._finish_leaving(now)

    def query(self, registrar: Uri, *, now: float) -> None:
        """Ask a registrar whether it would take us; this changes nothing."""
        RegistrarQuery(self._core, self._line, registrar).start(now=now)

    def flow_failed(self, *, now: float) -> None:
        """The flow that it goes by is lost: register by another."""
        self._go_by(None, now)
        if self.state is State.WANTED and not self.is_trying:
            self._core.timers.set((self, Timer.NEXT), now + self._spread())

    def on_flow_dead(self, *, now: float) -> None:
        """The signs of life over it are not answered any more."""
        self.flow_failed(now=now)

    # What becomes of a REGISTER.

    def receive_response(self, response: Response, *, now: float) -> None:
        """A response that is not about credentials."""
        self._core.timers.cancel((self, Timer.PATIENCE))
        if response.status < 200:
            return
        client = self._forget_client()
        if self.state is State.LEAVING:
            self._finish_leaving(now)
        elif response.status < 300:
            self._on_accepted(client, response, now)
        elif not self._correct(response, now):
            self._on_refused(response, now)

    def transaction_failed(self, failure: str, *, now: float) -> None:
        """Nobody answers, or nobody is there."""
        self._core.timers.cancel((self, Timer.PATIENCE))
        client = self._forget_client()
        why = f": {client.reason}" if client is not None and client.reason else ""
        self._on_failed(failure, now, why)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """It is time for something."""
        match timer:
            case Timer.NEXT:
                self._begin_round(now)
            case Timer.PATIENCE:
                self._on_silence(now)
            case Timer.LEAVE:
                self._stop_trying(now)
                self._finish_leaving(now)

    # Trying.

    def _begin_round(self, now: float) -> None:
        """Try the registrars in order; where we are bound, that one first, unless it is time to come back."""
        order = list(range(len(self._registrars)))
        if self.is_bound:
            is_returning = self._return_at is not None and now >= self._return_at
            first = [0, self._index] if is_returning else [self._index]
            order = list(dict.fromkeys([*first, *order]))
        self._round = deque(index for index in order if self._not_before[index] <= now)
        self._corrections = 0
        self._try_next(now)

    def _try_next(self, now: float) -> None:
        if not self._round:
            self._wait(min(self._not_before) - now, now)
            return
        index = self._round.popleft()
        if index != self._index:
            self._go_by(None, now)
        self._index = index
        self._send(self._asked_s, now)

    def _send(self, expires_s: int, now: float) -> None:
        flow = self._flow if self._flow is not None and self._flow.reliable else None
        self._is_by_flow = flow is not None
        hop: Hop = flow or self._registrars[self._index]
        self._client = Client(self._core, self._make_request(expires_s), hop, self, line=self._line)
        self._core.timers.set((self, Timer.PATIENCE), now + PATIENCE_S)
        self._client.start(now=now)

    def _make_request(self, expires_s: int) -> Request:
        self._sequence += 1
        headers = binding_headers(self._core, self._line, expires_s, has_outbound=self._has_outbound)
        return make_register(self._core, self._line, headers, call_id=self._call_id, sequence=self._sequence)

    def _go_by(self, flow: Flow | None, now: float) -> None:
        """Note by which flow the registration goes, so that its loss is told."""
        if flow == self._flow:
            return
        if self._keep_alive is not None:
            self._keep_alive.stop(now=now)
            self._keep_alive = None
        if self._flow is not None:
            self._by_flow[self._flow.key].discard(self)
            if not self._by_flow[self._flow.key]:
                del self._by_flow[self._flow.key]
        self._flow = flow
        if flow is not None:
            self._by_flow.setdefault(flow.key, set()).add(self)

    def _keep_open(self, response: Response, now: float) -> None:
        """Give signs of life over the flow, as the registrar wants them."""
        if self._flow is None or self._keep_alive is not None:
            return
        tags = [*response.headers.get_all("Require"), *response.headers.get_all("Supported")]
        self._keep_alive = KeepAlive(
            self._core,
            self._flow,
            self._account,
            self,
            flow_timer_s=read_number(response.headers.get("Flow-Timer"), EXPIRES_MAX_S) or None,
            expects_pong="outbound" in tags,
        )
        self._keep_alive.start(now=now)

    def _spread(self) -> float:
        return self._core.random.uniform(0.0, self._crowd_s)

    def _forget_client(self) -> Client | None:
        """The request is over; what it counted is taken note of."""
        client, self._client = self._client, None
        if client is not None:
            self._sequence = client.request.cseq.number
        return client

    def _stop_trying(self, now: float) -> None:
        self._core.timers.cancel((self, Timer.PATIENCE))
        client = self._forget_client()
        if client is not None:
            client.abandon(now=now)

    # What comes of it.

    def _on_silence(self, now: float) -> None:
        """Give up, unless another target of the same registrar has only just been asked."""
        client = self._client
        if client is None:
            return
        if client.sent_at is not None and now < client.sent_at + PATIENCE_S:
            self._core.timers.set((self, Timer.PATIENCE), client.sent_at + PATIENCE_S)
            return
        if client.flow is not None:
            self._core.emit(TargetFailed(client.flow))
        self._stop_trying(now)
        self._on_failed("timeout", now)

    def _on_failed(self, failure: str, now: float, why: str = "") -> None:
        if self.state is State.LEAVING:
            self._finish_leaving(now)
        elif self._is_by_flow:
            # The connection was at fault, perhaps, not the registrar: it has its chance by another.
            self._go_by(None, now)
            self._send(self._asked_s, now)
        elif failure == "timeout":
            self._on_unavailable(None, "no answer", now, shortest=SILENT_WAIT_S)
        else:
            self._on_unavailable(None, f"it can't be reached{why}", now)

    def _on_refused(self, response: Response, now: float) -> None:
        status, reason = response.status, diagnose(response, self._account.credentials)
        after = _retry_after(response)
        if after:
            self._not_before[self._index] = now + after
        if status in TRANSIENT:
            self._on_unavailable(status, reason, now)
        else:
            self._round.clear()
            self._lose(status, reason, self._wait(self._core.random.uniform(1.0, 1.2) * REFUSED_WAIT_S, now), now)

    def _on_unavailable(self, status: int | None, reason: str, now: float, *, shortest: float = 0.0) -> None:
        """Try the next registrar at once, or all of them again in a while."""
        if self._round:
            self._try_next(now)
            return
        self._failures += 1
        longest = LONGEST_WAIT_AFTER_S if self._has_been_bound else LONGEST_WAIT_S
        wait = back_off(self._failures, shortest, longest, self._crowd_s) * self._core.random.uniform(0.5, 1.0)
        self._lose(status, reason, self._wait(max(wait, min(self._not_before) - now), now), now)

    def _lose(self, status: int | None, reason: str, retry_s: float, now: float) -> None:
        """Say that we are not registered, and why, unless that was said."""
        self.is_bound = False
        self._go_by(None, now)
        self._return_at = None
        if self._told != (status, reason):
            self._told = (status, reason)
            self._core.emit(RegistrationFailed(self._account.name, status, reason, retry_s))

    def _wait(self, seconds: float, now: float) -> float:
        self._core.timers.set((self, Timer.NEXT), now + seconds)
        return seconds

    def _correct(self, response: Response, now: float) -> bool:
        """Ask again in the way the registrar wants it; ``False`` when that is not the matter, or has been tried."""
        if self._corrections == CORRECTIONS_MAX:
            return False
        if response.status == 423:
            wanted = read_number(response.headers.get("Min-Expires"), EXPIRES_MAX_S)
            if wanted is None or wanted <= self._asked_s:
                return False
            self._asked_s = wanted
        elif response.status == 439 and self._has_outbound:
            self._has_outbound = False
        else:
            return False
        self._corrections += 1
        self._send(self._asked_s, now)
        return True

    def _on_accepted(self, client: Client | None, response: Response, now: float) -> None:
        """We are registered, if the registrar lists us."""
        sent = client.request.contact if client is not None else None
        binding = Binding.read(response, sent, self._asked_s)
        if binding.expires_s == 0:
            self._on_unavailable(response.status, "accepted, but not kept", now)
            return
        self.is_bound = self._has_been_bound = True
        self._failures = 0
        self._round.clear()
        self._go_by(client.flow if client is not None else None, now)
        self._keep_open(response, now)
        self._line.service_route, self.path = binding.service_route, binding.path
        if self._index == 0:
            self._return_at = None
        elif self._return_at is None or now >= self._return_at:
            self._return_at = now + RETURN_S
        self._wait(self._renewal(binding.expires_s), now)
        registrar = self._registrars[self._index].host_port
        if self._told != (registrar, binding.seen_as):
            self._told = (registrar, binding.seen_as)
            said = Registered(self._account.name, binding.expires_s, registrar, binding.seen_as, self._flow)
            self._core.emit(said)

    def _renewal(self, granted: int) -> float:
        """Return the seconds to the next REGISTER: before the time is over, and as a sign of life over UDP."""
        random = self._core.random
        seconds = granted * random.uniform(*RENEW_AT)
        if self._account.keep_alive == "auto" and self._flow is not None and not self._flow.reliable:
            seconds = min(seconds, self._account.keep_alive_s * random.uniform(*KEEP_ALIVE_AT))
        return max(seconds, SHORTEST_S)

    def _finish_leaving(self, now: float) -> None:
        self._core.timers.cancel((self, Timer.LEAVE))
        self.state = State.IDLE
        self.is_bound = False
        self._go_by(None, now)
        self._told = None
        self._line.service_route = ()
        self._core.emit(Unregistered(self._account.name))


def _retry_after(response: Response) -> float:
    """Return the seconds that we are to wait, whatever stands behind them (:rfc:`3261#section-20.33`)."""
    found = _seconds(response.headers.get("Retry-After", ""))
    return 0.0 if found is None else float(parse_number(found[0], RETRY_AFTER_MAX_S))
