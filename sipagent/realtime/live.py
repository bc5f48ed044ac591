"""Our side of one GPT-Live session: the model hears and speaks at once, and keeps the floor itself; no I/O.

There is nothing to commit, to cancel or to truncate (realtime-api.md, section 9): the caller's audio goes in without a
break, and when the caller interrupts, it is the model that stops. What the call asks for in the words of the Realtime
API is said in those of this one, or is nothing.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum, auto
from math import inf
from random import Random
from typing import Any, Final, Literal, TypeAlias

from sipagent.errors import LocalProtocolError
from sipagent.realtime import live_protocol as wire
from sipagent.realtime.events import (
    BenignError,
    CallerTranscript,
    ErrorReported,
    FailureKind,
    FunctionCallRequested,
    ResponseCreated,
    ResponseDone,
    Send,
    SessionFailed,
    SessionReady,
)
from sipagent.realtime.failures import ErrorClass, classify, describe_loss, failure_kind
from sipagent.realtime.live_backend import Failure, LiveBackend
from sipagent.realtime.live_input import PacedInput
from sipagent.realtime.live_output import LiveOutput
from sipagent.realtime.live_protocol import LiveAudio
from sipagent.realtime.live_updates import LiveUpdates
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.protocol import MAX_MESSAGE_CHARACTERS, Event, EventIds, identifier, mapping, text
from sipagent.realtime.session import Converter
from sipagent.realtime.settings import SessionSettings

SPEECH_S = 8.0
"""How long the model may take to begin with what it was asked to say; after that it has chosen not to."""

CALLER_PAUSE_S = 1.0
"""The caller's words come in fragments with no end to them; after so long a pause they are a sentence."""

LINGER_S = 1.0
"""After a function call what the model says of it, which it says at its own time, belongs to the same response."""

MAX_CALLER_CHARACTERS = 4_000
"""Of the words of one turn; a longer one is told in pieces."""

NOBODY = "There is nobody to ask and no tool for that. Answer from what you know, and say what you don't."
"""The answer to a task that the model gives to us where it has no tools."""

STOP = "You have been interrupted, and the caller did not hear the rest. Stop speaking now, and wait."


class _State(Enum):
    NEW = auto()
    STARTING = auto()
    """``session.start`` is sent."""
    READY = auto()
    ENDED = auto()


