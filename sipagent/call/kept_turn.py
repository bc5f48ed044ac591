"""What the caller has said since his last turn, kept so that another session can be given it.

Where turns are judged here, nothing but turns comes. Where the model judges them all comes, and most of it is silence:
so as long as our own ear hears nothing in it, 0.3 s are kept, for the beginning of a word that it is about to hear.
"""

from typing import Final

from sipagent.call.history import MAX_AUDIO_S
from sipagent.formats import AudioFormat

SERVER_KEPT_S: Final = 10
"""When the model judges the turn, and may take a while to say that it has taken one."""
UNHEARD_KEPT_S: Final = 0.3


class KeptTurn:
    """One call's.

    :param is_local: whether turns are judged here.
    """

    def __init__(self, audio_format: AudioFormat, *, is_local: bool) -> None:
        self._second = 1000 * audio_format.bytes_per_ms
        self._pieces: list[bytes] = []
        self._size = self._most = self._unheard = self._limit = 0
        self.change(is_local=is_local)

    def __len__(self) -> int:
        """How many bytes it is."""
        return self._size

    @property
    def audio(self) -> bytes:
        """All of it, in the call's format."""
        return b"".join(self._pieces)

    def change(self, *, is_local: bool) -> None:
        """From now on turns are judged here, or no longer."""
        self._most = (MAX_AUDIO_S if is_local else SERVER_KEPT_S) * self._second
        self._unheard = self._most if is_local else round(UNHEARD_KEPT_S * self._second)
        self._limit = self._most if self._size else self._unheard

    def append(self, audio: bytes) -> None:
        """Take what is said, or silence; the oldest goes first. Hot path."""
        self._pieces.append(audio)
        self._size += len(audio)
        while self._size > self._limit:
            self._size -= len(self._pieces.pop(0))

    def note_speech(self) -> None:
        """Take note that our own ear hears something: from now on it is kept until it is a turn, or none."""
        self._limit = self._most

    def clear(self) -> None:
        """It is a turn by now, or none."""
        self._pieces.clear()
        self._size, self._limit = 0, self._unheard
