"""A process for what may not, or should not, run in ours: it answers one request after the other over a pipe."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from sipagent.aio.pipe import HEADER, MAX_MESSAGE, Hello, pack
from sipagent.aio.time_limit import TimeLimit
from sipagent.errors import SipagentError

START_S = 20.0
"""Until the child says hello; it loads a library or two, on a busy machine."""
ANSWER_S = 10.0
"""A child that takes longer is stuck, and is replaced."""
STOP_S = 2.0
MAX_WAITING = 256
"""Requests in line; at a few milliseconds each that is the longest wait which still makes sense."""
MAX_STARTS = 5
"""A child that dies as often as this has a reason, which another start will not remove."""
ROOT = Path(__file__).parents[2]

Answer = TypeVar("Answer")


class WorkerError(SipagentError):
    """The process could not be started, died, took too long, or has too much to do."""


class Worker:
    """Runs ``python -m module``; a child that dies is started again with the next request, a few times."""

    def __init__(self, module: str) -> None:
        self.name = ""
        self._module = module
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._starts = 0

    async def start(self) -> None:
        """Start the child, so that the first request finds it warm.

        :raises WorkerError: it did not say hello.
        """
        async with self._turn:
            await self._ready()

    async def request(self, message: object, kind: type[Answer]) -> Answer:
        """Send a request and wait for its answer; those who come first are served first.

        :raises WorkerError: there is none to be had.
        """
        if self._waiting >= MAX_WAITING:
            raise WorkerError(f"{self._module} has {MAX_WAITING} requests in line")
        self._waiting += 1
        try:
            async with self._turn:
                process = await self._ready()
                return await self._ask(process, message, kind)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """End the child."""
        async with self._turn:
            self._starts = MAX_STARTS
            process, self._process = self._process, None
            if process is not None:
                await _end(process, STOP_S)

    async def _ready(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._starts >= MAX_STARTS:
            raise WorkerError(f"{self._module} is not started any more")
        self._starts += 1
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path}
        command = (sys.executable, "-m", self._module)
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
        )
        self._keeper = asyncio.get_running_loop().create_task(_keep(self._process))
        hello = await self._read(self._process, Hello, START_S)
        self.name = hello.name
        return self._process

    async def _ask(self, process: Process, message: object, kind: type[Answer]) -> Answer:
        assert process.stdin is not None
        process.stdin.write(pack(message))
        return await self._read(process, kind, ANSWER_S)

    async def _read(self, process: Process, kind: type[Answer], patience_s: float) -> Answer:
        """One message. Whatever goes wrong, the child is ended: half an answer would be taken for the next one's."""
        assert process.stdout is not None
        is_whole = False
        try:
            async with TimeLimit(patience_s):
                (size,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                if size > MAX_MESSAGE:
                    raise WorkerError(f"{self._module} answers with {size} bytes")
                answer = msgspec.msgpack.decode(await process.stdout.readexactly(size), type=kind)
            is_whole = True
            return answer
        except (OSError, EOFError, TimeoutError, msgspec.MsgspecError) as error:
            raise WorkerError(f"{self._module} gave no answer: {error!r}") from error
        finally:
            if not is_whole:
                self._process = None
                await asyncio.shield(_end(process, 0.0))


async def _keep(process: Process) -> None:
    """Wait for the child's end; the loop cancels this when it ends first, and must not leave a child behind."""
    try:
        await process.wait()
    except asyncio.CancelledError:
        await _end(process, 0.0)
        raise


async def _end(process: Process, patience_s: float) -> None:
    """Close the child's input, at which it ends; kill it when it does not; wait until its pipes are closed, too."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with TimeLimit(patience_s):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
    await process.communicate()
    with suppress(OSError):
        await process.stdin.wait_closed()
