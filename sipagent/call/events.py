"""What a call tells the shell: commands in the imperative, and facts in the past tense.

A command is to be carried out; a fact is for the log, the metrics and whoever follows the call.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sipagent.call.staffing import AgentChanged, AgentKept, TurnedAway
from sipagent.formats import AudioFormat
from sipagent.realtime.events import Send
from sipagent.rtp.session import RtpStats
from sipagent.sip.uri import Uri

Address: TypeAlias = tuple[str, int]


# Commands for SIP.


@dataclass(frozen=True, slots=True)
class Dial:
    """Send an INVITE with this offer to whom the call is for."""

    offer: bytes


@dataclass(frozen=True, slots=True)
class Ring:
    """Send 180, with our offer where the caller wants it so early."""

    offer: bytes = b""


@dataclass(frozen=True, slots=True)
class Accept:
    """Send 200 with this session description, to the INVITE or the re-INVITE that is waiting."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the INVITE or the re-INVITE that is waiting."""

    status: int
    reason: str
    """For the log; the wire carries the status's own phrase."""
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the dialog, by whatever request fits its state."""


@dataclass(frozen=True, slots=True)
class Refer:
    """Ask the peer to call somebody else; tell how it goes by ``refer_progressed`` and ``refer_finished``."""

    target: Uri


@dataclass(frozen=True, slots=True)
class AskForLife:
    """Ask the peer by SIP whether the call still is; one that knows of none has ended."""


@dataclass(frozen=True, slots=True)
class PressKeys:
    """Press keys in INFOs: the peer takes none in RTP."""

    digits: str


@dataclass(frozen=True, slots=True)
class AcceptReplacement:
    """Send 200 with this session description to the INVITE that takes the place of ours, then end ours."""

    body: bytes


@dataclass(frozen=True, slots=True)
class RejectReplacement:
    """Refuse the INVITE that was to take the place of ours."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class DialReplacement:
    """Send an INVITE with this offer to whom the peer referred us to."""

    offer: bytes


@dataclass(frozen=True, slots=True)
class KeepReplacement:
    """Whom we called takes the caller's place: tell the peer, and end its dialog."""


@dataclass(frozen=True, slots=True)
class DropReplacement:
    """Hang up on whom we called, or don't call: nothing can be agreed on."""


ReplacementCommand: TypeAlias = (
    AcceptReplacement | RejectReplacement | DialReplacement | KeepReplacement | DropReplacement
)


# Commands for media, model, tools and recording.


@dataclass(frozen=True, slots=True)
class SendRtcp:
    """Send this RTCP packet."""

    data: bytes
    destination: Address
    mux: bool
    """From the port of RTP, not from its own."""


@dataclass(frozen=True, slots=True)
class ConnectModel:
    """Open a WebSocket to a model; tell the outcome by ``model_connected`` or ``model_lost``."""

    number: int = 1
    """The connection's, by which all that comes of it is told; never given twice in a call."""
    engine: int = 0
    """Which of the call's engines: 0 is its own, the others take its place."""


SendModel: TypeAlias = Send
"""Send this text frame on the connection in use. It is the session's own output: it comes once a packet, so it is not
wrapped again."""


@dataclass(frozen=True, slots=True)
class SendComingModel:
    """Send this text frame on a connection that is not the one in use yet."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class UseModel:
    """From now on :data:`SendModel` means this connection; until the first of these it means the first one."""

    number: int


@dataclass(frozen=True, slots=True)
class CloseModel:
    """Close a WebSocket; nothing more is to come from it."""

    number: int | None = None
    """``None`` for all there are."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool; tell the outcome by ``tool_finished``."""

    function_call_id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop every tool still running; their outcome is of no use any more."""


@dataclass(frozen=True, slots=True)
class RecordAudio:
    """The next piece of the recording: both sides in this format, of equal length, on one clock."""

    caller: bytes
    agent: bytes
    audio_format: AudioFormat


# Facts.


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


@dataclass(frozen=True, slots=True)
class AgentSaid:
    """What the caller heard the agent say; cut short, it ends in a dash."""

    text: str
    heard_ms: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key."""

    digit: str


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model asked for a tool."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolReturned:
    """A tool's output went to the model."""

    name: str
    output: str


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
    media: RtpStats


RecordOutput: TypeAlias = RecordAudio | RecordingPaused | RecordingResumed

Command: TypeAlias = (
    Dial
    | Ring
    | Accept
    | Reject
    | HangUp
    | Refer
    | PressKeys
    | AskForLife
    | ReplacementCommand
    | SendRtcp
    | ConnectModel
    | SendModel
    | SendComingModel
    | UseModel
    | CloseModel
    | RunTool
    | CancelTools
    | RecordAudio
)
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
    | ModelComplained
    | LegComplained
    | SpeechStarted
    | SpeechStopped
    | AgentStarted
    | AgentPaused
    | AgentResumed
    | Backchanneled
    | BargedIn
    | Truncated
    | CallerSaid
    | AgentSaid
    | DigitPressed
    | ToolCalled
    | ToolReturned
    | TransferStarted
    | TransferProgressed
    | Transferred
    | TransferFailed
    | Replaced
    | HeldByPeer
    | DeadAir
    | RecordingPaused
    | RecordingResumed
    | Ended
)
Output: TypeAlias = Command | Fact
