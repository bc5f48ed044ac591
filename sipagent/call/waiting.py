"""The caller on hold, by the agent's tool: until he speaks or presses a key, until the time is up, or until what he
waits for is there.

The dialog knows nothing of it: packets flow both ways, so that the caller's own voice can end the wait. What he hears,
music or silence, is none of the model's audio and enters no ledger.
"""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal, TypeAlias

from sipagent.agent.builtin import HOLD
from sipagent.agent.tools import ToolArgumentError
from sipagent.audio.clip import Clip, Player
from sipagent.audio.linear import from_linear
from sipagent.formats import AudioFormat

DEFAULT_S: Final = 60.0
"""How long a caller waits where the model does not say."""

RISE_MS: Final = 300
"""How slowly the music begins."""

End: TypeAlias = Literal["speech", "key", "time", "result", "call"]

WORDS: Final[dict[End, str]] = {
    "speech": "the caller has spoken",
    "key": "the caller has pressed a key",
    "time": "the time is up",
    "result": "what the caller waited for is there",
    "call": "the call goes on elsewhere",
}


@dataclass(frozen=True, slots=True)
class Waited:
    """A wait that is over."""

    function_call_id: str
    end: End
    seconds: float
    output: str
    """What the model is told."""


class Waiting:
    """At most one wait at a time.

    :param music: as loud as it is to be heard; ``None`` for silence.
    """

    def __init__(self, music: Clip | None, *, audio_format: AudioFormat) -> None:
        self._music = music
        self._format = audio_format
        self._function_call_id = ""
        self._begins_at = 0.0
        self._player: Player | None = None
        self.is_active = False
        """Whether the caller is on hold."""
        self.due_at = inf
        """When the time is up."""

    def begin(self, function_call_id: str, arguments: str, *, queued_ms: int, now: float) -> str | None:
        """Take a call of the tool; return what is wrong with it, as a sentence for the model.

        :param queued_ms: how long the agent will still be heard: the wait begins after its last word.
        """
        try:
            seconds = float(HOLD.parse_arguments(arguments).get("seconds", DEFAULT_S))
        except ToolArgumentError as error:
            return str(error)
        if self.is_active:
            return "The caller is on hold already."
        self.is_active = True
        self._function_call_id = function_call_id
        self._begins_at = now + queued_ms / 1000
        self.due_at = self._begins_at + seconds
        return None

    def end(self, why: End, *, now: float) -> Waited | None:
        """End the wait, if there is one."""
        if not self.is_active:
            return None
        self.is_active = False
        self.due_at = inf
        self._player = None
        seconds = max(0.0, now - self._begins_at)
        output = f"The caller was on hold for {seconds:.0f} s; the wait is over, for {WORDS[why]}."
        return Waited(self._function_call_id, why, seconds, output)

    def next_frame(self, ms: int) -> bytes | None:
        """Return what the caller hears in this tick, ``None`` for silence."""
        if self._music is None:
            return None
        rate = self._format.rate
        if self._player is None:
            self._player = Player(self._music.at(rate), loops=True, rate=rate, rise_ms=RISE_MS)
        frame = self._player.next_frame(rate * ms // 1_000)
        return None if frame is None else from_linear(frame, self._format)
