"""What the caller hears in the place of silence while the model is gone: a soft sound that comes soon and goes at once.

Who talks on the telephone takes a dead line for the end of the call.
"""

from typing import Final

from sipagent.audio.clip import Clip, Player
from sipagent.audio.linear import from_linear, to_linear
from sipagent.audio.mix import mix
from sipagent.formats import AudioFormat

AFTER_MS: Final = 160
"""How much silence is only a pause between words."""

RISE_MS: Final = 100
"""How slowly it comes: no click, and heard all the same before the caller wonders."""

FALL_MS: Final = 20
"""How fast it goes: it is gone by the end of the agent's first frame."""


class Filler:
    """That of one call.

    :param clip: repeated as long as it is wanted; ``None`` for none.
    """

    def __init__(self, clip: Clip | None, *, audio_format: AudioFormat) -> None:
        self._clip = clip
        self._format = audio_format
        self._player: Player | None = None
        self._silent_ms = 0
        self._notice: Clip | None = None
        self._has_notice = False
        self.is_on = False
        """Whether it is heard, or about to be."""

    def play(self, clip: Clip) -> None:
        """Play something else once, as soon as the agent has nothing to say."""
        self._notice = clip
        self.is_on = True

    def add(self, frame: bytes | None, ms: int, *, is_wanted: bool) -> bytes | None:
        """Return what is heard with the agent's frame, or with its silence.

        :param is_wanted: whether the model is gone.
        """
        if frame is None and self._notice is not None:
            self._player = Player(self._notice.at(self._format.rate), rate=self._format.rate)
            self._notice, self._has_notice = None, True
        if self._has_notice:
            self._has_notice = self._player is not None
        elif frame is not None or not is_wanted:
            self._silent_ms = 0
            if self._player is not None:
                self._player.stop()
        else:
            self._silent_ms += ms
            if self._player is None and self._silent_ms > AFTER_MS and self._clip is not None:
                rate = self._format.rate
                self._player = Player(self._clip.at(rate), loops=True, rate=rate, rise_ms=RISE_MS, fall_ms=FALL_MS)
        self.is_on = is_wanted or self._player is not None or self._notice is not None
        return self._under(frame, ms)

    def _under(self, frame: bytes | None, ms: int) -> bytes | None:
        if self._player is None:
            return frame
        sound = self._player.next_frame(self._format.rate * ms // 1_000)
        if self._player.is_over:
            self._player = None
        if sound is None:
            return frame
        return from_linear(sound if frame is None else mix((to_linear(frame, self._format), sound)), self._format)
