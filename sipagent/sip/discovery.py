"""Our address as a STUN server sees it, asked for at the start and every few minutes (:rfc:`8489`).

It is asked from the socket that SIP uses, so that the port is seen too. What was seen stays true until something else
is seen: a STUN server that is down is no reason to believe that our address is gone.
"""

from collections.abc import Sequence

from sipagent.sip.core import Core
from sipagent.sip.events import Address, AddressSeen, Flow
from sipagent.sip.stun_client import StunTransaction
from sipagent.sip.uri import Uri

INTERVAL_S = 120.0
"""Between two questions: so long may a new address of the router go unnoticed when nobody registers."""

RETRY_S = 20.0
"""Until the next question when no server answered."""

TRIES = 4
"""Requests to one server: given up after 11.5 s."""

SERVERS_MAX = 4
"""Addresses of the server's name that are tried in turn."""


class Discovery:
    """Asks one server for as long as the user agent lives.

    :param server: host and port in a URI, which is never written: only located.
    """

    def __init__(self, core: Core, server: Uri) -> None:
        self._core = core
        self._server = server
        self._targets: list[Flow] = []
        self._flow: Flow | None = None
        self._is_over = False
        self._binding: StunTransaction | None = None

    def start(self, *, now: float) -> None:
        """Ask now."""
        self._core.timers.set((self, "again"), now + RETRY_S)
        self._core.locate(self, self._server)

    def stop(self) -> None:
        """Ask no more."""
        self._is_over = True
        self._core.timers.cancel((self, "again"))
        if self._binding is not None:
            self._binding.cancel()

    def located(self, targets: Sequence[Flow], *, reason: str, now: float) -> None:
        """Ask the first of them."""
        if self._is_over:
            return
        self._targets = [target for target in targets[:SERVERS_MAX] if not target.reliable]
        self._ask_next(now)

    def on_bound(self, mapped: Address, *, now: float) -> None:
        """The server sees us."""
        if self._flow is not None:
            self._core.emit(AddressSeen(mapped, self._flow))
        self._core.timers.set((self, "again"), now + INTERVAL_S)

    def on_unbound(self, *, now: float) -> None:
        """The server does not answer: ask the next one, or later again."""
        self._ask_next(now)

    def on_timer(self, timer: str, *, now: float) -> None:
        """It is time to ask again."""
        self.start(now=now)

    def _ask_next(self, now: float) -> None:
        if self._targets:
            self._core.timers.cancel((self, "again"))
            self._flow = self._targets.pop(0)
            self._core.know(self._flow, now=now)
            self._binding = self._core.stun.ask(self._flow, self, now=now, tries=TRIES)
        else:
            self._core.timers.set((self, "again"), now + RETRY_S)
