"""How an agent talks."""

from dataclasses import dataclass, field
from typing import Literal

from sipagent.audio.clip import Clip
from sipagent.call.ambience import AmbienceSettings
from sipagent.call.barge_in import BargeInSettings
from sipagent.call.continuity import ContinuitySettings
from sipagent.call.listener import ListenerSettings
from sipagent.call.stopgap import StopgapSettings
from sipagent.realtime.settings import SessionSettings


@dataclass(frozen=True, slots=True)
class ConversationSettings:
    """How the agent talks."""

    session: SessionSettings
    """What the model is asked for; its format is replaced by what suits the codec that caller and we agree on."""
    greeting: str | None = None
    """Instructions for the first words, or the words of the recording; ``None`` lets the caller speak first."""
    greeting_after: Literal["answer", "caller"] = "answer"
    """Whether the caller's first words come before."""
    greeting_clip: Clip | None = None
    """The recording."""
    listener: ListenerSettings = field(default_factory=ListenerSettings)
    barge_in: BargeInSettings = field(default_factory=BargeInSettings)
    """Whether, and how, the caller can stop the agent by speaking."""
    ambience: AmbienceSettings | None = None
    """What is heard beside the agent."""
    stopgap: StopgapSettings | None = None
    """What is said while a tool takes long."""
    key_tools: frozenset[str] = frozenset()
    """Which of the built-in tools for keys the model has."""
    call_tools: frozenset[str] = frozenset()
    """Which of the built-in tools ``hold`` and ``note`` it has."""
    music: Clip | None = None
    """What a caller on hold hears, as loud as he is to hear it; ``None`` for silence."""
    may_transfer: bool = False
    """Whether the model can have the call handed on."""
    tells_words: bool = False
    """Whether the agent's words are told as they come, for somebody judges them."""
    continuity: ContinuitySettings = field(default_factory=ContinuitySettings)
    """What is done when the model fails in mid-call."""
