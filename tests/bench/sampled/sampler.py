"""Samples a program from within: what each of its threads takes of the processor, and where.

A timer of processor time (``ITIMER_PROF``) ticks for every 5 ms that the process takes, user and system, so a program
that sleeps is not looked at. At a tick each thread's own clock says what it has taken since the last one, and that is
put down to where the thread is: the weights are processor time, not counts.

The interpreter lets a signal in at three places: at the beginning of a Python function, after a function of C has
returned, and at the end of a loop's round. What was taken until the beginning of a function was its caller's, and is
put down to that. What was taken in C or by the kernel is put down to the line that called it. Only what a function does
after its last call may be found on its caller.

It needs no rights and no package, and a tick costs the program some 20 μs in 5 ms.
"""

import atexit
import dis
import json
import linecache
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeAlias

EVERY_S = 0.005

RESUME = dis.opmap["RESUME"]
CALLS = frozenset(code for name, code in dis.opmap.items() if "CALL" in name)

Place: TypeAlias = tuple[CodeType, ...]
Stack: TypeAlias = tuple[str, Place, int]
"""The thread, its functions from the outermost on, and the line whose call into C was waited for; 0 for none."""


class Sampler:
    """To be used in the main thread, where Python delivers its signals."""

    def __init__(self) -> None:
        self.taken: dict[Stack, float] = defaultdict(float)
        """Seconds."""
        self.ticks = 0
        self._threads: dict[int, float] = {}
        self._process_s = 0.0
        self._is_looking = False
        self._bytes: dict[CodeType, bytes] = {}

    def begin(self) -> None:
        """Tick from now on."""
        self._look(None)
        self.taken.clear()
        self.ticks = 0
        signal.signal(signal.SIGPROF, self._on_tick)
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def end(self) -> None:
        """Tick no more."""
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def write(self, path: str) -> None:
        """Write each stack, its names from the thread's on, and its seconds."""
        stacks = [[_names(stack), seconds] for stack, seconds in self.taken.items() if seconds > 0]
        Path(path).write_text(json.dumps({"ticks": self.ticks, "stacks": stacks}), "utf-8")

    def _on_tick(self, _number: int, frame: FrameType | None) -> None:
        if not self._is_looking:  # on a busy machine a tick may come in the midst of another
            self._is_looking = True
            self.ticks += 1
            self._look(frame)
            self._is_looking = False

    def _look(self, here: FrameType | None) -> None:
        """Put down what was taken since the last look.

        :param here: where the main thread was interrupted.
        """
        frames = sys._current_frames()
        process_s, seen_s = time.process_time(), 0.0
        for thread in list(threading._active.values()):  # its lock may be held by whom we interrupted
            if isinstance(thread, threading._DummyThread) or thread.ident is None:
                continue
            now_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            before_s = self._threads.get(thread.ident, 0.0)
            taken_s = now_s - before_s if now_s >= before_s else now_s  # or it is another of the same number
            self._threads[thread.ident] = now_s
            seen_s += taken_s
            frame = here if thread is threading.main_thread() else frames.get(thread.ident)
            if taken_s > 0:
                self.taken[(thread.name, *self._place(frame))] += taken_s
        # The clocks are read one after the other, so this may be less than nothing; in the sum that comes right.
        self.taken["threads of C", (), 0] += process_s - self._process_s - seen_s
        self._process_s = process_s

    def _place(self, frame: FrameType | None) -> tuple[Place, int]:
        """Where a thread is, and the line whose call into C it has waited for."""
        line = 0
        if frame is not None:
            operation = self._operation(frame)
            if operation == RESUME and frame.f_back is not None:
                frame = frame.f_back
            elif operation in CALLS:
                line = frame.f_lineno or 0
        codes: list[CodeType] = []
        while frame is not None:
            codes.append(frame.f_code)
            frame = frame.f_back
        return tuple(reversed(codes)), line

    def _operation(self, frame: FrameType) -> int:
        code = frame.f_code
        operations = self._bytes.get(code)
        if operations is None:
            operations = self._bytes[code] = code.co_code
        return operations[frame.f_lasti]


def _names(stack: Stack) -> list[str]:
    thread, codes, line = stack
    names = [thread, *(_name(code) for code in codes)]
    if line:
        source = _line(codes[-1].co_filename, line)
        names.append(f"C: {source}")
    return names


def _name(code: CodeType) -> str:
    return f"{code.co_qualname} ({'/'.join(Path(code.co_filename).parts[-2:])})"


def _line(path: str, number: int) -> str:
    """The source of a line; of what was not made from a file its number."""
    return linecache.getline(path, number).strip() or f"line {number}"


def install(path: str) -> None:
    """Begin at SIGUSR1; at SIGUSR2, or at the end of the process, write ``path``."""
    sampler = Sampler()
    is_on = [False]

    def begin(_number: int, _frame: FrameType | None) -> None:
        is_on[0] = True
        sampler.begin()

    def end(*_why: object) -> None:
        if is_on[0]:
            is_on[0] = False
            sampler.end()
            sampler.write(path)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    atexit.register(end)
