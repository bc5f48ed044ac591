"""Writes the lines of the log in a thread of its own: a terminal or a pipe that stands still holds up no call.

The queue is bounded. Lines that find it full are dropped and counted, and the log says how many as soon as it can. At
the end of the process what waits is written, unless its reader has gone for good.
"""

import atexit
import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from threading import Condition, Thread
from time import gmtime, strftime
from typing import TextIO

MAX_WAITING = 10_000
"""Lines, of 200 bytes mostly: some minutes of a busy service, and 2 MB."""

CLOSE_S = 2.0
"""How long the end of the process waits for a reader that stands still."""

BATCH = 500
"""Lines that are taken at once."""

WHOLE = 4096
"""Bytes that POSIX writes to a pipe in one piece (``PIPE_BUF``), or not at all: a line that is longer may be torn."""

REST_S = 0.02
"""Between two writings: each waking of the thread holds up the calls for a moment."""


class LineWriter:
    """Stands for a stream of text, as a logger uses it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self._news = Condition()
        self._dropped = 0
        self._is_asleep = False
        """Whether the thread waits for a line, and is to be woken by it."""
        self._is_closed = False
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def write(self, line: str) -> None:
        """Have a line written, which bears its end; nobody waits for it."""
        with self._news:
            if len(self._waiting) >= MAX_WAITING:
                self._dropped += 1
                return
            self._waiting.append(line)
            if self._is_asleep:
                self._is_asleep = False
                self._news.notify()

    def flush(self) -> None:
        """Nothing: whoever logs does not wait."""

    def isatty(self) -> bool:
        """Whether a person is looking."""
        return self._stream.isatty()

    def close(self) -> None:
        """Write what waits, but not for ever."""
        with self._news:
            self._is_closed = True
            self._news.notify()
        self._thread.join(CLOSE_S)
        atexit.unregister(self.close)

    def _run(self) -> None:
        while lines := self._take():
            with suppress(OSError, ValueError):  # whoever read is gone; to say so there is no log
                for piece in pieces_of(lines):
                    self._stream.write(piece)
                    self._stream.flush()

    def _take(self) -> list[str]:
        """Wait for lines, if only for those that came while we rested, and take them; none at the end."""
        with self._news:
            self._news.wait_for(lambda: self._is_closed, REST_S)
            while not self._waiting and not self._is_closed:
                self._is_asleep = True
                self._news.wait()
            self._is_asleep = False
            lines = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if self._dropped and not self._waiting:
                lines.append(_confession(self._dropped))
                self._dropped = 0
        return lines


def pieces_of(lines: Iterable[str]) -> Iterator[str]:
    """Join lines to pieces that a pipe takes whole, so that those of several processes stay lines."""
    piece: list[str] = []
    size = 0
    for line in lines:
        length = len(line.encode("utf-8", "replace"))
        if piece and size + length > WHOLE:
            yield "".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += length
    if piece:
        yield "".join(piece)


def _confession(count: int) -> str:
    """Say what is missing, in JSON whatever the style: whoever looks for it must find it."""
    now = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
    return json.dumps({"time": now, "level": "warning", "event": "log_lines_dropped", "count": count}) + "\n"
