"""What the caller hears beside the agent's words: before them, under the wait for them, and in the place of them.

None of it is the model's audio, so none of it is in the ledger of what was heard.
"""

from sipagent.audio.clip import Clip
from sipagent.call.ambience import Ambience
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.filler import Filler
from sipagent.call.waiting import Waiting
from sipagent.formats import AudioFormat


class Outlet:
    """One call's."""

    def __init__(self, settings: ConversationSettings, *, audio_format: AudioFormat) -> None:
        ambience = settings.ambience
        self._ambience = Ambience(ambience, audio_format=audio_format) if ambience else None
        self._filler = Filler(settings.continuity.filler, audio_format=audio_format)
        self.waiting = Waiting(settings.music, audio_format=audio_format)
        """Plays to a caller on hold."""
        self.has_ambience = ambience is not None
        """Whether it matters if the caller waits for an answer."""
        self.is_muted = False
        """Whether the caller hears nothing at all."""
        self.plays_music = False
        """Whether the caller is on hold, by a command."""

    @property
    def is_announcing(self) -> bool:
        """Whether the announcement is not over: what the agent has to say waits."""
        return self._ambience is not None and self._ambience.is_announcing

    @property
    def is_heard(self) -> bool:
        """Whether something is heard that is not the agent, and whose echo may come back."""
        return self.waiting.is_active or self.is_announcing

    def play(self, clip: Clip) -> None:
        """Play something once, as soon as the agent has nothing to say."""
        self._filler.play(clip)

    def announce(self, ms: int) -> bytes | None:
        """Return the next frame of the announcement."""
        frame = self._ambience.announce(ms) if self._ambience is not None else None
        return None if self.is_muted else frame

    def add(self, frame: bytes | None, ms: int, *, is_thinking: bool, is_absent: bool) -> bytes | None:
        """Return what is heard with the agent's frame, or with its silence.

        :param is_thinking: whether the caller waits for an answer.
        :param is_absent: whether there is no model.
        """
        if frame is None and (self.waiting.is_active or self.plays_music):
            frame = self.waiting.next_frame(ms)
        else:
            if self._ambience is not None:
                frame = self._ambience.add(frame, ms, is_thinking=is_thinking)
            if is_absent or self._filler.is_on:
                frame = self._filler.add(frame, ms, is_wanted=is_absent)
        return None if self.is_muted else frame
