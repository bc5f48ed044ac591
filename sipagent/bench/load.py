"""One load from beginning to end: model, program and callers are started, measured while all talk, and ended."""

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from sipagent.bench.child import Child, Order
from sipagent.bench.figures import Measurement, Usage, conclude
from sipagent.bench.generator import ANSWER_S, Dialled, GeneratorFigures, run_generator
from sipagent.bench.model import ModelFigures, ModelReady, run_model
from sipagent.bench.plan import SETTLE_S, Plan, Processors
from sipagent.bench.program import Program

CHILD_START_S = 20.0
REPORT_S = 20.0
STEP_S = 0.5
"""How often progress is shown."""

Progress = Callable[[str, float], None]
"""Is told what goes on, and how much of it is done, 0 to 1."""


def run_load(plan: Plan, *, processors: Processors, folder: Path, progress: Progress) -> Measurement:
    """Measure.

    :param folder: where the program's settings and log go.
    :raises SipagentError: when one of the three fails.
    """
    progress("starting", 0.0)
    with Child("model", run_model, processors=processors.others) as model:
        port = model.receive(ModelReady, within_s=CHILD_START_S).port
        with Program(plan, model_port=port, folder=folder, processors=processors.program) as program:
            idle = program.usage()
            callers = Child("generator", run_generator, program.address, plan.calls, processors=processors.others)
            with callers as generator:
                answer = _dial(generator, plan, progress)
                _rest(SETTLE_S, "settling", generator, program, progress)
                window_s, heard, said, begin, end = _measure(plan, model, generator, program, progress)
                generator.order(Order.STOP)
        model.order(Order.STOP)
    return conclude(plan, answer=answer, callers=heard, model=said, window_s=window_s, usages=(idle, begin, end))


def _dial(generator: Child, plan: Plan, progress: Progress) -> Sequence[float]:
    answer: Sequence[float] = ()
    while len(answer) < plan.calls:
        answer = generator.receive(Dialled, within_s=CHILD_START_S + ANSWER_S).answer
        progress("dialling", len(answer) / plan.calls)
    return answer


def _measure(
    plan: Plan, model: Child, generator: Child, program: Program, progress: Progress
) -> tuple[float, GeneratorFigures, ModelFigures, Usage, Usage]:
    """The seconds that count; the program's time is read at both ends of them."""
    generator.order(Order.BEGIN)
    model.order(Order.BEGIN)
    began_at, begin = monotonic(), program.usage()
    _rest(plan.seconds, "measuring", generator, program, progress)
    window_s, end = monotonic() - began_at, program.usage()
    generator.order(Order.END)
    model.order(Order.END)
    callers = generator.receive(GeneratorFigures, within_s=REPORT_S)
    return window_s, callers, model.receive(ModelFigures, within_s=REPORT_S), begin, end


def _rest(seconds: float, what: str, generator: Child, program: Program, progress: Progress) -> None:
    began_at = monotonic()
    while (left := began_at + seconds - monotonic()) > 0:
        progress(what, 1 - left / seconds)
        generator.rest(min(STEP_S, left))
        program.check()
    progress(what, 1.0)
