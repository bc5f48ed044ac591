"""The event loop: uvloop where there is one, which takes a UDP packet at a fifth of the cost."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_make: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop as _make
except ImportError:  # not on Windows, not on PyPy
    _make = asyncio.new_event_loop


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a program on the loop and return what it returns."""
    with asyncio.Runner(loop_factory=_make) as runner:
        return runner.run(main)
