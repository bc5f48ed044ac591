"""Messages that agents take, each a line of JSON in one file, which other programs may read while it grows."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import time
from typing import Final

import msgspec

from sipagent.agent.tools import CallInfo

FILE: Final = "messages.jsonl"


class MessageBook:
    """Keeps them; to be called by any thread.

    :param directory: is made when the first message comes.
    :param wall: tells the time of day, in Unix seconds.
    """

    def __init__(self, directory: Path, *, wall: Callable[[], float] = time) -> None:
        self._directory = directory
        self._wall = wall
        self._lock = Lock()

    def keep(self, call: CallInfo, name: str, number: str, text: str) -> None:
        """Write a message down.

        :raises OSError: when it can't be.
        """
        line = msgspec.json.encode(
            {
                "at": datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="seconds"),
                "call": call.call_id,
                "agent": call.agent,
                "caller": call.caller,
                "called": call.called,
                "name": name,
                "number": number,
                "text": text,
            }
        )
        with self._lock:
            self._directory.mkdir(parents=True, exist_ok=True)
            with (self._directory / FILE).open("ab") as file:
                file.write(line + b"\n")
