"""The control port in a thread and on a loop of its own, so that no packet waits for what is asked there.

Only what must be true of the calls is fetched from their loop, each time in one short step: why they would be refused,
the figures to be told, an order for a call. Everything else, a page of metrics that takes milliseconds to write as much
as a client that dawdles, is the thread's own affair.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from sipagent.control.http import ControlServer, Dial, Page
from sipagent.control.metrics import Metrics

Result = TypeVar("Result")

SWITCH_S = 0.0005
"""How long the thread may run on when the calls want the interpreter back: a tenth of Python's usual 5 ms."""

STOP_S = 3.0
"""For the thread to end; its server takes a second at most."""


class ControlThread:
    """The server, its loop and its thread; callables are called on the loop from which it was started.

    :param reasons: why new calls would be refused at present.
    :param pause_recording: has the recording of a call, by its id, pause or go on.
    """

    def __init__(
        self,
        *,
        reasons: Callable[[], Sequence[str]],
        metrics: Metrics,
        dial: Dial,
        pause_recording: Callable[[str, bool], Awaitable[None] | None],
    ) -> None:
        self._reasons = reasons
        self._metrics = metrics
        self._dial = dial
        self._pause_recording = pause_recording
        self._thread: Thread | None = None
        self._stop: Callable[[], object] = _nothing

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen, and return the address; port 0 leaves the choice to the system.

        :raises OSError: when somebody else has the port.
        """
        yield_often()
        home = asyncio.get_running_loop()
        started: Future[tuple[str, int]] = Future()
        self._thread = Thread(target=self._run, args=(host, port, home, started), name="control", daemon=True)
        self._thread.start()
        try:
            return await asyncio.wrap_future(started)
        except BaseException:
            self._thread = None  # it has ended, and its loop is closed
            raise

    async def close(self) -> None:
        """Stop listening and end the thread; to do so twice is no error."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop()
            await asyncio.get_running_loop().run_in_executor(None, thread.join, STOP_S)

    def _run(self, host: str, port: int, home: asyncio.AbstractEventLoop, started: "Future[tuple[str, int]]") -> None:
        try:
            asyncio.run(self._serve(host, port, home, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(
        self, host: str, port: int, home: asyncio.AbstractEventLoop, started: "Future[tuple[str, int]]"
    ) -> None:
        stopped = asyncio.Event()
        self._stop = partial(asyncio.get_running_loop().call_soon_threadsafe, stopped.set)
        server = ControlServer(
            reasons=partial(_ask, home, self._reasons),
            metrics=partial(self._write_metrics, home),
            dial=lambda line, to, headers: _await(home, self._dial(line, to, headers)),
            pause_recording=lambda call_id, is_paused: _await(home, self._pause(call_id, is_paused)),
        )
        address = await server.start(host, port)
        started.set_result(address)
        await stopped.wait()
        await server.close()

    async def _write_metrics(self, home: asyncio.AbstractEventLoop) -> Page:
        await _await(home, self._metrics.gather())
        return self._metrics.write()

    async def _pause(self, call_id: str, is_paused: bool) -> None:
        """Do it on the loop of the calls, or have a worker do it."""
        pausing = self._pause_recording(call_id, is_paused)
        if pausing is not None:
            await pausing


async def _ask(home: asyncio.AbstractEventLoop, ask: Callable[[], Result]) -> Result:
    """Call something on another loop."""

    async def call() -> Result:
        return ask()

    return await _await(home, call())


async def _await(home: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Result]) -> Result:
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, home))


def yield_often() -> None:
    """Let the loop of the calls have the interpreter back soon, whatever thread has it."""
    sys.setswitchinterval(SWITCH_S)


def _nothing() -> None:
    """It does not run."""
