"""A process of the bench and the pipe to it: orders go down, reports come up.

When the bench dies its children read the end of the pipe and end, too.
"""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from multiprocessing import connection, get_context
from types import TracebackType
from typing import Any, Self, TypeVar

from sipagent.errors import SipagentError

STOP_S = 3.0
"""How long a child may take to end before it is killed."""

Report = TypeVar("Report")


class Order(Enum):
    """What a child is told."""

    BEGIN = "begin"
    """Forget what was counted so far: the measured seconds begin."""
    END = "end"
    """Report what was counted."""
    STOP = "stop"
    """Finish."""


@dataclass(frozen=True, slots=True)
class Resize:
    """Have so many calls up: dial, or hang up those that came last."""

    calls: int
    per_s: float
    """How many are dialled each second."""


@dataclass(frozen=True, slots=True)
class Churn:
    """From now on dial without end, and hang up each call after a while."""

    per_s: float
    call_s: float


class Boss:
    """The child's end of the pipe."""

    def __init__(self, pipe: "connection.Connection[Any, Any]") -> None:
        self._pipe = pipe

    async def order(self) -> Order | Resize | Churn:
        """Wait for the next order; a boss who is gone wants us to stop."""
        try:
            order: Order | Resize | Churn = await asyncio.to_thread(self._pipe.recv)
            return order
        except (EOFError, OSError):
            return Order.STOP

    def report(self, report: object) -> None:
        """Send a report; of a boss who is gone the next order will tell."""
        with suppress(OSError):
            self._pipe.send(report)


class Child:
    """The bench's end; use it as ``with``.

    :param main: runs in the child, with the pipe and ``arguments``, which travel as pickles do.
    :param priority: real-time, if it is to have that.
    """

    def __init__(
        self,
        name: str,
        main: Callable[..., None],
        *arguments: object,
        processors: Set[int],
        priority: int | None = None,
    ) -> None:
        context = get_context("spawn")
        self._name = name
        self._pipe, self._far_end = context.Pipe()
        self._process = context.Process(
            target=_run, args=(processors, priority, main, self._far_end, *arguments), name=name, daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        self._far_end.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def order(self, order: Order | Resize | Churn) -> None:
        """Tell the child.

        :raises SipagentError: when it is gone.
        """
        try:
            self._pipe.send(order)
        except OSError as error:
            raise SipagentError(f"the {self._name} has ended") from error

    def receive(self, kind: type[Report], *, within_s: float) -> Report:
        """Wait for the next report, which must be of a kind.

        :raises SipagentError: when it does not come, or the child has ended.
        """
        if not self._pipe.poll(within_s):
            raise SipagentError(f"the {self._name} said nothing for {within_s:g} s")
        try:
            report = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise SipagentError(f"the {self._name} has ended") from error
        if not isinstance(report, kind):
            raise SipagentError(f"the {self._name} failed: {report}")
        return report

    def rest(self, seconds: float) -> None:
        """Let time pass.

        :raises SipagentError: at once when the child ends meanwhile.
        """
        if self._pipe.poll(seconds):
            self.receive(_Nothing, within_s=0)


class _Nothing:
    """What a child that is at work reports."""


def _run(processors: Set[int], priority: int | None, main: Callable[..., None], *arguments: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bench, which then ends us
    os.sched_setaffinity(0, processors)
    if priority is not None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    gc.disable()  # it stops us for 100 ms, which would be taken for the program's
    main(*arguments)
