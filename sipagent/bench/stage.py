"""Where the bench plays: processors divided, C built, progress on the terminal, and everything ended on SIGTERM."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sipagent.aio import descriptors
from sipagent.bench.load import open_kit
from sipagent.bench.plan import Plan, share_processors
from sipagent.bench.records import FOLDER
from sipagent.bench.rig import Kit
from sipagent.errors import SipagentError


class Show(Protocol):
    """Makes lines of progress."""

    def __call__(self, title: str) -> "Line":
        """Begin one."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of progress."""

    bar: Progress
    row: TaskID
    title: str

    def __call__(self, what: str, share: float) -> None:
        """Tell what goes on, and how much of it is done."""
        self.bar.update(self.row, description=f"{escape(self.title)}: {what}", completed=share)


@contextmanager
def open_stage(console: Console, plan: Plan) -> Iterator[tuple[Kit, Show]]:
    """Set it up.

    :raises SipagentError: where this system can't be measured on.
    """
    if sys.platform != "linux":
        raise SipagentError("the bench reads /proc and the kernel's time stamps, so it needs Linux")
    FOLDER.mkdir(exist_ok=True)
    descriptors.allow_all()  # for all that we start
    processors = share_processors(plan.workers or 1, is_realtime=plan.is_realtime)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with _interruptible(), open_kit(processors, FOLDER) as kit:
        if kit.tools.missing:
            console.print(f"[yellow]{escape(kit.tools.missing)}[/yellow]")
        if processors.are_shared:
            console.print("[yellow]there is one processor: callers and model take from the program's[/yellow]")
        with Progress(*columns, console=console, transient=True, refresh_per_second=2) as bar:
            yield kit, lambda title: Line(bar, bar.add_task("", total=1.0), title)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM unwinds the stack as Ctrl-C does, so that every process started is ended."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
