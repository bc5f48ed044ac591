"""What the bench has written in C, built by the system's compiler; without one the bench does the same in Python."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

COMPILER: Final = "cc"
FLAGS: Final = ("-std=gnu11", "-O2", "-Wall", "-pthread")
SHARED: Final = ("-shared", "-fPIC")
BUILD_S: Final = 60.0

SOURCES: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tools:
    """What could be built."""

    limit: Path | None
    """The program that is the limit."""
    callers: Path | None
    """The library of the callers' media."""
    missing: str = ""
    """Why there is nothing, in words."""


def build_tools(folder: Path, *, compiler: str = COMPILER) -> Tools:
    """Build both into a folder."""
    if which(compiler) is None:
        return Tools(None, None, f"no C compiler ({compiler}): the limit and the callers are in Python, and dearer")
    limit, callers = folder / "limit", folder / "callers.so"
    for command in (
        [compiler, *FLAGS, "-o", str(limit), str(SOURCES / "limit.c")],
        [compiler, *FLAGS, *SHARED, "-o", str(callers), str(SOURCES / "callers.c")],
    ):
        built = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if built.returncode:
            return Tools(None, None, f"{compiler} failed, so limit and callers are in Python: {built.stderr.strip()}")
    return Tools(limit, callers)
