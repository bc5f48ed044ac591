"""What a Realtime session tells its owner: bytes to send, and what the model said, did and refused.

Every output is a frozen value. ``item_id``, ``content_index`` and ``response_id`` are the server's own names;
a server may leave some out, and then they are ``""`` and ``0``.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec

FailureKind: TypeAlias = Literal["fatal", "transient"]
"""``fatal``: it will fail again in the same way until a person changes something; ``transient``: try again."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send these bytes as one WebSocket text message.

    A struct, like the others of which there are many: it is made in an eighth of the time.
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class SessionReady:
    """The server confirmed the configuration asked for: audio may flow, and a response may be asked for."""

    session_id: str
    expires_at: int | None
    """When the server ends the session, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The last word of a session that did not end by :meth:`~RealtimeSession.close`."""

    kind: FailureKind
    code: str | None
    message: str
    """A sentence that a person can act on."""


@dataclass(frozen=True, slots=True)
class ResponseCreated:
    """A response is live; its audio follows."""

    response_id: str


class AudioReceived(msgspec.Struct, frozen=True, gc=False):
    """A piece of the live response's audio, in the format of the session; it arrives faster than real time."""

    item_id: str
    content_index: int
    audio: bytes
    response_id: str


@dataclass(frozen=True, slots=True)
class AudioUnheard:
    """A response that was cancelled had begun a part of which nothing was handed on: none of it was heard.

    The server does not know that; :meth:`~RealtimeSession.truncate` it to nothing.
    """

    item_id: str
    content_index: int


@dataclass(frozen=True, slots=True)
class AudioDone:
    """All audio of this part of an item has been received; it has not all been heard."""

    item_id: str
    content_index: int


class AgentTranscript(msgspec.Struct, frozen=True, gc=False):
    """What the agent says: a piece when not ``final``, else the whole."""

    item_id: str
    content_index: int
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class CallerTranscript:
    """What the caller said, as another model heard it; it comes any time later, and may be no words at all."""

    item_id: str
    text: str


@dataclass(frozen=True, slots=True)
class FunctionCallRequested:
    """The live response calls a function; ``arguments`` is the JSON text the model wrote, not validated."""

    function_call_id: str
    name: str
    arguments: str
    response_id: str


@dataclass(frozen=True, slots=True)
class HostedCallDone:
    """The live response called a tool of an MCP server that the model reaches itself, and has its result."""

    server: str
    name: str
    arguments: str
    output: str
    """What went wrong, where something did."""
    response_id: str


@dataclass(frozen=True, slots=True)
class HostedCallAnswered:
    """The response goes on to speak of it: nothing is owed."""

    response_id: str


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """The live response asks whether it may call such a tool; :meth:`~RealtimeSession.send_approval` answers."""

    approval_request_id: str
    server: str
    name: str
    arguments: str
    response_id: str


@dataclass(frozen=True, slots=True)
class ResponseDone:
    """A response is over, though not yet heard.

    Just one follows every :class:`ResponseCreated` of a session that lives on. It also comes without one, for a
    response that was cancelled before we heard of it: it was never audible, but is billed.
    """

    response_id: str
    status: str
    """``completed``, ``cancelled``, ``failed``, ``incomplete``, or whatever else the server calls it."""
    usage: dict[str, Any] | None
    reason: str | None = None
    """Why it is not ``completed``: the server's ``status_details.reason``, or its error's code."""
    message: str | None = None
    failure: FailureKind | None = None
    """The class of the error, when it ``failed``."""


@dataclass(frozen=True, slots=True)
class ResponseRefused:
    """The response asked for will not come; no :class:`ResponseCreated` or :class:`ResponseDone` belongs to it."""

    kind: FailureKind
    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class InputCommitted:
    """The caller's audio so far became an item of the conversation."""

    item_id: str


@dataclass(frozen=True, slots=True)
class ServerSpeechStarted:
    """The server's own voice activity detection heard the caller begin, at ``audio_start_ms`` of all audio appended."""

    item_id: str
    audio_start_ms: int


@dataclass(frozen=True, slots=True)
class ServerSpeechStopped:
    """The server's own voice activity detection heard the caller end, at ``audio_end_ms`` of all audio appended."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class BenignError:
    """The server refused something that a race made pointless; nothing needs to be done."""

    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class ErrorReported:
    """The server refused a command, or had a bad moment, and the session goes on; somebody should know."""

    kind: FailureKind
    code: str | None
    message: str


@dataclass(frozen=True, slots=True)
class SessionUpdated:
    """The server has taken a change of the session; from the next response on it counts."""


@dataclass(frozen=True, slots=True)
class UpdateRefused:
    """A change of the session did not come about; it is as it was."""

    code: str | None
    message: str


AgentOutput: TypeAlias = AudioReceived | AudioUnheard | AudioDone | AgentTranscript
"""What the agent says."""

Output: TypeAlias = (
    Send
    | SessionReady
    | SessionUpdated
    | UpdateRefused
    | SessionFailed
    | ResponseCreated
    | AudioReceived
    | AudioUnheard
    | AudioDone
    | AgentTranscript
    | CallerTranscript
    | FunctionCallRequested
    | HostedCallDone
    | HostedCallAnswered
    | ApprovalRequested
    | ResponseDone
    | ResponseRefused
    | InputCommitted
    | ServerSpeechStarted
    | ServerSpeechStopped
    | BenignError
    | ErrorReported
)
