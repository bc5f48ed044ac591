"""The embedded model under virtual time: what is sent to it, what it answers and when; voice and ear are synthetic."""

from base64 import b64encode
from random import Random
from typing import Any

import msgspec

from sipagent.formats import PCMU, AudioFormat
from sipagent.realtime.local.brain import Thinker
from sipagent.realtime.local.buffer import DetectorFactory
from sipagent.realtime.local.events import Close, Drop, HearSpeech, RenderSpeech, Send
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.handshake import Accepted
from sipagent.realtime.local.phrases import PHRASES
from sipagent.realtime.local.server import LocalServer
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.synthetic import hear, speak

Json = dict[str, Any]

UNIX_TIME = 1_795_176_300.0
"""20 November 2026, 12:05 UTC, a Friday."""
PHONE = {
    "type": "realtime",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}, "turn_detection": None},
        "output": {"format": {"type": "audio/pcmu"}},
    },
}
"""The configuration of a telephone bridge that finds turns itself."""
DELTA = "response.output_audio.delta"
WORDS = "response.output_audio_transcript.delta"
DONE = "response.done"


class Harness:
    """One session. ``has_voice`` and ``has_ear`` say whether requests are answered at once, or kept for the test."""

    def __init__(
        self,
        settings: LocalSettings | None = None,
        *,
        faults: str = "",
        seed: int = 1,
        brain: Thinker | None = None,
        make_detector: DetectorFactory | None = None,
        has_voice: bool = True,
        has_ear: bool = True,
    ) -> None:
        settings = settings or LocalSettings(faults=FaultScript.parse(faults))
        self.server = LocalServer(settings, random=Random(seed), brain=brain, make_detector=make_detector)
        self.now = 1000.0
        self.events: list[Json] = []
        self.times: list[float] = []
        self.closes: list[Close | Drop] = []
        self.renders: list[RenderSpeech] = []
        self.hearings: list[HearSpeech] = []
        self.has_voice = has_voice
        self.has_ear = has_ear

    def open(self, *, session: Json | None = PHONE, beta: bool = False, number: int = 1) -> "Harness":
        """Open the session, and configure it unless ``session`` is ``None``."""
        self.server.open(Accepted("gpt-realtime-2.1", beta, number), now=self.now, unix_time=UNIX_TIME)
        self.drain()
        if session is not None:
            self.send("session.update", session=session)
        return self

    def send(self, kind: str, **fields: Any) -> list[Json]:
        """Send an event; gives the events that come back at once."""
        return self.send_raw(msgspec.json.encode({"type": kind, **fields}))

    def send_raw(self, data: str | bytes) -> list[Json]:
        before = len(self.events)
        self.server.receive_text(data, now=self.now)
        self.drain()
        return self.events[before:]

    def drain(self) -> None:
        while (output := self.server.poll()) is not None:
            match output:
                case Send(data):
                    self.events.append(msgspec.json.decode(data))
                    self.times.append(self.now)
                case RenderSpeech():
                    self.renders.append(output)
                    if self.has_voice:
                        audio = speak(output.text, output.format)
                        self.server.receive_speech(output.request_id, audio, now=self.now)
                case HearSpeech():
                    self.hearings.append(output)
                    if self.has_ear:
                        heard = hear(output.audio, output.format, output.phrases)
                        self.server.receive_hearing(output.request_id, heard, now=self.now)
                case _:
                    self.closes.append(output)

    def run(self, seconds: float = 600.0, *, until: str = "") -> list[Json]:
        """Let time pass, at most until an event of type ``until``; gives what was sent."""
        before = len(self.events)
        end = self.now + seconds
        last: float | None = None
        while (due := self.server.get_timer()) is not None and due <= end:
            assert due != last or due > self.now, "a timer may lie in the past once"
            last = due
            self.now = max(self.now, due)
            seen = len(self.events)
            self.server.handle_timer(now=self.now)
            self.drain()
            if until and any(event["type"] == until for event in self.events[seen:]):
                return self.events[before:]
        self.now = end
        return self.events[before:]

    def say(self, phrase: str, audio_format: AudioFormat = PCMU) -> list[Json]:
        """The caller says something: append and commit."""
        audio = speak(phrase, audio_format, tuple(PHRASES))
        self.append(audio)
        return self.send("input_audio_buffer.commit")

    def append(self, audio: bytes) -> list[Json]:
        return self.send("input_audio_buffer.append", audio=b64encode(audio).decode())

    def respond(self, **response: Any) -> list[Json]:
        """Ask for a response and wait for its end."""
        before = len(self.events)
        self.send("response.create", response=response)
        self.run(until=DONE)
        return self.events[before:]

    def type(self, text: str, role: str = "user") -> list[Json]:
        """Add a message of text."""
        kind = "output_text" if role == "assistant" else "input_text"
        item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        return self.send("conversation.item.create", item=item)


def kinds(events: list[Json]) -> list[str]:
    """The types of events."""
    return [event["type"] for event in events]


def of_kind(events: list[Json], kind: str) -> list[Json]:
    """The events of one type."""
    return [event for event in events if event["type"] == kind]


def only(events: list[Json], kind: str) -> Json:
    """The one event of this type."""
    (event,) = of_kind(events, kind)
    return event


def error_of(events: list[Json]) -> Json:
    """The error that is the only answer."""
    (event,) = events
    assert event["type"] == "error"
    error: Json = event["error"]
    return error


def spoken(events: list[Json]) -> str:
    """All that was said in these events."""
    return "".join(event["delta"] for event in of_kind(events, WORDS))
