"""The embedded Live server as a machine: it hears and speaks at once, in one unbroken stream each way.

Shapes and rules are those of GPT-Live (realtime-api.md, section 9): unknown fields are refused, the first message is
``session.start``, audio comes at the pace of time and so it goes. When the caller speaks over it, it stops by itself.
"""

from random import Random

import msgspec

from sipagent.formats import PCM, AudioFormat
from sipagent.realtime.local.brain import Brain, Prompt, Say, Thinker, Turn
from sipagent.realtime.local.buffer import DetectorFactory, InputBuffer, SpeechStarted
from sipagent.realtime.local.calendar import Calendar
from sipagent.realtime.local.events import Close, HearSpeech, Output, Send
from sipagent.realtime.local.handshake import Accepted
from sipagent.realtime.local.hearing import MAX_PHRASES
from sipagent.realtime.local.live_backend import LiveBackend
from sipagent.realtime.local.live_schema import check_event, format_of
from sipagent.realtime.local.live_voice import LiveVoice
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.tool_match import words_of
from sipagent.realtime.local.wire import Channel, Json, RequestError, parse_audio, parse_event
from sipagent.timers import Timers

FRAME_MS = 100
"""Of audio in one delta."""
START_S = 15.0
"""For the first message to come."""
MAX_AHEAD_MS = 2_000
"""How far a client's audio may be ahead of time; what is beyond is refused, for nobody speaks faster than time."""
GAP_S = 1.0
"""Without any audio of the client's, who is then told so."""
USAGE_S = 10.0
"""How often it says what is billed."""
MAX_TURNS = 128
"""Of the conversation that it remembers."""
STOP = "stop speaking"
"""Of instructions it understands no more than that."""
DETECTION = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
"""By what it judges for itself that the caller has begun, or ended."""


