"""Our side of one Realtime session: set up, the caller's audio in, one response at a time out, no I/O.

Nothing flows before the server has confirmed the configuration asked for. Once a session has ended, by :meth:`close`
or by :class:`SessionFailed`, every input and command is ignored: the end is the peer's doing and may cross a command.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from random import Random
from typing import Final, Literal, TypeAlias

from sipagent.errors import LocalProtocolError
from sipagent.realtime import protocol
from sipagent.realtime.audio_delta import AudioDelta
from sipagent.realtime.events import (
    AgentTranscript,
    AudioDone,
    AudioReceived,
    AudioUnheard,
    BenignError,
    CallerTranscript,
    ErrorReported,
    FailureKind,
    FunctionCallRequested,
    InputCommitted,
    Send,
    ServerSpeechStarted,
    ServerSpeechStopped,
    SessionFailed,
    SessionReady,
)
from sipagent.realtime.failures import ErrorClass, classify, describe_loss, failure_kind
from sipagent.realtime.hosted import HostedCalls, approval_response
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.protocol import (
    IGNORED,
    MAX_MESSAGE_CHARACTERS,
    Event,
    arguments,
    identifier,
    index,
    mapping,
    milliseconds,
    text,
)
from sipagent.realtime.responses import ResponseGate, ResponseRequest
from sipagent.realtime.settings import ServerVad, SessionSettings, differences, session_object
from sipagent.realtime.updates import Updates
from sipagent.recent import remember

__all__ = ["Converter", "RealtimeSession", "ServerVad", "SessionSettings"]

MIN_COMMIT_MS: Final = 100
"""The server refuses to commit less."""

SILENCE_MARGIN_MS: Final = 200
"""A detector takes a little longer than it says."""

MAX_PARTS: Final = 32
"""How many content parts are remembered, to tell one of which nothing was heard; a response has a handful."""

MAX_FUNCTION_CALLS: Final = 64
"""How many function call ids are remembered, so that a repeated event runs no tool twice."""

Converter: TypeAlias = Callable[[bytes], bytes]
"""From one format to another: a stream of either, in any pieces, at the same pace."""


class _State(Enum):
    NEW = auto()
    OPENING = auto()
    """Connected, waiting for session.created."""
    CONFIGURING = auto()
    """session.update is sent, waiting for session.updated."""
    READY = auto()
    ENDED = auto()


class RealtimeSession(ModelSession):
    """A :class:`~sipagent.machine.Machine` for one connection, which the shell opens and closes.

    :param random: makes the event ids of one session unlike another's.
    :param inward: makes of the call's audio the session's, where they differ.
    :param outward: makes of the session's audio the call's.
    """

    def __init__(
        self,
        settings: SessionSettings,
        *,
        random: Random,
        inward: Converter | None = None,
        outward: Converter | None = None,
    ) -> None:
        super().__init__()
        self.counters: Counter[str] = Counter()
        """What was not acted on, by a fixed set of names: ``malformed``, ``unknown_event``, ``stale_event``..."""
        self._settings = settings
        self._dialect = settings.dialect
        self._inward = inward
        self._outward = outward
        self._state = _State.NEW
        self._event_id = protocol.EventIds(f"{random.getrandbits(32):08x}")
        self._handlers = SETUP_HANDLERS
        self._now = 0.0  # of the message being read
        self._setup_due_at: float | None = None
        self._session_id = ""
        self._expires_at: int | None = None
        self._bytes_per_ms = settings.audio_format.bytes_per_ms
        self._appended_bytes = 0
        self._parts: list[tuple[str, int]] = []
        self._function_calls: list[str] = []
        self._hosted = HostedCalls()
        self._responses = ResponseGate(
            self.outputs,
            self._event_id,
            server_creates=settings.turn_detection == "server",
            can_cancel=settings.dialect.can("cancel"),
            errors=settings.dialect.errors,
        )
        self._updates = Updates(settings, self.outputs, self._event_id)

    # What the call reads.

    @property
    def is_full_duplex(self) -> bool:
        """The model waits for its turn."""
        return False

    @property
    def server_silence_ms(self) -> int:
        """How much silence lets the server's own turn detection say that the turn is over."""
        return self._settings.server_vad.longest_silence_ms + SILENCE_MARGIN_MS

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        due_at = self.get_timer()
        return inf if due_at is None else due_at

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come of this session any more."""
        return self._state is _State.ENDED

    @property
    def has_live_response(self) -> bool:
        """Whether a response speaks, or will without further asking."""
        return self._responses.has_live_response

    @property
    def uncommitted_ms(self) -> int:
        """How much audio was appended since the last commit or clear, in ms."""
        return self._appended_bytes // self._bytes_per_ms

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due."""
        if not self.is_ready:
            return self._setup_due_at
        due_at, update_due_at = self._responses.due_at, self._updates.due_at
        if due_at is None:
            return None if update_due_at == inf else update_due_at
        return min(due_at, update_due_at)

    def handle_timer(self, *, now: float) -> None:
        """Give up the set-up, or a response that the server forgot."""
        if self.is_ready:
            self._responses.handle_timer(now=now)
            self._updates.handle_timer(now=now)
        elif self._setup_due_at is not None and now >= self._setup_due_at:
            awaited = "session.created" if self._state is _State.OPENING else "an answer to session.update"
            waited = f"{self._settings.setup_timeout_s:g} s"
            self._fail("transient", None, f"the model did not send {awaited} within {waited} of the connection")

    # What the call does.

    def open(self, *, now: float) -> None:
        """The connection is open: the server speaks first, and has ``setup_timeout_s`` for the whole set-up."""
        if self._state is _State.ENDED:
            return
        if self._state is not _State.NEW:
            raise LocalProtocolError("the session is open already")
        self._state = _State.OPENING
        self._setup_due_at = now + self._settings.setup_timeout_s

    def close(self) -> None:
        """Nothing more is wanted; the shell closes the connection."""
        self._end()

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change what the model is to be, while the audio goes on; its voice, its format and the model itself stay.

        :class:`SessionUpdated` or :class:`UpdateRefused` comes of it.
        """
        if self._may_command():
            self._updates.ask(settings, now=now)
            self._take_settings()

    def append_audio(self, audio: bytes) -> None:
        """Send the caller's audio, raw bytes of the call's format, as they came."""
        if not self.is_ready and not self._may_command():
            return
        if self._inward is not None:
            audio = self._inward(audio)
        self._appended_bytes += len(audio)
        self.outputs.append(Send(protocol.append_audio(audio)))

    def commit(self) -> bool:
        """Make the audio appended the caller's turn.

        :returns: ``False``, and nothing is sent, when it is under 100 ms: the server would refuse. Nothing is cleared.
            Nor is anything sent to a server that takes no turns from us.
        """
        if not self._may_command() or self._appended_bytes < MIN_COMMIT_MS * self._bytes_per_ms:
            return False
        if not self._dialect.can("commit"):
            return False
        self._appended_bytes = 0
        self._send(protocol.commit_input(self._event_id("commit")))
        return True

    def clear_input(self) -> None:
        """Drop the audio appended and not committed: a false start."""
        if self._may_command() and self._appended_bytes and self._dialect.can("clear"):
            self._appended_bytes = 0
            self._send(protocol.clear_input(self._event_id("clear")))

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the agent speak: now, or as soon as the present response is over. The latest request waits, no other.

        :param instructions: for this response only, in addition to the session's.
        """
        if not self._may_command():
            return
        if instructions is not None:  # the server would put them in the place of the session's, persona and all
            instructions = "\n\n".join(filter(None, (self._settings.instructions, instructions)))
        self._responses.create(ResponseRequest(instructions, tools_allowed), now=now)

    def cancel_response(self, *, now: float) -> None:
        """Let the agent be silent: whatever response is live, coming, or waiting its turn. Always safe."""
        if self._may_command():
            self._responses.cancel(now=now)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: object) -> bool:
        """Tell the server that the caller heard no more of an item than its first ``audio_end_ms``.

        :returns: whether it could be told.
        :raises LocalProtocolError: it is no whole number of ms, or negative. Beyond the audio received is an error
            of the server's, a benign one.
        """
        if not isinstance(audio_end_ms, int) or isinstance(audio_end_ms, bool) or audio_end_ms < 0:
            raise LocalProtocolError(f"audio_end_ms is {audio_end_ms!r}, not a whole number of ms")
        if not self._may_command() or not self._dialect.can("truncate"):
            return False
        self._send(protocol.truncate_item(self._event_id("truncate"), item_id, content_index, audio_end_ms))
        return True

    def delete_item(self, item_id: str) -> None:
        """Take an item out of the conversation: nothing of it was heard."""
        if self._may_command():
            self._send(protocol.delete_item(self._event_id("delete"), item_id))

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Put words into the conversation: a digit pressed, a note, the history of an earlier session."""
        kind = "output_text" if role == "assistant" else "input_text"
        self._create_item({"type": "message", "role": role, "content": [{"type": kind, "text": words}]})

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a :class:`FunctionCallRequested`; :meth:`create_response` lets the agent speak of it."""
        self._create_item({"type": "function_call_output", "call_id": function_call_id, "output": output})

    def create_function_call(self, function_call_id: str, name: str, arguments: str) -> None:
        """Put a function call of an earlier session's into the conversation, so that its output finds it."""
        self._create_item({"type": "function_call", "call_id": function_call_id, "name": name, "arguments": arguments})

    def send_event(self, event: Event) -> None:
        """Send an event of the user's own making, under an id of ours."""
        if self._may_command():
            self._send(protocol.encode({**event, "event_id": self._event_id("own")}))

    def send_approval(self, approval_request_id: str, is_given: bool, reason: str) -> None:
        """Answer an :class:`ApprovalRequested`; :meth:`create_response` lets the model go on."""
        self._create_item(approval_response(approval_request_id, is_given, reason))

    def _create_item(self, item: Event) -> None:
        if self._may_command():
            self._send(protocol.create_item(self._event_id("create-item"), item))

    def _may_command(self) -> bool:
        if self.is_ready or self._state is _State.ENDED:
            return self.is_ready
        raise LocalProtocolError("the session is not ready: the server has not confirmed its configuration")

    def _send(self, data: bytes) -> None:
        self.outputs.append(Send(data))

    def _fail(self, kind: FailureKind, code: str | None, message: str) -> None:
        self._end()
        self.outputs.append(SessionFailed(kind, code, message))

    def _end(self) -> None:
        self._state = _State.ENDED
        self.is_ready = False
        self._setup_due_at = None

    # What the server says.

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One message of the server, text or binary."""
        if self._state in (_State.NEW, _State.ENDED):
            return
        self._now = now
        event = protocol.parse_server_event(data)
        if isinstance(event, AudioDelta):
            self._on_audio_delta(event)
        elif event is None:
            self.counters["malformed"] += 1
        else:
            self._on_event(self._dialect.aliases.get(event["type"], event["type"]), event)

    def _on_event(self, kind: str, event: Event) -> None:
        if (handler := self._handlers.get(kind)) is not None:
            handler(self, event)
        elif kind not in IGNORED:
            self.counters["unknown_event"] += 1

    def connection_lost(self, code: int, reason: str, *, now: float) -> None:
        """The connection is gone, or never came to be.

        :param code: the WebSocket's close code (1006 when there was none), or the HTTP status that refused it, or 0
            when there was no answer at all.
        """
        if self._state is _State.ENDED:
            return
        self._now = now
        kind, message = describe_loss(code, reason, own=self._dialect.errors)
        self._fail(kind, str(code), message)

    def _on_session_created(self, event: Event) -> None:
        if self._state is not _State.OPENING:
            return
        session = mapping(event, "session")
        expires_at = session.get("expires_at")
        self._session_id = identifier(session, "id")
        self._expires_at = expires_at if type(expires_at) is int else None
        self._state = _State.CONFIGURING
        self._send(protocol.update_session(self._event_id("update"), session_object(self._settings)))

    def _on_session_updated(self, event: Event) -> None:
        if self._state is not _State.CONFIGURING:
            if not self.is_ready:
                self.counters["stale_event"] += 1
            elif self._updates.receive_updated(mapping(event, "session"), now=self._now):
                self._take_settings()
            return
        if wrong := differences(self._settings, mapping(event, "session")):
            self._fail("fatal", None, f"the model did not take our configuration: {'; '.join(wrong)}")
            return
        self._state = _State.READY
        self.is_ready = True
        self._handlers = READY_HANDLERS
        self._setup_due_at = None
        self.outputs.append(SessionReady(self._session_id, self._expires_at))

    def _take_settings(self) -> None:
        """From now on what the server has confirmed counts."""
        self._settings = self._updates.settings
        self._responses.server_creates = self._settings.turn_detection == "server"

    def _on_error(self, event: Event) -> None:
        error = mapping(event, "error")
        command = self._event_id.command_of(identifier(error, "event_id"))
        error_class = classify(error, command, own=self._dialect.errors)
        code = identifier(error, "code") or None
        message = text(error, "message")[:MAX_MESSAGE_CHARACTERS]
        if error_class in (ErrorClass.FATAL, ErrorClass.EXPIRED):
            self._fail(failure_kind(error_class), code, message)
        elif error_class is not ErrorClass.BENIGN and not self.is_ready:
            self._fail(failure_kind(error_class), code, f"the model refused our configuration: {message}")
        elif self._updates.receive_error(error, now=self._now):
            pass
        elif self._responses.receive_error(error, command, now=self._now):
            self.counters["response_refused"] += 1
        elif error_class is ErrorClass.BENIGN:
            self.outputs.append(BenignError(code, message))
        else:
            self.outputs.append(ErrorReported(failure_kind(error_class), code, message))

    def _on_audio_delta(self, delta: AudioDelta) -> None:
        part = (delta.item_id, delta.content_index)
        if not self._responses.is_live(delta.response_id):
            self.counters["stale_event"] += 1
            if self._responses.is_cancelled(delta.response_id):
                self._responses.heard(now=self._now)
                if delta.item_id and part not in self._parts:
                    remember(self._parts, part, MAX_PARTS)
                    self.outputs.append(AudioUnheard(*part))
        elif delta.delta:
            self._responses.heard(now=self._now)
            if part not in self._parts:
                remember(self._parts, part, MAX_PARTS)
            audio = delta.delta if self._outward is None else self._outward(delta.delta)
            self.outputs.append(AudioReceived(delta.item_id, delta.content_index, audio, delta.response_id))

    def _on_audio_done(self, event: Event) -> None:
        if self._is_live(event):
            self.outputs.append(AudioDone(identifier(event, "item_id"), index(event)))

    def _on_transcript_delta(self, event: Event) -> None:
        self._on_agent_words(event, "delta", final=False)

    def _on_transcript_done(self, event: Event) -> None:
        self._on_agent_words(event, "transcript", final=True)

    def _on_agent_words(self, event: Event, key: str, *, final: bool) -> None:
        words = text(event, key)
        if self._is_live(event) and (words or final):
            self.outputs.append(AgentTranscript(identifier(event, "item_id"), index(event), words, final))

    def _on_arguments_delta(self, event: Event) -> None:
        self._is_live(event)

    def _on_output_item_done(self, event: Event) -> None:
        item = mapping(event, "item")
        if not self._is_live(event):
            return
        response_id = identifier(event, "response_id")
        if item.get("type") == "function_call":
            self._on_function_call(item, response_id)
        elif (output := self._hosted.read(item, response_id)) is not None:
            self.outputs.append(output)

    def _on_function_call(self, item: Event, response_id: str) -> None:
        function_call_id, name = identifier(item, "call_id"), identifier(item, "name")
        if (item.get("status") or "completed") != "completed":
            self.counters["interrupted_function_call"] += 1
        elif not function_call_id or not name or function_call_id in self._function_calls:
            self.counters["odd_function_call"] += 1
        else:
            remember(self._function_calls, function_call_id, MAX_FUNCTION_CALLS)
            self.outputs.append(FunctionCallRequested(function_call_id, name, arguments(item), response_id))

    def _on_caller_transcript(self, event: Event) -> None:
        self.outputs.append(CallerTranscript(identifier(event, "item_id"), text(event, "transcript")))

    def _on_committed(self, event: Event) -> None:
        if self._settings.turn_detection != "local":
            self._appended_bytes = 0
        self.outputs.append(InputCommitted(identifier(event, "item_id")))

    def _on_speech_started(self, event: Event) -> None:
        self.outputs.append(ServerSpeechStarted(identifier(event, "item_id"), milliseconds(event, "audio_start_ms")))

    def _on_speech_stopped(self, event: Event) -> None:
        self.outputs.append(ServerSpeechStopped(identifier(event, "item_id"), milliseconds(event, "audio_end_ms")))

    def _on_response_created(self, event: Event) -> None:
        self._responses.receive_created(mapping(event, "response"), now=self._now)

    def _on_response_done(self, event: Event) -> None:
        self._responses.receive_done(mapping(event, "response"), now=self._now)

    def _is_live(self, event: Event) -> bool:
        if self._responses.is_live(identifier(event, "response_id")):
            self._responses.heard(now=self._now)
            return True
        self.counters["stale_event"] += 1
        return False


Handler: TypeAlias = Callable[[RealtimeSession, Event], None]

# ruff: noqa: SLF001 - the tables are the session's own; within the class they could not be compiled
SETUP_HANDLERS: Final[dict[str, Handler]] = {
    "session.created": RealtimeSession._on_session_created,
    "session.updated": RealtimeSession._on_session_updated,
    "error": RealtimeSession._on_error,
}
READY_HANDLERS: Final[dict[str, Handler]] = {
    "error": RealtimeSession._on_error,
    "session.updated": RealtimeSession._on_session_updated,
    "response.created": RealtimeSession._on_response_created,
    "response.done": RealtimeSession._on_response_done,
    "response.output_audio.done": RealtimeSession._on_audio_done,
    "response.output_audio_transcript.delta": RealtimeSession._on_transcript_delta,
    "response.output_audio_transcript.done": RealtimeSession._on_transcript_done,
    "response.function_call_arguments.delta": RealtimeSession._on_arguments_delta,
    "response.output_item.done": RealtimeSession._on_output_item_done,
    "conversation.item.input_audio_transcription.completed": RealtimeSession._on_caller_transcript,
    "input_audio_buffer.committed": RealtimeSession._on_committed,
    "input_audio_buffer.speech_started": RealtimeSession._on_speech_started,
    "input_audio_buffer.speech_stopped": RealtimeSession._on_speech_stopped,
}
