"""Whether the caller is still there: the watchdog's looks at a leg, and what is done when nothing comes.

On hold, and on the way to somebody else, silence is no wonder.
"""

from collections.abc import Callable

from sipagent.call import events
from sipagent.call.sip_leg import SipLeg
from sipagent.call.watchdog import DeadAirSettings, Step, Watchdog
from sipagent.timers import Timers

TIMER = "silence"


class Vigil:
    """One call's.

    :param emit: takes facts, and the question by SIP.
    :param timers: the call's; ours is :data:`TIMER`.
    """

    def __init__(
        self, settings: DeadAirSettings, *, leg: SipLeg, emit: Callable[[events.Output], None], timers: Timers[str]
    ) -> None:
        self._watchdog = Watchdog(settings)
        self._leg = leg
        self._emit = emit
        self._timers = timers
        self._expected_at = 0.0

    def expect(self, *, now: float) -> None:
        """Something is to come from now on: the call was answered, the hold ended, or somebody else came in."""
        self._expected_at = now

    def look(self, *, is_excused: bool = False, now: float) -> bool:
        """Do what is due about a caller of whom nothing comes; say whether it is time to hang up."""
        since = now if is_excused or self._leg.is_held else max(self._leg.heard_at, self._expected_at)
        match self._watchdog.look(since, now=now):
            case Step.WARN:
                self._emit(events.DeadAir(now - since))
            case Step.PROBE:
                self._emit(events.AskForLife())
            case Step.HANG_UP:
                return True
        self._timers.set(TIMER, self._watchdog.due_at)
        return False
