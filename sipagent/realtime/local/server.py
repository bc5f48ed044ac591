"""The embedded model as a machine: one session of the Realtime protocol, server side; it reads requests and delegates.

Shapes, order, codes and limits are those of the GA API (realtime-api.md, sections 2 and 3). Whatever a client sends, it
answers with an event and goes on.
"""

from collections.abc import Mapping
from random import Random

from sipagent.realtime.local import schema
from sipagent.realtime.local.brain import Brain, Thinker
from sipagent.realtime.local.buffer import DetectorFactory, InputBuffer, SpeechStarted, SpeechStopped
from sipagent.realtime.local.calendar import Calendar
from sipagent.realtime.local.configuration import Configuration
from sipagent.realtime.local.conversation import Conversation
from sipagent.realtime.local.events import Close, Output
from sipagent.realtime.local.faults import Fault
from sipagent.realtime.local.handshake import Accepted
from sipagent.realtime.local.hearing import Hearing
from sipagent.realtime.local.item import MAX_ID, Item, Part, parse_item
from sipagent.realtime.local.responses import Responses
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.tool_match import words_of
from sipagent.realtime.local.wire import Channel, Json, RequestError, parse_audio, parse_event
from sipagent.timers import Timers

_id = schema.nullable(schema.text(MAX_ID))
_event = {"type": schema.anything, "event_id": schema.nullable(schema.text(512))}
EVENTS: Mapping[str, schema.Check] = {
    "session.update": schema.mapping({**_event, "session": schema.anything}),
    "input_audio_buffer.append": schema.mapping({**_event, "audio": schema.anything}),
    "input_audio_buffer.commit": schema.mapping(_event),
    "input_audio_buffer.clear": schema.mapping(_event),
    "output_audio_buffer.clear": schema.mapping(_event),
    "conversation.item.create": schema.mapping({**_event, "item": schema.anything, "previous_item_id": _id}),
    "conversation.item.truncate": schema.mapping(
        {
            **_event,
            "item_id": schema.text(MAX_ID),
            "content_index": schema.integer(0, 1000),
            "audio_end_ms": schema.integer(0, 2**31 - 1),
        },
        required=("item_id", "content_index", "audio_end_ms"),
    ),
    "conversation.item.delete": schema.mapping({**_event, "item_id": schema.text(MAX_ID)}, required=("item_id",)),
    "conversation.item.retrieve": schema.mapping({**_event, "item_id": schema.text(MAX_ID)}, required=("item_id",)),
    "response.create": schema.mapping({**_event, "response": schema.anything}),
    "response.cancel": schema.mapping({**_event, "response_id": _id}),
}
"""The client's events and their fields."""


