"""A Live session and the embedded Live server under virtual time, with a synthetic voice and ear between them."""

import json
from base64 import b64decode
from random import Random
from typing import Any

from sipagent.aio.model_server import make_detector
from sipagent.formats import PCMU, AudioFormat
from sipagent.realtime.dialects import LIVE
from sipagent.realtime.events import Output as SessionOutput
from sipagent.realtime.events import Send as SessionSend
from sipagent.realtime.live import LiveSession
from sipagent.realtime.local.events import Close, Drop, HearSpeech, RenderSpeech, Send
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.handshake import Accepted
from sipagent.realtime.local.live_server import LiveServer
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.synthetic import hear, speak
from sipagent.realtime.settings import SessionSettings

Json = dict[str, Any]

UNIX_TIME = 1_795_176_300.0
"""20 November 2026, 12:05 UTC, a Friday."""
TOOLS = (
    {
        "type": "function",
        "name": "opening_hours",
        "description": "When we are open.",
        "parameters": {"type": "object", "properties": {}},
    },
    {
        "type": "function",
        "name": "hang_up",
        "description": "End the call.",
        "parameters": {"type": "object", "properties": {}},
    },
)


class LiveHarness:
    """The server's machine with its voice and ear, and what it sent."""

    def __init__(self, *, faults: str = "", has_ear: bool = True, now: float = 1000.0) -> None:
        settings = LocalSettings(faults=FaultScript.parse(faults))
        self.server = LiveServer(settings, random=Random(1), make_detector=make_detector)
        self.now = now
        self.events: list[Json] = []
        self.closes: list[Close | Drop] = []
        self.phrases: tuple[str, ...] = ()
        self.has_ear = has_ear
        self.server.open(Accepted("", False, 1, is_live=True), now=self.now, unix_time=UNIX_TIME)

    def send(self, kind: str, **fields: Any) -> list[Json]:
        """Let the client send an event; return what came of it at once."""
        return self.receive(json.dumps({"type": kind, **fields}))

    def receive(self, data: str | bytes) -> list[Json]:
        self.server.receive_text(data, now=self.now)
        return self.drain()

    def start(self, audio_format: AudioFormat = PCMU, **session: Any) -> Json:
        """Start a session; return what the server says of it."""
        audio = {"format": {"type": audio_format.type, "rate": audio_format.rate}}
        self.send("session.start", session={"model": "gpt-live-1", "audio": audio, **session})
        self.advance(0.0)
        return self.of("session.started")[-1]["session"]

    def advance(self, seconds: float) -> list[Json]:
        """Let time pass; return what was sent."""
        until, begin = self.now + seconds, len(self.events)
        while (due_at := self.server.get_timer()) is not None and due_at <= until:
            self.now = max(self.now, due_at)
            self.server.handle_timer(now=self.now)
            self.drain()
        self.now = until
        return self.events[begin:]

    def drain(self) -> list[Json]:
        fresh: list[Json] = []
        while (output := self.server.poll()) is not None:
            match output:
                case Send(data):
                    fresh.append(json.loads(data))
                case RenderSpeech(request_id, text, _, _, audio_format):
                    self.server.receive_speech(request_id, speak(text, audio_format), now=self.now)
                case HearSpeech(request_id, audio, audio_format, phrases):
                    self.phrases = phrases
                    heard = hear(audio, audio_format, phrases) if self.has_ear else None
                    self.server.receive_hearing(request_id, heard, now=self.now)
                case Close() | Drop():
                    self.closes.append(output)
        self.events += fresh
        return fresh

    def of(self, kind: str) -> list[Json]:
        return [event for event in self.events if event["type"] == kind]

    def audio(self) -> bytes:
        return b"".join(b64decode(event["delta"]) for event in self.of("session.output_audio.delta"))

    def words(self) -> str:
        return "".join(event["delta"] for event in self.of("session.output_transcript.delta"))


class LivePair:
    """A session of ours with that server; the caller is moved by hand, 20 ms at a time."""

    def __init__(self, *, faults: str = "", audio_format: AudioFormat = PCMU, **settings: Any) -> None:
        self.far = LiveHarness(faults=faults)
        self.settings = SessionSettings(
            "gpt-live-1", "Now we are the Clock Shop.", audio_format=audio_format, dialect=LIVE, **settings
        )
        self.session = LiveSession(self.settings, random=Random(2))
        self.outputs: list[SessionOutput] = []
        self.sent: list[Json] = []
        self.format = audio_format
        self.session.open(now=self.far.now)
        self.settle()
        self.pass_time(0.02)

    def settle(self) -> None:
        """Carry until neither has anything for the other."""
        carried = -1
        while carried != len(self.sent) + len(self.far.events):
            carried = len(self.sent) + len(self.far.events)
            while (output := self.session.poll()) is not None:
                if isinstance(output, SessionSend):
                    self.sent.append(json.loads(output.data))
                    self._carry(self.far.receive(output.data))
                else:
                    self.outputs.append(output)

    def _carry(self, events: list[Json]) -> None:
        for event in events:
            self.session.receive_text(json.dumps(event), now=self.far.now)

    def pass_time(self, seconds: float) -> None:
        """Nothing comes from the caller."""
        for _ in range(round(seconds / 0.01)):
            self._carry(self.far.advance(0.01))
            if self.far.now >= self.session.due_at:
                self.session.handle_timer(now=self.far.now)
            self.settle()

    def say(self, phrase: str) -> None:
        """Let the caller say a phrase that the server knows, and be silent for a second."""
        phrases = self.far.phrases or tuple(self.far.server._brain.phrases)
        self.hear(speak(phrase, self.format, phrases) + self.format.silence_of(1000))

    def hear(self, audio: bytes) -> None:
        size = 20 * self.format.bytes_per_ms
        for offset in range(0, len(audio), size):
            self.session.append_audio(audio[offset : offset + size])
            self.settle()
            self.pass_time(0.02)

    def of(self, kind: type[Any]) -> list[Any]:
        return [output for output in self.outputs if isinstance(output, kind)]
