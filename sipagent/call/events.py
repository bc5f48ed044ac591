"""What a call tells the shell: commands in the imperative, and facts in the past tense.

A command is to be carried out; a fact is for the log, the metrics and whoever follows the call.
"""

from dataclasses import dataclass
from typing import TypeAlias

from sipagent.agent.approval import Approval
from sipagent.call.facts import (
    AgentPaused,
    AgentResumed,
    AgentSaid,
    AgentStarted,
    AgentWrote,
    Answered,
    Apologized,
    AttemptFailed,
    Backchanneled,
    BargedIn,
    CallerSaid,
    DeadAir,
    Dialled,
    DigitPressed,
    Ended,
    EngineChanged,
    Fact,
    FalseStart,
    HeldByPeer,
    HoldBegan,
    HoldEnded,
    Invited,
    LegComplained,
    MessageRecorded,
    MessageTaken,
    ModelComplained,
    ModelFailed,
    ModelLost,
    ModelReady,
    ModelRecovered,
    ModelResumed,
    ModelStalled,
    NoteTaken,
    Progressed,
    RecordingPaused,
    RecordingResumed,
    Replaced,
    SessionRolledOver,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolReturned,
    TransferFailed,
    TransferProgressed,
    Transferred,
    TransferStarted,
    Truncated,
)
from sipagent.call.staffing import AgentChanged, AgentKept, TurnedAway
from sipagent.formats import AudioFormat
from sipagent.realtime.events import Send
from sipagent.sip.uri import Uri

__all__ = [
    "Accept",
    "AcceptReplacement",
    "Address",
    "AgentChanged",
    "AgentKept",
    "AgentPaused",
    "AgentResumed",
    "AgentSaid",
    "AgentStarted",
    "AgentWrote",
    "Answered",
    "Apologized",
    "AskForLife",
    "AttemptFailed",
    "Backchanneled",
    "BargedIn",
    "CallerSaid",
    "CancelTools",
    "CloseModel",
    "CloseRecording",
    "Command",
    "ConnectModel",
    "DeadAir",
    "Dial",
    "DialReplacement",
    "Dialled",
    "DigitPressed",
    "DropReplacement",
    "Ended",
    "EngineChanged",
    "Fact",
    "FalseStart",
    "HangUp",
    "HeldByPeer",
    "HoldBegan",
    "HoldEnded",
    "Invited",
    "JudgeSpeech",
    "JudgeTool",
    "KeepReplacement",
    "LegComplained",
    "MessageRecorded",
    "MessageTaken",
    "ModelCommand",
    "ModelComplained",
    "ModelFailed",
    "ModelLost",
    "ModelReady",
    "ModelRecovered",
    "ModelResumed",
    "ModelStalled",
    "NoteTaken",
    "Output",
    "PressKeys",
    "Progressed",
    "RecordAudio",
    "RecordOutput",
    "RecordingPaused",
    "RecordingResumed",
    "Refer",
    "Reject",
    "RejectReplacement",
    "Replaced",
    "ReplacementCommand",
    "Ring",
    "RunTool",
    "SendComingModel",
    "SendModel",
    "SendRtcp",
    "SessionRolledOver",
    "SpeechStarted",
    "SpeechStopped",
    "ToolCalled",
    "ToolOutput",
    "ToolReturned",
    "TransferFailed",
    "TransferProgressed",
    "TransferStarted",
    "Transferred",
    "Truncated",
    "TurnedAway",
    "UseModel",
]

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
    contact: Uri | None = None
    """Where the caller is to go instead, with a status of 3xx."""


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


ModelCommand: TypeAlias = ConnectModel | SendComingModel | UseModel | CloseModel


@dataclass(frozen=True, slots=True)
class RunTool:
    """Run a tool; tell the outcome by ``tool_finished``."""

    function_call_id: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""


@dataclass(frozen=True, slots=True)
class JudgeTool:
    """Ask whether a tool may run that runs where the model is; the answer comes by ``tool_finished``."""

    approval_request_id: str
    name: str
    """The server's and the tool's, joined by a dot."""
    arguments: str
    """JSON, not validated."""


@dataclass(frozen=True, slots=True)
class JudgeSpeech:
    """Have a window of the caller's sound judged by Silero's model; tell the probability by ``speech_judged``.

    Where that fails nothing need be told.
    """

    window: bytes
    """32 ms of it."""
    audio_format: AudioFormat
    burst: int
    """Of which sound; it goes back with the answer."""
    is_first: bool
    """Whether nothing that the model heard before has to do with it."""


@dataclass(frozen=True, slots=True)
class CancelTools:
    """Stop every tool still running; their outcome is of no use any more."""


@dataclass(frozen=True, slots=True)
class CloseRecording:
    """Complete the recording's file; if there is more to record, it is another."""


@dataclass(frozen=True, slots=True)
class RecordAudio:
    """The next piece of the recording: both sides in this format, of equal length, on one clock."""

    caller: bytes
    agent: bytes
    audio_format: AudioFormat


RecordOutput: TypeAlias = RecordAudio | RecordingPaused | RecordingResumed

ToolOutput: TypeAlias = str | Approval
"""What comes of a tool: words for the model, or whether it may run where the model is."""

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
    | SendModel
    | ModelCommand
    | RunTool
    | JudgeTool
    | JudgeSpeech
    | CancelTools
    | RecordAudio
    | CloseRecording
)
Output: TypeAlias = Command | Fact
