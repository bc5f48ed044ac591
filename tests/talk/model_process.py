"""The model that is listened in on, as a process that can be killed: ``model_process.py PORT FILE``.

All that its sessions say and are told is written to a file at once, a line each; :func:`read_taps` reads it.
"""

import asyncio
import sys
from base64 import b64decode, b64encode
from itertools import count
from pathlib import Path
from typing import TextIO

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from talk.model import Session, serve_tapped

from sipagent.aio import log, loop
from sipagent.realtime.local.settings import LocalSettings

READY = "ready"
"""What it prints when it listens."""
PACE = 1.2
"""Hardly faster than time, so that little is in hand when it dies."""


class _FileTap:
    def __init__(self, number: int, file: TextIO) -> None:
        self._number = number
        self._file = file

    def sends(self, data: bytes, *, now: float) -> None:
        self._write("sends", now, data)

    def receives(self, data: bytes, *, now: float) -> None:
        self._write("receives", now, data)

    def ends(self, *, now: float) -> None:
        self._write("ends", now, b"")

    def _write(self, what: str, now: float, data: bytes) -> None:
        self._file.write(f"{self._number} {what} {now!r} {b64encode(data).decode()}\n")


def read_taps(path: Path) -> list[Session]:
    """Return the sessions of a process that may be dead; a line that it did not finish is passed over."""
    sessions: dict[int, Session] = {}
    for line in path.read_text().splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        number, what, at, data = line.rstrip("\n").split(" ")
        session = sessions.setdefault(int(number), Session(int(number)))
        match what:
            case "sends":
                session.sends(b64decode(data), now=float(at))
            case "receives":
                session.receives(b64decode(data), now=float(at))
            case _:
                session.ends(now=float(at))
    return list(sessions.values())


async def main(port: int, path: Path) -> None:
    """Serve until the end."""
    log.set_up(level="error", style="console")
    numbers = count(1)
    with path.open("w", buffering=1) as file:
        await serve_tapped(LocalSettings(pace=PACE), port, lambda: _FileTap(next(numbers), file))
        print(READY, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    loop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
