"""The process of which workers are made: a copy of ours from before there were threads and a loop, that only forks.

What the user gives us is code: functions, closures, objects that nobody can send to another process. A fork has them
all. But a fork of a process with threads copies their locks and not the threads that would open them, and one of a
process with a loop shares its sockets; so the first fork is made before either, and that one, which has neither, makes
all others, also those that take the places of the dead. Nothing is imported anew, so another worker is there within a
moment.

A worker's end of its link is passed to the zygote, which tells of births and deaths. When our end of that is closed,
or we are gone, it gives its children :data:`LEAVE_S` and ends them.
"""

import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import NoReturn, Self, TypeAlias

from sipagent.errors import SipagentError

Work: TypeAlias = Callable[[socket.socket, int], None]
"""The life of a worker: with its end of the link, and its number."""

ORDER = struct.Struct("!i")
"""The number of the worker to be."""

NEWS = struct.Struct("!iii")
"""Number, process id, and -1 for a birth, else the status that ``waitpid`` gave."""

BORN = -1
LEAVE_S = 5.0
STEP_S = 0.05
HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
"""They come to all processes of a terminal or a service; ours is who heeds them. Handlers, unlike deafness, end with
an ``exec``, so the programs that workers start may be ended by signals as ever."""


@dataclass(frozen=True, slots=True)
class News:
    """A worker's birth or death."""

    number: int
    pid: int
    status: int | None
    """How it ended, as ``waitpid`` has it; ``None`` for a birth."""

    @property
    def words(self) -> str:
        """How it ended."""
        if self.status is None:
            return "born"
        code = os.waitstatus_to_exitcode(self.status)
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


class Zygote:
    """Our side of it, from :meth:`start` to :meth:`close`."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self._control = control
        self._received = b""

    @classmethod
    def start(cls, work: Work) -> Self:
        """Fork; to be called before there is a thread or a loop.

        :param work: what workers do.
        :raises SipagentError: when the system can't, or it is too late.
        """
        if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
            raise SipagentError("more than one worker needs a system that can fork")
        threads = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
        if threads:
            reason = "a fork would leave them behind, with what they hold; begin them in on_call, or have one worker"
            raise SipagentError(f"more than one worker can't be made beside threads ({', '.join(threads)}): {reason}")
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _leave(_Nursery(theirs, work).run)
        theirs.close()
        ours.setblocking(False)
        return cls(pid, ours)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Readable when there is news."""
        return self._control.fileno()

    def fork(self, number: int) -> socket.socket:
        """Have a worker made; return our end of its link.

        :raises SipagentError: when there is no zygote any more.
        """
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [ORDER.pack(number)], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SipagentError(f"no worker can be made any more: {error}") from error
        finally:
            theirs.close()
        return ours

    def receive(self) -> list[News] | None:
        """Return what is new; ``None`` when the zygote is gone."""
        try:
            data = self._control.recv(1 << 12)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            return None
        if not data:
            return None
        self._received += data
        whole = len(self._received) // NEWS.size * NEWS.size
        items = list(NEWS.iter_unpack(self._received[:whole]))
        self._received = self._received[whole:]
        return [News(number, pid, None if status == BORN else status) for number, pid, status in items]

    def close(self) -> None:
        """Have it end, with all its children, and wait for that; to do so twice is no error."""
        if self._control.fileno() == -1:
            return
        self._control.close()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


class _Nursery:
    """The zygote itself."""

    def __init__(self, control: socket.socket, work: Work) -> None:
        self._control = control
        self._work = work
        self._children: dict[int, int] = {}
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Fork as we are told, until nobody tells us any more."""
        for each in (self._wake, self._waker):
            each.setblocking(False)
        for name in HANDLED:
            signal.signal(name, _heed_not)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        gc.freeze()  # what the collector does not look at it does not write to, so its pages stay shared
        while True:
            readable, _, _ = select.select([self._control, self._wake], [], [])
            if self._wake in readable:
                self._reap()
            if self._control in readable and not self._take():
                break
        self._end()

    def _take(self) -> bool:
        """Do what we are told; return whether there is somebody who tells."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        except OSError:  # it was closed before all our news were read
            return False
        if data:
            self._make(ORDER.unpack(data)[0], descriptors[0])
        return bool(data)

    def _make(self, number: int, descriptor: int) -> None:
        link = socket.socket(fileno=descriptor)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._control, self._wake, self._waker):
                each.close()
            _leave(lambda: self._work(link, number))
        link.close()
        self._children[pid] = number
        self._tell(number, pid, BORN)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._wake.recv(1 << 10)
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._tell(self._children.pop(pid, 0), pid, status)

    def _tell(self, number: int, pid: int, status: int) -> None:
        with suppress(OSError):  # who would hear it is gone, which we see next
            self._control.sendall(NEWS.pack(number, pid, status))

    def _end(self) -> None:
        """Give the children time to end by themselves; a worker sees by itself that nobody is there any more."""
        until = monotonic() + LEAVE_S
        self._reap()
        while self._children and monotonic() < until:
            select.select([self._wake], [], [], STEP_S)
            self._reap()
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _heed_not(_number: int, _frame: object) -> None:
    """A signal that is for another process."""


def _leave(life: Callable[[], None]) -> NoReturn:
    """Live, and leave without what our parent would do at its end."""
    code = 1
    try:
        life()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, nobody above us is to go on
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
