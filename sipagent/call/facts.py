"""What happened in a call: facts in the past tense, for the log, the metrics and whoever follows the call."""

from dataclasses import dataclass, field
from typing import TypeAlias

from sipagent.call.staffing import AgentChanged, AgentKept, TurnedAway
from sipagent.call.steering import Steered
from sipagent.rtp.session import RtpStats


@dataclass(frozen=True, slots=True)
class Invited:
    """A telephone calls: who, whom, and the Call-ID by which a trace or the caller's own log knows the call."""

    caller: str
    called: str
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """We call: by which account, and whom."""

    line: str
    called: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """The telephone we call rings, or says otherwise that it was reached."""

    status: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The call was accepted, so long after its INVITE came."""

    codec: str
    setup_s: float


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The model's session is confirmed as we asked for it."""

    session_id: str


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """The model can't be used (any more); a person is to read the message."""

    kind: str
    """``fatal`` (a setting must be mended) or ``transient`` (it may work again by itself)."""
    code: str | None
    message: str
    engine: int = 0
    """Whose: 0 is the call's own engine."""


@dataclass(frozen=True, slots=True)
class ModelLost:
    """The session with the model is over in mid-call; another one is sought, unless the call is ending anyway."""

    kind: str
    """As of :class:`ModelFailed`."""
    code: str | None
    message: str
    engine: int = 0
    """Whose: 0 is the call's own engine."""


@dataclass(frozen=True, slots=True)
class ModelResumed:
    """Another session took the place of the one that was lost; the conversation goes on."""

    gap_ms: int
    """How long there was none; what the agent had said by then may have been heard meanwhile."""
    engine: int
    """Its number: 0 is the call's own."""


@dataclass(frozen=True, slots=True)
class ModelStalled:
    """The model, whose turn it is, has been silent for so long."""

    silent_s: float


@dataclass(frozen=True, slots=True)
class ModelRecovered:
    """A model that had stalled says something again."""


@dataclass(frozen=True, slots=True)
class SessionRolledOver:
    """A session that neared its end was left for another, on the connection of this number, and nobody noticed."""

    number: int


@dataclass(frozen=True, slots=True)
class EngineChanged:
    """The call is with another engine now."""

    engine: int
    """Its number: 0 is the call's own."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A session could not be had; another attempt follows, with this engine or the next."""

    kind: str
    """As of :class:`ModelFailed`."""
    code: str | None
    message: str
    engine: int
    """Its number: 0 is the call's own."""


@dataclass(frozen=True, slots=True)
class Apologized:
    """There is no model any more, and the caller hears that something is wrong."""


@dataclass(frozen=True, slots=True)
class MessageRecorded:
    """The caller was recorded for so long, for a person to hear."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class ModelComplained:
    """The model sent an error that costs nothing."""

    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class LegComplained:
    """The caller's side sent a session description that is none, or can't agree with us on keys."""

    message: str


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak; ``onset_at`` is when the first frame of it arrived."""

    onset_at: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class FalseStart:
    """What was taken for the caller's turn is noise; nobody answers it."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The caller's turn is over."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """The first frame of an item goes on the wire; ``received_at`` is when its first audio came from the model."""

    item_id: str
    received_at: float
    was_queued: bool = False
    """It had to wait for the end of another item, so the time since says nothing of us."""


@dataclass(frozen=True, slots=True)
class AgentPaused:
    """The caller made a sound over the agent, who waits to see what it was: the next frame is silent."""

    onset_at: float
    level_dbfs: float


@dataclass(frozen=True, slots=True)
class AgentResumed:
    """It was no interruption: the agent goes on with the sample that was due."""

    speech_ms: int
    """How much speech there was in the sound, its pauses not counted."""


@dataclass(frozen=True, slots=True)
class Backchanneled:
    """The caller agreed, or hummed, while the agent spoke on; the model was not told."""

    text: str
    """Empty for a sound in which the model's ear found no words."""


