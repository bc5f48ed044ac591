"""How many files and sockets this process may have open: a call has four or five."""

import sys
from contextlib import suppress

if sys.platform != "win32":
    import resource


def allow_all() -> None:
    """Ask for as many as the system allows; the usual limit for a shell, 1,024, ends at 200 calls."""
    if sys.platform != "win32":
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError):  # macOS says that there is no limit, and has one
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
