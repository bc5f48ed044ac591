"""The clock of a session timer (:rfc:`4028#section-10`): when the next refresh is due, and when the call is given up.

Anything that either side refreshes the session by winds it up again. What a refresh is made of, an UPDATE or a
re-INVITE, is the session's affair.
"""

from enum import Enum
from typing import Protocol

from sipagent.sip.core import Core
from sipagent.sip.session_timer import SessionTimer

RETRY_S = 10.0
"""A refresh that was refused, or could not be sent now, is tried again after this, or as long as Retry-After says."""


class Timer(Enum):
    """What the session waits for."""

    REFRESH = "refresh"
    EXPIRY = "expiry"


class RefreshOwner(Protocol):
    """The session that is kept alive."""

    def on_refresh_due(self, *, now: float) -> None:
        """Send a refresh."""

    def on_expired(self, *, now: float) -> None:
        """No refresh succeeded in time."""


class Refresh:
    """The clock of one session."""

    def __init__(self, core: Core, timer: SessionTimer, owner: RefreshOwner) -> None:
        self._core = core
        self._timer = timer
        self._owner: RefreshOwner | None = owner
        """``None`` once the call is over: it holds us."""

    def wind_up(self, *, now: float) -> None:
        """Begin an interval: the session was refreshed just now, and perhaps agreed otherwise."""
        for timer, after_s in (
            (Timer.REFRESH, self._timer.refresh_after_s),
            (Timer.EXPIRY, self._timer.expires_after_s),
        ):
            if after_s is None:
                self._core.timers.cancel((self, timer))
            else:
                self._core.timers.set((self, timer), now + after_s)

    def retry(self, after_s: float | None = None, *, now: float) -> None:
        """Refresh later; a peer that does not count on it anyway is left in peace for a whole interval."""
        if not self._timer.is_shared:
            self.wind_up(now=now)
        elif self._timer.is_ours:
            self._core.timers.set((self, Timer.REFRESH), now + max(after_s or 0.0, RETRY_S))

    def stop(self) -> None:
        """The call is over."""
        self._owner = None
        for timer in Timer:
            self._core.timers.cancel((self, timer))

    def on_timer(self, timer: Timer, *, now: float) -> None:
        """It is due."""
        owner = self._owner
        if owner is not None and timer is Timer.REFRESH:
            owner.on_refresh_due(now=now)
        elif owner is not None:
            owner.on_expired(now=now)
