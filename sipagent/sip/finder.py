"""Finds out from where a PBX or trunk calls that we do not register with: from where its domain leads.

A registrar is known once it has answered. A trunk that just knows our address says nothing before its first call, which
would be a stranger's; so its domain is located when we start, and again as DNS may change.
"""

from collections.abc import Sequence
from enum import Enum

from sipagent.sip.core import Core
from sipagent.sip.events import Flow
from sipagent.sip.line import Line

AGAIN_S = 300.0
"""Seconds between two looks; what DNS says is rarely good for less, and the shell's cache answers what it knows."""


class Timer(Enum):
    """What a finder waits for."""

    AGAIN = "again"


class PeerFinder:
    """Looks for the addresses of one line's PBX."""

    def __init__(self, core: Core, line: Line) -> None:
        self._core = core
        self._line = line

    def start(self, *, now: float) -> None:
        """Look, and again from time to time."""
        self._core.timers.set((self, Timer.AGAIN), now + AGAIN_S)
        self._core.locate(self, self._line.first_hop(self._line.account.address))

    def located(self, targets: Sequence[Flow], *, reason: str, now: float) -> None:
        """Take what calls from there for the line's."""
        for flow in targets:
            self._core.learn_peer(self._line, flow)

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """Look again."""
        self.start(now=now)
