"""Reliable provisional responses (:rfc:`3262`): ringing that is sent again until a PRACK says that it was heard.

As server: one at a time waits for its PRACK, those that come meanwhile wait behind it, and after 64*T1 without a PRACK
the call is refused. As client: they count only in their order, and each gets one PRACK.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sipagent.errors import RemoteProtocolError
from sipagent.sip import grammar
from sipagent.sip.core import Core
from sipagent.sip.headers import CSEQ_MAX, CSeq, Headers
from sipagent.sip.message import Response
from sipagent.sip.transaction import T1, TIMEOUT

OPTION_TAG = "100rel"

FIRST_RSEQ_MAX = 2**31 - 1
"""The first number is a chance one up to this (:rfc:`3262#section-3`)."""

WAITING_MAX = 8
"""Responses that wait for the PRACK of the one before; of more the oldest is dropped, for each says what is now."""


@dataclass(frozen=True, slots=True)
class RAck:
    """RAck (:rfc:`3262#section-7.2`): which provisional response is acknowledged."""

    number: int
    cseq: CSeq

    @classmethod
    def parse(cls, text: str) -> "RAck":
        """Read the field.

        :raises RemoteProtocolError: when it breaks the grammar.
        """
        number, _, cseq = text.partition(" ")
        return cls(grammar.parse_number(number, CSEQ_MAX + 1), CSeq.parse(cseq.strip(" \t")))

    def __str__(self) -> str:
        return f"{self.number} {self.cseq}"


def read_rack(headers: Headers) -> RAck | None:
    """Return RAck; one that can't be read acknowledges nothing."""
    try:
        return RAck.parse(headers.get("RAck", "").replace("\t", " "))
    except RemoteProtocolError:
        return None


def read_rseq(response: Response) -> int | None:
    """Return the number of a reliable provisional response, ``None`` for one that wants no PRACK."""
    if not 101 <= response.status <= 199 or OPTION_TAG not in [tag.lower() for tag in response.require]:
        return None
    try:
        return grammar.parse_number(response.headers.get("RSeq", ""), CSEQ_MAX + 1)
    except RemoteProtocolError:
        return None


class Timer(Enum):
    """What an unacknowledged response waits for."""

    COPY = "copy"
    LIMIT = "limit"


class ReliableOwner(Protocol):
    """The INVITE that rings."""

    def send_provisional(self, response: Response, *, now: float) -> None:
        """Send it, or a copy of it."""

    def on_unheard(self, *, now: float) -> None:
        """No PRACK came in 64*T1 (:rfc:`3262#section-3`)."""


class ReliableProvisionals:
    """The provisional responses to one INVITE of the peer's that want a PRACK."""

    def __init__(self, core: Core, invite: CSeq, owner: ReliableOwner) -> None:
        self._core = core
        self._invite = invite
        self._owner: ReliableOwner | None = owner
        """``None`` once there is a final response: nothing is sent any more, and it holds us."""
        self._number = core.random.randint(1, FIRST_RSEQ_MAX)
        self._current: Response | None = None
        self._waiting: deque[Response] = deque()
        self._is_over = False
        self._interval = T1

    @property
    def holds_description(self) -> bool:
        """Whether a session description is not yet known to have arrived: a 2xx must wait for its PRACK."""
        return not self._is_over and any(response.body for response in (self._current, *self._waiting) if response)

    def send(self, response: Response, *, now: float) -> None:
        """Send a response as soon as those before it are acknowledged."""
        if len(self._waiting) == WAITING_MAX:
            del self._waiting[next((i for i, old in enumerate(self._waiting) if not old.body), 0)]
        self._waiting.append(response)
        if self._current is None:
            self._send_next(now)

    def receive_prack(self, rack: RAck | None, *, now: float) -> Response | None:
        """Take a PRACK; return the response that it acknowledges, ``None`` when there is none: 481."""
        current = self._current
        if current is None or rack != RAck(self._number, self._invite):
            return None
        self._current = None
        self._number += 1
        self._cancel_timers()
        if self._waiting:
            self._send_next(now)
        return current

    def stop(self) -> None:
        """Send no more: there is a final response. A PRACK may still be on its way."""
        self._is_over = True
        self._owner = None
        self._waiting.clear()
        self._cancel_timers()

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Send a copy, or give up."""
        owner = self._owner
        if owner is not None and timer is Timer.LIMIT:
            self.stop()
            owner.on_unheard(now=now)
        elif owner is not None and self._current is not None:
            owner.send_provisional(self._current, now=now)
            self._interval *= 2
            self._core.timers.set((self, Timer.COPY), now + self._interval)

    def _send_next(self, now: float) -> None:
        self._current = self._waiting.popleft()
        self._current.headers.add("Require", OPTION_TAG)
        self._current.headers.add("RSeq", str(self._number))
        self._interval = T1
        self._core.timers.set((self, Timer.COPY), now + T1)
        self._core.timers.set((self, Timer.LIMIT), now + TIMEOUT)
        if self._owner is not None:
            self._owner.send_provisional(self._current, now=now)

    def _cancel_timers(self) -> None:
        for timer in Timer:
            self._core.timers.cancel((self, timer))


class ReliableOrder:
    """The order of one telephone's reliable provisional responses (:rfc:`3262#section-4`)."""

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, number: int) -> bool:
        """Take a response's number; ``False`` for a copy, or one that overtook another: it is to be ignored."""
        if self._last is not None and number != self._last + 1:
            return False
        self._last = number
        return True
