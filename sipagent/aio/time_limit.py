"""A time limit that holds in a task that is being cancelled, too, where it matters most: that is when things are ended.

``asyncio.timeout`` does so from Python 3.11.4 on. Debian 12 has 3.11.2, whose own takes the cancellation that is under
way for one that came meanwhile, and never says that time is up.
"""

import asyncio
from types import TracebackType
from typing import Self


class TimeLimit:
    """Use it as ``async with``.

    :param seconds: after which what runs within is cancelled.
    :raises TimeoutError: at its end, when time was up and nobody else cancelled the task.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._cancellings = 0
        """Of the task, before ours."""
        self._timer: asyncio.Handle | None = None
        self._is_up = False

    @property
    def is_up(self) -> bool:
        """Whether time was up before the end."""
        return self._is_up

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancellings = task, task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, self._seconds), self._expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        assert self._timer is not None
        self._timer.cancel()
        if self._is_up and self._task.uncancel() <= self._cancellings and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        assert self._task is not None
        self._is_up = True
        self._task.cancel()