class LiveSession(ModelSession):
    """A :class:`~sipagent.realtime.model_session.ModelSession` for one connection to GPT-Live.

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
        """What was not acted on: ``malformed``, ``unknown_event``."""
        self.usage_s = 0.0
        """What is billed so far."""
        self._told_usage_s = 0.0
        self._settings = settings
        self._inward = inward
        self._state = _State.NEW
        self._event_id = EventIds(f"{random.getrandbits(32):08x}")
        self._now = 0.0
        self._setup_due_at = inf
        self._input = PacedInput(settings.audio_format)
        self._output = LiveOutput(self.outputs, settings.audio_format, outward=outward)
        self._backend = LiveBackend()
        self._updates = LiveUpdates(settings, self.outputs, self._event_id)
        self._serial = 0
        self._response_id = ""
        self._lingers_until = inf
        """When a response is over in which nothing was said; infinity when there is none."""
        self._speech_due_at = inf
        """Until when something that was asked for may begin to be said; infinity when nothing was."""
        self._told = ""
        self._caller_words = ""
        self._caller_due_at = inf

    # What the call reads.

    @property
    def is_full_duplex(self) -> bool:
        """The model decides by itself when it stops."""
        return True

    @property
    def server_silence_ms(self) -> int:
        """It needs no silence of ours."""
        return 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing will come of this session any more."""
        return self._state is _State.ENDED

    @property
    def has_live_response(self) -> bool:
        """Whether something is being said, was asked to be said, or is being thought about."""
        is_asked = self._speech_due_at != inf or self._backend.is_busy or self._backend.wants_word
        return self.is_ready and (bool(self._response_id) or is_asked)

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        if not self.is_ready:
            return self._setup_due_at
        speech_due_at = min(self._speech_due_at, self._lingers_until)
        far_due_at = min(self._backend.due_at, self._updates.due_at)
        return min(self._input.due_at, speech_due_at, self._caller_due_at, far_due_at)

    def get_timer(self) -> float | None:
        """Return when :meth:`handle_timer` is due."""
        return None if self.due_at == inf else self.due_at

    def handle_timer(self, *, now: float) -> None:
        """Give up the set-up; let the model hear silence; take what is over for over."""
        if not self.is_ready:
            if now >= self._setup_due_at:
                waited = f"{self._settings.setup_timeout_s:g} s"
                self._fail("transient", None, f"the model did not send session.started within {waited}")
            return
        if silence := self._input.handle_timer(now=now):
            self.outputs.append(Send(wire.append_audio(silence)))
        if now >= self._speech_due_at:
            self._speech_due_at = inf
        if now >= self._lingers_until:
            self._lingers_until = inf
        if now >= self._caller_due_at:
            self._tell_caller_words()
        self._backend.handle_timer(now=now)
        self._updates.handle_timer(now=now)
        self._settle(now)

    # What the call does.

    def open(self, *, now: float) -> None:
        """The connection is open: we speak first, and the server has ``setup_timeout_s`` to answer."""
        if self._state is _State.ENDED:
            return
        if self._state is not _State.NEW:
            raise LocalProtocolError("the session is open already")
        self._state = _State.STARTING
        self._setup_due_at = now + self._settings.setup_timeout_s
        self._send(wire.start_session(self._event_id("start"), self._settings))

    def close(self) -> None:
        """Nothing more is wanted: the server is told, so that it bills no more."""
        if self.is_ready:
            self._send(wire.close_session(self._event_id("close")))
        self._end()

    def update(self, settings: SessionSettings, *, now: float) -> None:
        """Change the instructions and the tools, as far as they can be."""
        if self._may_command():
            self._updates.ask(settings, now=now)

    def append_audio(self, audio: bytes) -> None:
        """Let the model hear the caller."""
        if not self.is_ready and not self._may_command():
            return
        if self._inward is not None:
            audio = self._inward(audio)
        if audio := self._input.pass_on(audio):
            self.outputs.append(Send(wire.append_audio(audio)))

    def commit(self) -> bool:
        """Nothing: there are no turns."""
        return False

    def clear_input(self) -> None:
        """Nothing: what was heard was heard."""

    def create_response(self, *, now: float, instructions: str | None = None, tools_allowed: bool = True) -> None:
        """Let the model say something: what it is told, what came of a tool, or of what it was told before."""
        if not self._may_command():
            return
        if instructions is None and self._backend.owes_word:
            self._backend.wants_word = True
            self._settle(now)
            return
        words = instructions or self._told
        if words:
            self._told = ""
            self._output.admit()
            self._speech_due_at = now + SPEECH_S
            self._append("commentary", words)

    def cancel_response(self, *, now: float) -> None:
        """Let nothing more be heard of what the model is saying, and ask it to stop: more than ask we cannot."""
        if self.is_ready and (self._output.item_id or self._speech_due_at != inf):
            self._speech_due_at = inf
            self._output.suppress()
            self._append("instructions", STOP)

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> bool:
        """Nothing: the model assumes that what it sends is heard at once."""
        return False

    def send_event(self, event: dict[str, Any]) -> None:
        """Refuse: an event of the Realtime API means nothing here."""
        raise LocalProtocolError(f"GPT-Live knows no event {event.get('type')}")

    def delete_item(self, item_id: str) -> None:
        """Nothing: there are no items."""

    def create_message(self, role: Literal["user", "assistant", "system"], words: str) -> None:
        """Let the model know something; :meth:`create_response` lets it speak of what the caller did."""
        if not self._may_command():
            return
        if role == "user":
            self._told = words
        self._append("thinking", f"You said: {words}" if role == "assistant" else words)

    def create_function_call(self, function_call_id: str, name: str, arguments: str) -> None:
        """Tell of a function call of an earlier session's: here there is no item for it to be."""
        self.create_message("system", f"Before now you called the function {name} ({function_call_id}): {arguments}")

    def send_tool_output(self, function_call_id: str, output: str) -> None:
        """Answer a function call; :meth:`create_response` lets the model behind go on.

        The answer to one of an earlier session's is only told.
        """
        if not self._backend.has_called(function_call_id):
            self.create_message("system", f"The function call {function_call_id} came to: {output}")
        elif self._may_command():
            item = {"type": "function_call_output", "call_id": function_call_id, "output": output}
            self._send(wire.create_item(self._event_id("create-item"), item))
            self._backend.owes_word = True

    def send_approval(self, approval_request_id: str, is_given: bool, reason: str) -> None:
        """Do nothing: nobody asks, for the model behind reaches its servers by itself."""

    def _append(self, kind: str, content: str, delegation_id: str | None = None) -> None:
        self._send(wire.append_content(kind, self._event_id(kind), content, delegation_id))

    def _may_command(self) -> bool:
        if self.is_ready or self._state is _State.ENDED:
            return self.is_ready
        raise LocalProtocolError("the session is not ready: the server has not started it")

    def _send(self, data: bytes) -> None:
        self.outputs.append(Send(data))

    def _fail(self, kind: FailureKind, code: str | None, message: str) -> None:
        self._end()
        self.outputs.append(SessionFailed(kind, code, message))

    def _end(self) -> None:
        self._tell_caller_words()
        self._state = _State.ENDED
        self.is_ready = False
        self._setup_due_at = inf
        self._input.stop()

    # What the server says.

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One message of the server, text or binary."""
        if self._state in (_State.NEW, _State.ENDED):
            return
        self._now = now
        event = wire.parse_server_event(data)
        if isinstance(event, LiveAudio):
            self._on_audio(event.delta)
        elif event is None:
            self.counters["malformed"] += 1
        elif (handler := HANDLERS.get(event["type"])) is not None:
            handler(self, event)
            self._settle(now)
        elif event["type"] not in IGNORED:
            self.counters["unknown_event"] += 1

    def connection_lost(self, code: int, reason: str, *, now: float) -> None:
        """The connection is gone, or never came to be; ``code`` as :func:`describe_loss` takes it."""
        if self._state is not _State.ENDED:
            kind, message = describe_loss(code, reason, own=self._settings.dialect.errors)
            self._fail(kind, str(code), message)

    def _on_started(self, event: Event) -> None:
        if self._state is not _State.STARTING:
            return
        session = mapping(event, "session")
        given, asked = mapping(mapping(session, "audio"), "format"), self._settings.audio_format
        got: tuple[Any, Any] = given.get("type", asked.type), given.get("rate", asked.rate)
        if got != (asked.type, asked.rate):
            shown = f"{got!r:.80}, not {asked.type!r} at {asked.rate} Hz"
            self._fail("fatal", None, f"the model did not take our configuration: audio.format is {shown}")
            return
        expires_at = session.get("expires_at")
        self._state = _State.READY
        self.is_ready = True
        self._setup_due_at = inf
        self._input.start(now=self._now)
        expires_at = expires_at if type(expires_at) is int else None
        self.outputs.append(SessionReady(identifier(session, "id"), expires_at))

    def _on_audio(self, audio: bytes) -> None:
        if not self.is_ready or not audio:
            return
        has_sound = self._output.is_sound(audio)
        if not has_sound and not self._output.item_id:
            return
        if not self._output.item_id:
            self._speech_due_at = self._lingers_until = inf
            self._tell_caller_words()
            self._begin_response()
        self._output.receive(audio, self._response_id, has_sound=has_sound)
        self._settle(self._now)

    def _on_words(self, event: Event) -> None:
        self._output.receive_words(text(event, "delta"))

    def _on_caller_words(self, event: Event) -> None:
        self._caller_words += text(event, "delta")
        self._caller_due_at = self._now + CALLER_PAUSE_S
        if len(self._caller_words) >= MAX_CALLER_CHARACTERS:
            self._tell_caller_words()

    def _tell_caller_words(self) -> None:
        words, self._caller_words = self._caller_words.strip(), ""
        self._caller_due_at = inf
        if words:
            self.outputs.append(CallerTranscript("", words))

    def _on_delegation(self, event: Event) -> None:
        """A task: the model behind sees to it, unless there is none."""
        delegation = mapping(event, "delegation")
        if delegation.get("target") == "client" and self.is_ready:
            self._append("commentary", NOBODY, identifier(delegation, "id"))

    def _on_backend(self, event: Event) -> None:
        if not self.is_ready:
            return
        came = self._backend.receive(mapping(event, "event"), identifier(event, "delegation_id"), now=self._now)
        match came:
            case Failure(error):
                self._report(error, "")
            case None:
                pass
            case _:
                if not self._response_id:
                    self._lingers_until = self._now + LINGER_S
                self._begin_response()
                self.outputs.append(
                    FunctionCallRequested(came.function_call_id, came.name, came.arguments, self._response_id)
                )

    def _on_updated(self, event: Event) -> None:
        self._updates.receive_updated(event)

    def _on_usage(self, event: Event) -> None:
        seconds = mapping(event, "usage").get("seconds")
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            self.usage_s = float(seconds)

    def _on_closed(self, event: Event) -> None:
        self._on_usage(event)
        reason = identifier(event, "reason")
        self._fail("transient", reason or None, CLOSED.get(reason, "the model ended the session"))

    def _on_error(self, event: Event) -> None:
        error = mapping(event, "error")
        command = self._event_id.command_of(identifier(error, "client_event_id"))
        if command == "commentary":
            self._speech_due_at = inf
        if not self._updates.receive_error(error):
            self._report(error, command)

    def _report(self, error: Event, command: str) -> None:
        error_class = classify(error, command, own=self._settings.dialect.errors)
        code = identifier(error, "code") or None
        message = text(error, "message")[:MAX_MESSAGE_CHARACTERS]
        if error_class in (ErrorClass.FATAL, ErrorClass.EXPIRED):
            self._fail(failure_kind(error_class), code, message)
        elif not self.is_ready:
            self._fail(failure_kind(error_class), code, f"the model refused our configuration: {message}")
        elif error_class is ErrorClass.BENIGN:
            self.outputs.append(BenignError(code, message))
        else:
            self.outputs.append(ErrorReported(failure_kind(error_class), code, message))

    # What is being said and done, as one thing that the call can wait for.

    def _begin_response(self) -> None:
        if not self._response_id:
            self._serial += 1
            self._response_id = f"live_response_{self._serial}"
            self.outputs.append(ResponseCreated(self._response_id))

    def _settle(self, now: float) -> None:
        """Let the model behind go on when it can; what neither speaks nor thinks any more is over."""
        if self.is_ready and self._backend.may_go_on:
            self._backend.go_on()
            self._speech_due_at = now + SPEECH_S
            self._send(wire.create_response(self._event_id("create")))
        is_active = self._output.item_id or self._backend.is_busy or self._lingers_until != inf
        if self._response_id and not is_active:
            billed_s, self._told_usage_s = self.usage_s - self._told_usage_s, self.usage_s
            self.outputs.append(ResponseDone(self._response_id, "completed", {"seconds": billed_s}))
            self._response_id = ""


Handler: TypeAlias = Callable[[LiveSession, Event], None]

# ruff: noqa: SLF001 - the table is the session's own; within the class it could not be compiled
HANDLERS: Final[dict[str, Handler]] = {
    "session.started": LiveSession._on_started,
    "session.input_transcript.delta": LiveSession._on_caller_words,
    "session.output_transcript.delta": LiveSession._on_words,
    "session.delegation.created": LiveSession._on_delegation,
    "response.event": LiveSession._on_backend,
    "session.updated": LiveSession._on_updated,
    "session.usage.updated": LiveSession._on_usage,
    "session.closed": LiveSession._on_closed,
    "error": LiveSession._on_error,
}

CLOSED: Final = {
    "expired": "the model's session has lasted as long as it may",
    "content": "the model's safety filter ended the session",
    "remote_hangup": "the model hung up",
    "connection_lost": "the model lost its own connection",
}
"""Why a session was ended; each time a new one will do."""

IGNORED: Final = frozenset(
    {
        "info",
        "session.commentary.appended",
        "session.input_audio.muted",
        "session.input_audio.unmuted",
        "session.instructions.appended",
        "session.thinking.appended",
    }
)
"""What we know and need not hear; anything else is counted."""
