"""Holds up the control side of the program: pages asked for without a pause, a log that nobody reads.

Once a second, for 200 ms, as many pages of metrics are asked for as the program can write, and meanwhile whoever reads
its log through a small pipe stands still. The calls are to know nothing of it.
"""

import fcntl
import os
import threading
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from sipagent.bench.plan import HOST

STALL_S = 0.2
EVERY_S = 1.0
PIPE_BYTES = 4096
"""The smallest that there is: twenty lines."""


class Staller:
    """Use it as ``with``, around the life of the program.

    :param log: what the program says gets here all the same.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._reading = threading.Event()
        self._over = threading.Event()
        self._reading.set()
        self.stalls = 0
        """How many there were."""
        self.pages = 0
        """How many pages were asked for in them."""
        self._source, self.sink = os.pipe()
        fcntl.fcntl(self.sink, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._threads = [threading.Thread(target=self._read, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._reading.set()
        os.close(self.sink)
        for thread in self._threads:
            thread.join()
        os.close(self._source)

    def begin(self, control_port: int) -> None:
        """The program is ready: hold it up from now on."""
        thread = threading.Thread(target=self._stall, args=(control_port,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _stall(self, port: int) -> None:
        while not self._over.wait(EVERY_S - STALL_S):
            self._reading.clear()
            until = monotonic() + STALL_S
            while monotonic() < until:
                self.pages += _ask_for_page(port)
            self._reading.set()
            self.stalls += 1

    def _read(self) -> None:
        with self._log.open("wb") as log:
            while data := os.read(self._source, PIPE_BYTES):
                log.write(data)
                self._reading.wait()


def _ask_for_page(port: int) -> bool:
    connection = HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        return bool(connection.getresponse().read())
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
