"""How the programs end that tests start."""

import subprocess
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self


class Stoppable(ABC):
    """Is stopped at the end of a ``with``."""

    @abstractmethod
    def stop(self) -> object:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def wait_or_kill(process: "subprocess.Popen[Any]", seconds: float) -> int:
    """Wait for a program that was asked to end, and insist; return its exit status."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