class LiveServer:
    """One session. The shell carries out its outputs and brings back what was rendered and heard.

    :param brain: what to say; by default the book of phrases.
    :param make_detector: hears where speech begins and ends; without it the server is deaf.
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
        self._brain = brain if brain is not None else Brain()
        self._make_detector = make_detector
        self._channel = Channel(random)
        self._calendar = Calendar(settings.utc_offset_s)
        self._timers: Timers[str] = Timers()
        self._encode = msgspec.json.Encoder().encode
        self._format: AudioFormat = PCM
        self._buffer = InputBuffer(PCM)
        self._voice = LiveVoice(self._channel, PCM, "marin")
        self._backend = LiveBackend(self._channel)
        self._session: Json = {}
        self._number = 1
        self._started_at: float | None = None
        self._position_ms = 0
        self._heard_ms = 0
        self._heard_at = 0.0
        self._is_gap_told = False
        self._is_muted = False
        self._turns: list[Turn] = []
        self._results: list[Turn] = []
        """Of tools, not to be read before the client says go on."""
        self._said = ""
        self._questions: set[int] = set()

    def open(self, accepted: Accepted, *, now: float, unix_time: float) -> None:
        """The WebSocket is open: the client speaks first; ``unix_time`` is what the calendar says at ``now``."""
        self._calendar.set(unix_time, now=now)
        self._number = accepted.number
        self._timers.set("start", now + START_S)

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        """One frame from the client; never raises."""
        if self.is_closed:
            return
        event: Json = {}
        try:
            event = parse_event(data)
            self._dispatch(check_event(event), now)
        except RequestError as error:
            self._send_error(error, event.get("event_id"))

    def receive_speech(self, request_id: int, audio: bytes, *, now: float) -> None:
        """The whole rendering of one :class:`RenderSpeech`, in its format; empty when it could not be spoken."""
        if not self.is_closed:
            self._voice.receive_speech(request_id, audio)

    def receive_hearing(self, request_id: int, text: str | None, *, now: float) -> None:
        """The phrase of one :class:`HearSpeech`; empty when it was none of them, ``None`` when there is no ear."""
        if self.is_closed or request_id not in self._questions:
            return
        self._questions.discard(request_id)
        words = text or ""
        if words:
            self._channel.send("session.input_transcript.delta", delta=words, **self._span(self._position_ms))
        self._remember(Turn("user", words))
        self._think(None, now)

    def connection_lost(self) -> None:
        """The WebSocket is gone."""
        self._shut()

    def poll(self) -> Output | None:
        """The next output."""
        return self._channel.poll()

    def get_timer(self) -> float | None:
        """When something is due."""
        return None if self.is_closed else self._timers.next_at()

    def handle_timer(self, *, now: float) -> None:
        """Do what is due."""
        while not self.is_closed and (key := self._timers.pop_due(now)) is not None:
            match key:
                case "start":
                    self._end_unstarted(RequestError("Timed out waiting for session.start.", code="session_timeout"))
                case "started":
                    self._send_started(now)
                case "frame":
                    self._send_frame(now)
                case "usage":
                    self._timers.set("usage", now + USAGE_S)
                    self._channel.send("session.usage.updated", usage=self._usage(now))
                case "expire":
                    self._finish("expired", now)

    # The client's events

    def _dispatch(self, event: Json, now: float) -> None:
        kind = event["type"]
        if kind == "session.start":
            self._start(event["session"], now)
            return
        if self._started_at is None:
            message = "The first message must be session.start, and nothing may follow before session.started."
            raise RequestError(message, code="session_not_started", param="type")
        match kind:
            case "session.update":
                self._on_update(event)
            case "session.input_audio.append":
                self._on_audio(parse_audio(event.get("audio"), "audio"), now)
            case "session.input_audio.mute" | "session.input_audio.unmute":
                self._is_muted = kind.endswith(".mute")
                self._acknowledge(f"{kind}d", event)
            case "session.commentary.append" | "session.thinking.append" | "session.instructions.append":
                self._on_content(kind, event, now)
            case "response.item.create":
                item = event["item"]
                name = self._backend.answer(item["call_id"])
                self._results.append(Turn("result", item["output"], name=name))
            case "response.create":
                self._on_response_create(now)
            case "session.close":
                self._finish("close_requested", now, client_event_id=event.get("event_id"))

    def _start(self, session: Json, now: float) -> None:
        if self._session:
            raise RequestError("The session has been started already.", code="invalid_event", param="type")
        audio_format = format_of(session)
        refusal = self._settings.faults.find("refuse_session", self._number)
        if refusal is not None:
            self._end_unstarted(RequestError("The session was refused, as scripted.", code=refusal.code))
            return
        self._timers.clear()
        self._format = audio_format
        self._session = session
        for message in session.get("input") or ():
            self._remember(Turn(message["role"], message["content"][0]["text"] if message["content"] else ""))
        voice = session.get("audio", {}).get("output", {}).get("voice", "marin")
        self._voice = LiveVoice(self._channel, audio_format, voice if isinstance(voice, str) else voice["id"])
        self._buffer.configure(audio_format, DETECTION, self._make_detector)
        late = self._settings.faults.find("slow_session", self._number)
        self._timers.set("started", now + (late.seconds if late else 0.0))

    def _send_started(self, now: float) -> None:
        expiry = self._settings.faults.find("expire", self._number)
        lifetime = expiry.seconds if expiry else self._settings.max_session_s
        self._session |= {
            "id": self._channel.make_id("live"),
            "status": "active",
            "expires_at": int(self._calendar.read(now).timestamp() + lifetime),
        }
        self._started_at = self._heard_at = now
        for key, seconds in (("expire", lifetime), ("frame", FRAME_MS / 1000), ("usage", USAGE_S)):
            self._timers.set(key, now + seconds)
        self._channel.send("session.started", session=self._shown)

    def _on_audio(self, audio: bytes, now: float) -> None:
        self._heard_at = now
        self._is_gap_told = False
        ms = self._format.duration_ms(len(audio))
        if self._heard_ms + ms > self._passed_ms(now) + MAX_AHEAD_MS:
            message = "Audio is coming faster than real time."
            raise RequestError(message, code="input_audio_too_fast", param="audio")
        self._heard_ms += ms
        if self._is_muted:
            return
        for happened in self._buffer.append(audio):
            if isinstance(happened, SpeechStarted):
                self._stop_speaking()  # as GPT-Live does by its own judgement
            else:
                self._listen(self._buffer.commit_speech())

    def _on_update(self, event: Json) -> None:
        given = event["session"].get("delegation", {})
        present = self._session.get("delegation") or {"type": "client"}
        if given.get("type", present["type"]) != present["type"]:
            message = "The delegation's type is fixed for the session."
            raise RequestError(message, code="invalid_value", param="session.delegation.type")
        if "responses" in given:
            changed = {**present, "responses": {**present["responses"], **given["responses"]}}
            self._session["delegation"] = changed
        self._acknowledge("session.updated", event, session=self._shown)

    def _on_content(self, kind: str, event: Json, now: float) -> None:
        if event["delegation_id"] is not None:
            message = "No delegation of the client's has this id."
            raise RequestError(message, code="invalid_value", param="delegation_id")
        self._acknowledge(f"{kind}ed", event, **self._span(self._position_ms))
        content = event["content"]
        if kind == "session.commentary.append":
            self._think(content, now)
        elif kind == "session.thinking.append":
            self._remember(Turn("user", content))
        else:
            self._remember(Turn("system", content))
            if STOP in content.lower():
                self._stop_speaking()

    def _on_response_create(self, now: float) -> None:
        if not self._tools:
            message = "response.create needs a session whose delegation is of type responses."
            raise RequestError(message, code="invalid_event", param="type")
        self._backend.go_on()
        for result in self._results:
            self._remember(result)
        if self._results:
            self._results = []
            self._think(None, now)

    # Speaking and thinking

    def _think(self, request: str | None, now: float) -> None:
        """Say and do what the brain has to say; what is only to be said calls no function."""
        is_new = request is not None and not (self._turns and self._turns[-1].text == request)
        instructions = self._session.get("instructions") or ""
        prompt = Prompt(
            instructions,
            f"{instructions}\n\n{request}" if is_new else None,
            self._turns,
            () if is_new else self._tools,
            "auto",
            self._calendar.read(now),
        )
        for step in self._brain.think(prompt):
            if isinstance(step, Say):
                self._voice.say(step.text)
            else:
                written = self._backend.call(step.name, step.arguments, offset_ms=self._position_ms)
                self._remember(Turn("call", written, name=step.name))

    @property
    def _tools(self) -> list[Json]:
        delegation = self._session.get("delegation") or {}
        tools: list[Json] = delegation.get("responses", {}).get("tools", [])
        return tools

    def _listen(self, audio: bytes) -> None:
        names = [" ".join(words_of(tool["name"].replace("_", " "))) for tool in self._tools]
        request_id = self._channel.make_request_id()
        self._questions.add(request_id)
        phrases = (*self._brain.phrases, *names)[:MAX_PHRASES]
        self._channel.push(HearSpeech(request_id, audio, self._format, phrases))

    def _stop_speaking(self) -> None:
        """The caller speaks: be silent, and remember how far it got."""
        if self._voice.is_speaking:
            self._voice.stop()
            self._close_words(is_cut=True)

    def _send_frame(self, now: float) -> None:
        started_at = now if self._started_at is None else self._started_at
        self._timers.set("frame", started_at + (self._position_ms + 2 * FRAME_MS) / 1000)
        piece = self._voice.take(FRAME_MS)
        if piece.words:
            words = "".join(word for word, _ in piece.words)
            self._said += words
            self._channel.send("session.output_transcript.delta", delta=words, **self._span(self._position_ms))
        delta = {"type": "session.output_audio.delta", "delta": piece.audio}
        self._channel.push(Send(self._encode(delta)))
        self._position_ms += FRAME_MS
        if not self._voice.is_speaking:
            self._close_words(is_cut=False)
        if now - self._heard_at > GAP_S and not (self._is_gap_told or self._is_muted):
            self._is_gap_told = True
            message = "No audio has come for a while; send silence where there is nothing to be heard."
            self._channel.send("info", code="input_audio_gap", message=message)

    def _close_words(self, *, is_cut: bool) -> None:
        if self._said:
            self._remember(Turn("assistant", self._said.strip(), is_cut=is_cut))
            self._said = ""

    def _remember(self, turn: Turn) -> None:
        self._turns.append(turn)
        del self._turns[:-MAX_TURNS]

    # What is told

    @property
    def _shown(self) -> Json:
        shown = {**self._session, "audio": {"format": self._format_json, "output": {"voice": "marin"}}}
        if "output" in self._session.get("audio", {}):
            shown["audio"]["output"] = self._session["audio"]["output"]
        return shown

    @property
    def _format_json(self) -> Json:
        return {"type": self._format.type, "rate": self._format.rate}

    def _span(self, start_ms: int) -> Json:
        return {"start_ms": start_ms, "end_ms": start_ms + FRAME_MS}

    def _passed_ms(self, now: float) -> float:
        return 0.0 if self._started_at is None else (now - self._started_at) * 1000

    def _usage(self, now: float) -> Json:
        return {"seconds": int(self._passed_ms(now) // 1000)}

    def _acknowledge(self, kind: str, event: Json, **fields: object) -> None:
        self._channel.send(kind, client_event_id=event.get("event_id"), **fields)

    def _send_error(self, error: RequestError, event_id: object) -> None:
        echoed = event_id if isinstance(event_id, str) else None
        body = {"type": error.kind, "code": error.code, "message": str(error), "param": error.param}
        self._channel.send("error", error={**body, "client_event_id": echoed})

    def _finish(self, reason: str, now: float, *, client_event_id: object = None) -> None:
        about = {"reason": reason, "session": self._shown, "usage": self._usage(now)}
        self._channel.send("session.closed", **about, client_event_id=client_event_id)
        self._channel.push(Close(1000, reason))
        self._shut()

    def _end_unstarted(self, error: RequestError) -> None:
        self._send_error(error, None)
        self._channel.push(Close(1008, error.code or ""))
        self._shut()

    def _shut(self) -> None:
        self.is_closed = True
        self._timers.clear()