class LocalServer:
    """One session. The shell carries out its outputs and brings back what was rendered and heard.

    :param brain: what to say; by default the book of phrases.
    :param make_detector: hears where speech begins and ends; without it the server's turn detection finds none.
    """

    def __init__(
        self,
        settings: LocalSettings,
        *,
        random: Random,
        brain: Thinker | None = None,
        make_detector: DetectorFactory | None = None,
    ) -> None:
        self.is_closed = False
        self._settings = settings
        self._make_detector = make_detector
        self._brain = brain if brain is not None else Brain()
        self._channel = Channel(random)
        self._conversation = Conversation()
        self._configuration = Configuration(self._channel.make_id("sess"), "", 0)
        self._buffer = InputBuffer(self._configuration.input_format)
        self._calendar = Calendar(settings.utc_offset_s)
        self._hearing = Hearing(self._channel)
        self._responses = Responses(
            self._channel, self._configuration, self._conversation, settings, self._brain, self._calendar
        )
        self._timers: Timers[str] = Timers()
        self._number = 1
        self._faults = settings.faults
        self._updates = 0
        self._speech_item_id = ""
        self._playback_ends_at = 0.0

    def open(self, accepted: Accepted, *, now: float, unix_time: float) -> None:
        """The WebSocket is open; ``unix_time`` is what the calendar says at ``now``."""
        self._calendar.set(unix_time, now=now)
        self._number = accepted.number
        self._faults = self._responses.faults = self._settings.faults.within(accepted.number)
        if accepted.beta:
            message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
            self._end(RequestError(message, code="beta_api_shape_disabled"), 4000)
            return
        refusal = self._find_fault("refuse_session")
        if refusal is not None:
            self._end(RequestError("The session was refused, as scripted.", code=refusal.code), 1008)
            return
        expiry = self._find_fault("expire")
        lifetime = expiry.seconds if expiry else self._settings.max_session_s
        self._timers.set("expire", now + lifetime)
        self._configuration.values["model"] = accepted.model
        self._configuration.values["expires_at"] = int(unix_time + lifetime)
        self._buffer.configure(
            self._configuration.input_format, self._configuration.turn_detection, self._make_detector
        )
        late = self._find_fault("slow_session")
        if late is not None:
            self._timers.set("created", now + late.seconds)
        else:
            self._send_created()

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One frame from the client; never raises."""
        if self.is_closed:
            return
        event: Json = {}
        try:
            event = parse_event(data)
            self._dispatch(_check(event), now)
        except RequestError as error:
            self._channel.send_error(error, event.get("event_id"))
        self._settle(now)

    def receive_speech(self, request_id: int, audio: bytes, *, now: float) -> None:
        """The whole rendering of one :class:`RenderSpeech`, in its format; empty when it could not be spoken."""
        if not self.is_closed:
            self._responses.receive_speech(request_id, audio, now=now)
            self._settle(now)

    def receive_hearing(self, request_id: int, text: str | None, *, now: float) -> None:
        """The phrase of one :class:`HearSpeech`; empty when it was none of them, ``None`` when there is no ear."""
        if not self.is_closed:
            self._hearing.receive(request_id, text)
            self._settle(now)

    def connection_lost(self) -> None:
        """The WebSocket is gone."""
        self._shut()

    def poll(self) -> Output | None:
        """The next output."""
        return self._channel.poll()

    def get_timer(self) -> float | None:
        """When something is due."""
        if self.is_closed:
            return None
        times = (self._timers.next_at(), self._responses.get_timer(), self._hearing.get_timer())
        return min((at for at in times if at is not None), default=None)

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        while not self.is_closed and (key := self._timers.pop_due(now)) is not None:
            self._on_timer(key, now)
        if not self.is_closed:
            self._hearing.handle_timer(now=now)
            self._responses.think(now=now)
            self._responses.handle_timer(now=now)
            self._settle(now)

    def _dispatch(self, event: Json, now: float) -> None:
        match event["type"]:
            case "session.update":
                self._on_session_update(event, now)
            case "input_audio_buffer.append":
                self._on_append(event, now)
            case "input_audio_buffer.commit":
                self._add_turn(self._buffer.commit(), self._channel.make_id("item"), now)
            case "input_audio_buffer.clear":
                self._on_clear()
            case "conversation.item.create":
                self._on_item_create(event, now)
            case "conversation.item.truncate":
                self._on_item_truncate(event)
            case "conversation.item.delete":
                self._on_item_delete(event)
            case "conversation.item.retrieve":
                self._on_item_retrieve(event)
            case "response.create":
                self._on_response_create(event, now)
            case "response.cancel":
                self._responses.cancel(event.get("response_id"), now=now)
            case _:
                message = "output_audio_buffer.clear is supported over WebRTC and SIP only."
                raise RequestError(message, code="invalid_value", param="type")

    def _settle(self, now: float) -> None:
        """After any input: think where all is heard, and watch for a caller who says nothing."""
        self._responses.think(now=now)
        detection = self._configuration.turn_detection
        idle_ms = detection.get("idle_timeout_ms") if detection else None
        if idle_ms is None or self._responses.active is not None or self._buffer.is_speech:
            self._timers.cancel("idle")
        elif "idle" not in self._timers and len(self._conversation) > 0:
            self._timers.set("idle", max(now, self._playback_ends_at) + idle_ms / 1000)
        if self._responses.active is not None:
            self._playback_ends_at = now + self._responses.active.audio_ms / 1000

    def _on_timer(self, key: str, now: float) -> None:
        match key:
            case "created":
                self._send_created()
            case "updated":
                self._send_updated()
            case "idle":
                self._on_idle(now)
            case _:
                message = "Your session hit the maximum duration of 60 minutes."
                self._end(RequestError(message, code="session_expired"), 1001)

    def _on_session_update(self, event: Json, now: float) -> None:
        self._updates += 1
        fault = self._faults.find("refuse_update", self._updates)
        if fault is not None:
            raise RequestError("The update was refused, as scripted.", code=fault.code, param="session")
        before = self._configuration.input
        self._configuration.update(event.get("session"), has_spoken=self._responses.has_spoken)
        after = self._configuration.input
        if (before["format"], before["turn_detection"]) != (after["format"], after["turn_detection"]):
            self._buffer.configure(
                self._configuration.input_format, self._configuration.turn_detection, self._make_detector
            )
        late = self._faults.find("slow_update", self._updates)
        if late is not None:
            self._timers.set("updated", now + late.seconds)
        else:
            self._send_updated()

    def _on_append(self, event: Json, now: float) -> None:
        audio = parse_audio(event.get("audio"), "audio")
        for happened in self._buffer.append(audio):
            if isinstance(happened, SpeechStarted):
                self._on_speech_started(happened, now)
            else:
                self._on_speech_stopped(happened, now)

    def _on_speech_started(self, happened: SpeechStarted, now: float) -> None:
        self._speech_item_id = self._channel.make_id("item")
        self._channel.send(
            "input_audio_buffer.speech_started", audio_start_ms=happened.audio_start_ms, item_id=self._speech_item_id
        )
        detection = self._configuration.turn_detection
        if detection is not None and detection["interrupt_response"]:
            self._responses.interrupt(now=now)

    def _on_speech_stopped(self, happened: SpeechStopped, now: float) -> None:
        self._channel.send(
            "input_audio_buffer.speech_stopped", audio_end_ms=happened.audio_end_ms, item_id=self._speech_item_id
        )
        self._add_turn(self._buffer.commit_speech(), self._speech_item_id, now)
        detection = self._configuration.turn_detection
        if detection is not None and detection["create_response"]:
            self._create_response(None, now)

    def _on_idle(self, now: float) -> None:
        """The caller has said nothing for the time that was set: a turn of no audio, and a response to it."""
        item_id = self._channel.make_id("item")
        at_ms = self._buffer.position_ms
        self._channel.send(
            "input_audio_buffer.timeout_triggered", audio_start_ms=at_ms, audio_end_ms=at_ms, item_id=item_id
        )
        self._add_turn(b"", item_id, now)
        self._create_response(None, now)

    def _on_clear(self) -> None:
        self._buffer.clear()
        self._channel.send("input_audio_buffer.cleared")

    def _on_item_create(self, event: Json, now: float) -> None:
        item = parse_item(
            event.get("item"),
            "item",
            new_id=self._channel.make_id("item"),
            new_function_call_id=self._channel.make_id("call"),
            audio_format=self._configuration.input_format,
        )
        call_id = item.fields.get("call_id", "")
        if item.type == "function_call_output" and not self._conversation.has_call(call_id):
            message = f"Error adding item: tool call ID '{call_id}' not found in conversation."
            raise RequestError(message, code="invalid_tool_call_id", param="item.call_id")
        self._add_item(item, event.get("previous_item_id"), now)

    def _on_item_truncate(self, event: Json) -> None:
        place = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        self._conversation.truncate(**place)
        self._channel.send("conversation.item.truncated", **place)

    def _on_item_delete(self, event: Json) -> None:
        self._conversation.delete(event["item_id"])
        self._channel.send("conversation.item.deleted", item_id=event["item_id"])

    def _on_item_retrieve(self, event: Json) -> None:
        item = self._conversation.require(event["item_id"], "retriev", "item_retrieve_invalid_item_id")
        self._channel.send("conversation.item.retrieved", item=item.to_json(with_audio=True))

    def _on_response_create(self, event: Json, now: float) -> None:
        for item in self._responses.create(event.get("response"), now=now):
            self._listen(item, now, wants_transcript=False)

    def _create_response(self, value: object, now: float) -> None:
        """A response of the server's own accord; that another one is still active is told as an error."""
        try:
            self._responses.create(value, now=now)
        except RequestError as error:
            self._channel.send_error(error)

    def _add_turn(self, audio: bytes, item_id: str, now: float) -> None:
        """Commit what the caller said as a message of the user's."""
        part = Part("input_audio", format=self._buffer.format, audio=bytearray(audio), audio_bytes=len(audio))
        item = Item(item_id, "message", "completed", {"role": "user"}, [part])
        previous = self._conversation.last_id
        self._channel.send("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        self._add_item(item, None, now)

    def _add_item(self, item: Item, after: object, now: float) -> None:
        previous = self._conversation.insert(item, after)
        shown = item.to_json()
        self._channel.send("conversation.item.added", previous_item_id=previous, item=shown)
        self._channel.send("conversation.item.done", previous_item_id=previous, item=shown)
        self._listen(item, now, wants_transcript=self._configuration.input["transcription"] is not None)

    def _listen(self, item: Item, now: float, *, wants_transcript: bool) -> None:
        """Have the audio of an item heard; tools can be called by their names."""
        tools = [tool for tool in self._configuration.values["tools"] if tool["type"] == "function"]
        phrases = [*self._brain.phrases, *(" ".join(words_of(tool["name"].replace("_", " "))) for tool in tools)]
        self._hearing.listen(item, phrases, wants_transcript=wants_transcript, now=now)

    def _send_created(self) -> None:
        self._channel.send("session.created", session=self._configuration.echo())
        conversation = {"id": self._responses.conversation_id, "object": "realtime.conversation"}
        self._channel.send("conversation.created", conversation=conversation)
        if self._find_fault("strange_events") is not None:
            self._channel.send("session.weather.changed", obfuscation="aGVsbG8", weather={"sky": None})
            self._channel.send("ping", timestamp=None)

    def _send_updated(self) -> None:
        shown = self._configuration.echo()
        if self._faults.find("wrong_format", self._updates) is not None:
            for direction in ("input", "output"):
                shown["audio"][direction]["format"] = {"type": "audio/pcm", "rate": 24000}
        self._channel.send("session.updated", session=shown)

    def _find_fault(self, kind: str) -> Fault | None:
        return self._faults.find(kind, self._number)

    def _end(self, error: RequestError, code: int) -> None:
        self._channel.send_error(error)
        self._channel.push(Close(code, error.code or ""))
        self._shut()

    def _shut(self) -> None:
        self.is_closed = True
        self._timers.clear()


def _check(event: Json) -> Json:
    """The event, once its type and its own fields are right."""
    kind = event["type"]
    if kind not in EVENTS:
        supported = ", ".join(f"'{name}'" for name in EVENTS)
        message = f"Invalid value: '{kind[:80]}'. Supported values are: {supported}."
        raise RequestError(message, code="invalid_value", param="type")
    checked: Json = EVENTS[kind](event, "")
    return checked
