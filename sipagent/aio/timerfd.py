"""The kernel's timers (``timerfd``), which are read like sockets; by its C library, for older Pythons have them not."""

import ctypes
import os
import sys
from typing import Final

CLOCK_MONOTONIC: Final = 1
ABSOLUTE: Final = 1
"""``TFD_TIMER_ABSTIME``."""
BILLION: Final = 1_000_000_000


class _Times(ctypes.Structure):
    """``struct itimerspec``: the interval, then the first time, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns"))


def create() -> int:
    """Return the descriptor of a new timer, which is not set.

    :raises OSError: when there are none here, or no more of them.
    """
    if _LIBRARY is None:
        raise OSError("this system has no timers that can be read")
    descriptor: int = _LIBRARY.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def set_time(descriptor: int, at_ns: int, every_ns: int) -> None:
    """Have it go off at ``at_ns`` of the monotonic clock, and then every so often if that is not 0; at 0, never."""
    if _LIBRARY is not None:
        times = _Times(*divmod(every_ns, BILLION), *divmod(at_ns, BILLION))
        _LIBRARY.timerfd_settime(descriptor, ABSOLUTE, ctypes.byref(times), None)


def _load() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "timerfd_create") else None


_LIBRARY: Final = _load()
