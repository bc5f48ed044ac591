"""One load from beginning to end: model, program and callers are started, measured while all talk, and ended."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sipagent.bench.compiler import build_tools
from sipagent.bench.figures import Measurement
from sipagent.bench.plan import PRIORITY, Plan, Processors
from sipagent.bench.rig import Kit, Progress, Rig
from sipagent.errors import SipagentError


@contextmanager
def open_kit(processors: Processors, folder: Path) -> Iterator[Kit]:
    """Build what is to be built, for as long as it is needed.

    :param folder: where the program's settings and log go.
    """
    with tempfile.TemporaryDirectory(prefix="sipagent-bench-") as name:
        yield Kit(processors, folder, build_tools(Path(name)))


def run_load(plan: Plan, *, processors: Processors, folder: Path, progress: Progress) -> Measurement:
    """Measure.

    :param folder: where the program's settings and log go.
    :raises SipagentError: when one of the three fails, or a call does not stand.
    """
    if plan.is_realtime:
        processors = replace(processors, priority=PRIORITY)
    with open_kit(processors, folder) as kit:
        return run_in(kit, plan, progress=progress)


def run_in(kit: Kit, plan: Plan, *, progress: Progress) -> Measurement:
    """The same with what is built already."""
    with Rig(plan, kit, progress=progress) as rig:
        failed = rig.resize(plan.calls).failed
        if failed:
            reasons = ", ".join(sorted(set(failed)))
            raise SipagentError(f"{plan.calls - len(failed)} of {plan.calls} calls stand ({reasons})")
        rig.settle()
        return rig.measure(plan.seconds)
