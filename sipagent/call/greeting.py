"""The agent's first words: asked of the model, or played from a recording; at the answer, or after the caller's own.

As long as none of them was heard they are still to be said: a caller's hello does not replace them.
"""

from dataclasses import replace

from sipagent.audio.linear import from_linear
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.facts import AgentSaid, AgentStarted
from sipagent.call.history import RECORDED
from sipagent.call.speaker import Speaker
from sipagent.formats import AudioFormat


class Greeting:
    """One call's."""

    def __init__(self, settings: ConversationSettings, *, speaker: Speaker, audio_format: AudioFormat) -> None:
        self._words = settings.greeting
        self._clip = settings.greeting_clip
        self._speaker = speaker
        self._format = audio_format
        self.is_awaited = False
        """Whether the caller has to speak first, or the moment for it has just come."""
        self.instructions: str | None = None
        """What the model is to begin with, until some of it was heard."""

    def begin(self) -> None:
        """Take note that the call was answered."""
        self.is_awaited = self._words is not None or self._clip is not None

    def take_turn(self, *, now: float) -> bool:
        """Take note that the agent is to speak; say whether it has begun to, by the recording."""
        if not self.is_awaited:
            return False
        self.is_awaited = False
        if self._clip is None:
            self.instructions = self._words
            return False
        self._speaker.receive_audio(RECORDED, 0, from_linear(self._clip.at(self._format.rate), self._format), now=now)
        self._speaker.receive_text(RECORDED, 0, self._words or "", is_final=True)
        self._speaker.finish_audio(RECORDED, 0)
        return True

    def note(self, fact: AgentStarted | AgentSaid, *, is_behind: bool) -> AgentStarted | AgentSaid:
        """Take note that the caller has heard some of it.

        :param is_behind: whether an announcement came first: then the delay says nothing of us.
        """
        if is_behind and self.instructions is not None and isinstance(fact, AgentStarted):
            fact = replace(fact, was_queued=True)
        self.instructions = None
        return fact