@dataclass(frozen=True, slots=True)
class BargedIn:
    """The caller interrupted the agent: the next frame is silent."""

    onset_at: float
    discarded_ms: int
    """Audio that was received and will not be played."""


@dataclass(frozen=True, slots=True)
class Truncated:
    """The model was told how much of an item was put on the wire."""

    item_id: str
    content_index: int
    audio_end_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class CallerSaid:
    """What the model's ear made of a turn of the caller's."""

    text: str
    item_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """What the caller heard the agent say; cut short, it ends in a dash."""

    text: str
    heard_ms: int
    is_cut: bool
    item_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class AgentWrote:
    """The next words of what the agent says, mostly before they are heard; told only to whoever judges them."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model asked for a tool."""

    name: str
    arguments: str
    function_call_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool's output went to the model."""

    name: str
    output: str
    function_call_id: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NoteTaken:
    """The agent noted something."""

    text: str


@dataclass(frozen=True, slots=True)
class MessageTaken:
    """The agent took a message, which is kept."""

    name: str
    number: str
    text: str


@dataclass(frozen=True, slots=True)
class HoldBegan:
    """The agent has the caller wait."""


@dataclass(frozen=True, slots=True)
class HoldEnded:
    """The agent is back."""

    end: str
    """``speech``, ``key``, ``time``, ``result`` or ``call``."""
    seconds: float


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """The peer is asked to call somebody in our place."""

    destination: str
    target: str


@dataclass(frozen=True, slots=True)
class TransferProgressed:
    """The peer agreed (202), or was told this by whom it calls."""

    status: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """The call is out of our hands."""

    destination: str
    is_confirmed: bool = True
    """Whether the peer said so; else it hung up on us while it was at it, as some do, or the caller did."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """The caller is still with us."""

    destination: str
    status: int | None
    """``None`` when the peer did not tell."""
    reason: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """Somebody else is put through to the agent; the conversation goes on."""


@dataclass(frozen=True, slots=True)
class HeldByPeer:
    """The caller put us on hold, or took us back."""

    is_held: bool


@dataclass(frozen=True, slots=True)
class DeadAir:
    """Nothing comes from the caller, neither sound nor RTCP."""

    silent_s: float
    """For how long."""


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    """Nothing of what is said from now on is in the recording."""


@dataclass(frozen=True, slots=True)
class RecordingResumed:
    """What is said is recorded again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over; nothing comes after it."""

    reason: str
    duration_s: float
    """Since it was answered; 0 for a call that never was."""
    media: RtpStats | None
    """``None`` when nobody knows it any more: the worker that had the call died."""
    tokens: int = 0
    """Of all the model's responses, input and output together."""
    cost_usd: float | None = None
    """What they cost; ``None`` when the model's prices are not known."""


Fact: TypeAlias = (
    Invited
    | TurnedAway
    | AgentChanged
    | AgentKept
    | Dialled
    | Progressed
    | Answered
    | ModelReady
    | ModelFailed
    | ModelLost
    | ModelResumed
    | ModelStalled
    | ModelRecovered
    | SessionRolledOver
    | EngineChanged
    | AttemptFailed
    | Apologized
    | MessageRecorded
    | ModelComplained
    | LegComplained
    | SpeechStarted
    | SpeechStopped
    | FalseStart
    | AgentStarted
    | AgentPaused
    | AgentResumed
    | Backchanneled
    | BargedIn
    | Truncated
    | CallerSaid
    | AgentSaid
    | AgentWrote
    | DigitPressed
    | ToolCalled
    | ToolReturned
    | NoteTaken
    | MessageTaken
    | HoldBegan
    | HoldEnded
    | TransferStarted
    | TransferProgressed
    | Transferred
    | TransferFailed
    | Replaced
    | HeldByPeer
    | DeadAir
    | Steered
    | RecordingPaused
    | RecordingResumed
    | Ended
)
