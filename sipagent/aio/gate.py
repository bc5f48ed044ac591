"""The gate of the service: asks :mod:`sipagent.call.admission`, and tells it the load while that matters."""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import monotonic, process_time

from sipagent.aio.ticker import Ticker
from sipagent.call.admission import Admission, Load, Verdict

LOOK_S = 0.2
"""Two hundred beats a second make forty of them a look; a look takes microseconds."""


class Gate:
    """Use it on the loop of the calls.

    :param calls: how many there are.
    :param measure: what the process has come to.
    :param changed: is told when it closes for the load, and when it opens again.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        calls: Callable[[], int],
        measure: Callable[[], Load],
        changed: Callable[[Verdict], None] | None = None,
    ) -> None:
        self._admission = admission
        self._calls = calls
        self._measure = measure
        self._changed = changed
        self._is_closed = False
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        self.refusals: Counter[str] = Counter()
        """Calls that were refused, by why."""

    def look(self) -> Verdict:
        """Say whether a call would be taken."""
        self.watch()
        verdict = self._admission.judge(self._calls(), now=monotonic())
        if verdict.is_pressed != self._is_closed:
            self._is_closed = verdict.is_pressed
            if self._changed is not None:
                self._changed(verdict)
        return verdict

    @property
    def is_looking(self) -> bool:
        """Whether the load is looked at now and then."""
        return self._timer is not None

    def close(self) -> None:
        """Look no more: the calls are over."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def watch(self) -> None:
        """Tell the load from now on, as long as it matters: there is a call."""
        if self._timer is None and not self._is_over and self._admission.wants_load(self._calls()):
            self._tell()

    def _tell(self) -> None:
        self._admission.receive_load(self._measure(), self._calls(), now=monotonic())
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.look()


def load_of(ticker: Ticker) -> Load:
    """What this process has come to."""
    return Load(process_time(), ticker.turns, ticker.late_turns)
