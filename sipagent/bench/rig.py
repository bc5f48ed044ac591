"""What stands around the program under test, and itself: a model, callers, and the counts of all three.

The calls may become more or fewer while it stands, and are measured as often as one likes.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from types import TracebackType
from typing import Protocol, Self

from sipagent.bench.certificate import make_certificate
from sipagent.bench.child import Child, Churn, Order, Resize
from sipagent.bench.compiler import Tools
from sipagent.bench.figures import Measurement, conclude
from sipagent.bench.generator import ANSWER_S, Dialled, GeneratorFigures, Target, run_generator
from sipagent.bench.model import ModelFigures, ModelReady, run_model
from sipagent.bench.plan import SETTLE_S, Plan, Processors
from sipagent.bench.process import Usage
from sipagent.bench.program import Program

CHILD_START_S = 20.0
REPORT_S = 60.0
STEP_S = 0.5
"""How often progress is shown."""

Progress = Callable[[str, float], None]
"""Is told what goes on, and how much of it is done, 0 to 1."""


class Subject(Protocol):
    """What is under test."""

    @property
    def target(self) -> Target:
        """Whom to call."""

    def check(self) -> None:
        """Make sure that it lives."""

    def usage(self, *, with_descriptors: bool = False) -> Usage | None:
        """What it has taken so far."""


@dataclass(frozen=True, slots=True)
class Kit:
    """What every rig of a run is made of."""

    processors: Processors
    folder: Path
    """Where settings, logs and certificates go."""
    tools: Tools


class Rig:
    """Use it as ``with``.

    :param foreign: another bridge; without it, ours is started with a model.
    :raises SipagentError: when one of them does not start, or ends.
    """

    def __init__(self, plan: Plan, kit: Kit, *, progress: Progress, foreign: "Subject | None" = None) -> None:
        self.plan = plan
        self._kit = kit
        self._progress = progress
        self._foreign = foreign
        self._model: Child | None = None
        self._answer: list[float] = []
        self._ended: list[str] = []
        self._calls = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._progress("starting", 0.0)
        with ExitStack() as stack:
            self.subject = self._foreign or self._start(stack)
            self._idle = self.subject.usage()
            self._generator = self._child(
                stack, "generator", run_generator, self.subject.target, self._kit.tools.callers
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self._generator.order(Order.STOP)
            if self._model is not None:
                self._model.order(Order.STOP)
        self._stack.close()

    def _child(self, stack: ExitStack, name: str, main: Callable[..., None], *arguments: object) -> Child:
        """One of ours, right behind the program where that comes first."""
        given = self._kit.processors
        priority = None if given.priority is None else given.priority - 1
        return stack.enter_context(Child(name, main, *arguments, processors=given.others, priority=priority))

    def _start(self, stack: ExitStack) -> Program:
        folder, processors = self._kit.folder, self._kit.processors
        certificate = make_certificate(folder, now=datetime.fromtimestamp(time(), UTC)) if self.plan.tls else None
        self._model = self._child(stack, "model", run_model, certificate)
        port = self._model.receive(ModelReady, within_s=CHILD_START_S).port
        program = Program(
            self.plan, model_port=port, folder=folder, processors=processors.program, certificate=certificate
        )
        return stack.enter_context(program)

    def resize(self, calls: int) -> Dialled:
        """Have so many calls up; tell how the new ones were answered."""
        self._generator.order(Resize(calls, self.plan.dial_per_s))
        missing, self._calls = max(1, calls - self._calls), calls
        while True:
            dialled = self._generator.receive(Dialled, within_s=CHILD_START_S + ANSWER_S)
            self._progress("dialling", min(1.0, len(dialled.answer) / missing))
            if dialled.is_over:
                break
        self.plan = replace(self.plan, calls=calls)
        self._answer, self._ended = list(dialled.answer), list(dialled.failed)
        return dialled

    def churn(self, per_s: float, call_s: float) -> None:
        """From now on calls come and go."""
        self._generator.order(Churn(per_s, call_s))
        self.plan = replace(self.plan, calls=max(1, round(per_s * call_s)))
        self._answer, self._ended = [], []

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Let what has begun become steady."""
        self._rest(seconds, "settling")

    def measure(self, seconds: float, *, is_steady: bool = True) -> Measurement:
        """The seconds that count; the program's time is read at both ends of them."""
        self._order(Order.BEGIN)
        began_at, begin = monotonic(), self.subject.usage()
        self._rest(seconds, "measuring")
        window_s, end = monotonic() - began_at, self.subject.usage()
        self._order(Order.END)
        callers = self._generator.receive(GeneratorFigures, within_s=REPORT_S)
        model = self._model.receive(ModelFigures, within_s=REPORT_S) if self._model else None
        idle = self._idle
        usages = (idle, begin, end) if idle is not None and begin is not None and end is not None else None
        callers = replace(callers, ended=(*self._ended, *callers.ended))
        return conclude(
            self.plan,
            answer=self._answer,
            callers=callers,
            model=model,
            window_s=window_s,
            usages=usages,
            other_processors=len(self._kit.processors.others),
            is_steady=is_steady,
        )

    def _order(self, order: Order) -> None:
        self._generator.order(order)
        if self._model is not None:
            self._model.order(order)

    def _rest(self, seconds: float, what: str) -> None:
        began_at = monotonic()
        while (left := began_at + seconds - monotonic()) > 0:
            self._progress(what, 1 - left / seconds)
            self._generator.rest(min(STEP_S, left))
            self.subject.check()
        self._progress(what, 1.0)
