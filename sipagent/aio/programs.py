"""Programs of the user's that follow calls: a coroutine for each call that was answered.

A program that fails costs its call nothing; one that goes on after the call's end is given a while when we stop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from sipagent.aio.call_handle import CallHandle
from sipagent.aio.driver import Driver
from sipagent.aio.staff import Staff
from sipagent.call import events
from sipagent.call.call import Call
from sipagent.call.commands import Commands

OnCall: TypeAlias = Callable[[CallHandle], Awaitable[None]]

LEAVE_S = 5.0
"""How long the programs may take, once the calls are over, to write down what they learned."""


class Programs:
    """One coroutine function of the user's, for all calls.

    :param failed: is told the call's id and what the program raised.
    """

    def __init__(self, on_call: OnCall, *, failed: Callable[[str, Exception], None]) -> None:
        self._on_call = on_call
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, call: Call, driver: Driver[events.Output], staff: Staff) -> CallHandle:
        """Make the handle of a call; the program begins when the call is answered."""
        return CallHandle(Commands(call), driver, info=staff.info, find=staff.change_to, answered=self._begin)

    async def close(self) -> None:
        """Let the programs come to their end."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=LEAVE_S)
            for task in late:
                task.cancel()

    def _begin(self, handle: CallHandle) -> None:
        task = asyncio.get_running_loop().create_task(self._run(handle), name=f"program of call {handle.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, handle: CallHandle) -> None:
        try:
            await self._on_call(handle)
        except Exception as error:  # noqa: BLE001 - whatever the user's program does
            self._failed(handle.id, error)
