"""Recordings, written by one thread: the caller left, the agent right.

A disk that is full or gone costs the recording and never the call.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from sipagent.aio.sound_file import Opener, SoundFile, WavFile
from sipagent.audio.linear import to_linear
from sipagent.call.events import RecordAudio
from sipagent.errors import SipagentError

MAX_WAITING = 600
"""Pieces of a second each that wait for a slow disk; beyond ten minutes the recording is given up."""


class Recorder:
    """Writes one file.

    :param failed: is told, once, from the writer's thread, why the recording ended early.
    :param opens: makes the file.
    """

    def __init__(
        self, path: Path, *, writer: ThreadPoolExecutor, failed: Callable[[str], None], opens: Opener = WavFile
    ) -> None:
        self.path = path
        self._writer = writer
        self._failed = failed
        self._opens = opens
        self._file: SoundFile | None = None
        self._given = 0  # written by the loop's thread alone, as the next is by the writer's
        self._done = 0
        self._has_failed = False

    def write(self, piece: RecordAudio) -> None:
        """Add a piece."""
        if self._given - self._done >= MAX_WAITING:
            self._fail("the disk is too slow")
            return
        self._given += 1
        self._writer.submit(self._write, piece)

    def close(self) -> None:
        """Complete the file once all is written."""
        self._writer.submit(self._close)

    def _write(self, piece: RecordAudio) -> None:
        self._done += 1
        if self._has_failed:
            self._close()
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._opens(self.path, piece.audio_format.rate)
            sides = [to_linear(side, piece.audio_format) for side in (piece.caller, piece.agent)]
            self._file.write(np.stack(sides, axis=1))
        except (OSError, SipagentError) as error:
            self._fail(str(error))
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._failed(reason)
