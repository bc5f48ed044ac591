"""The embedded model, listened in on: what each session sent and was told, with the time of it.

Its voice has a breath of noise, another one each time, so that no two pieces of what it says are alike, and it is never
digital silence: whoever has the wire knows of each packet which samples of which item it holds.
"""

from binascii import a2b_base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from time import monotonic
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np

from sipagent.aio.ear import Ear
from sipagent.aio.model_server import ModelServer
from sipagent.aio.voice import Voice, open_voice
from sipagent.audio.g711 import decode_ulaw, encode_ulaw, to_pcm
from sipagent.bench.plan import HOST
from sipagent.formats import PCMU, AudioFormat
from sipagent.realtime.local.brain import Brain, Prompt, Say, Step
from sipagent.realtime.local.events import Output, Send
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.phrases import STORY
from sipagent.realtime.local.server import LocalServer
from sipagent.realtime.local.settings import LocalSettings

GREETING = "Tell the story."
"""What the agent is configured to begin with."""

BREATH_RMS = 24.0
"""-63 dBFS."""
SILENT = encode_ulaw(np.zeros(1, np.int16))
BREATH = encode_ulaw(np.full(1, 8, np.int16))

Place: TypeAlias = tuple[str, int]
"""An item and its content part."""

decode = msgspec.json.decode


@dataclass(slots=True)
class Item:
    """What was sent of one content part, G.711."""

    place: Place
    began_at: float
    """When its first delta was sent."""
    audio: bytearray = field(default_factory=bytearray)
    last_at: float = 0.0
    """When its last one was."""


@dataclass(slots=True)
class Session:
    """One connection: what the model said, and what it was told."""

    number: int
    id: str = ""
    items: dict[Place, Item] = field(default_factory=dict)
    truncated: list[tuple[float, Place, int]] = field(default_factory=list)
    """When it was told that of this no more was heard than so many milliseconds."""
    errors: list[tuple[float, str, str]] = field(default_factory=list)
    """What it complained of: when, about which event of the client's, and its code."""
    events: list[tuple[float, str]] = field(default_factory=list)
    """The type of all that was sent and received, but for audio."""
    ended_at: float | None = None

    def sends(self, data: bytes, *, now: float) -> None:
        """The model sends an event."""
        event = decode(data)
        match event["type"]:
            case "session.created":
                self.id = event["session"]["id"]
            case "response.output_audio.delta":
                place = event["item_id"], event["content_index"]
                item = self.items.setdefault(place, Item(place, now))
                item.audio += a2b_base64(event["delta"])
                item.last_at = now
                return
            case "error":
                error = event["error"]
                self.errors.append((now, error.get("event_id") or "", error.get("code") or ""))
        self.events.append((now, event["type"]))

    def receives(self, data: bytes, *, now: float) -> None:
        """The model is told something."""
        if b"input_audio_buffer.append" in data[:80]:
            return
        event = decode(data)
        if event["type"] == "conversation.item.truncate":
            self.truncated.append((now, (event["item_id"], event["content_index"]), event["audio_end_ms"]))
        self.events.append((now, event["type"]))

    def ends(self, *, now: float) -> None:
        """The connection is gone."""
        self.ended_at = now


class Tap(Protocol):
    """Who is told what a session says and is told."""

    def sends(self, data: bytes, *, now: float) -> None:
        """The model sends an event."""

    def receives(self, data: bytes, *, now: float) -> None:
        """The model is told something."""

    def ends(self, *, now: float) -> None:
        """The connection is gone."""


class _Tapped(LocalServer):
    """A machine with a tap."""

    def __init__(self, tap: Tap, settings: LocalSettings, **more: Any) -> None:
        super().__init__(settings, brain=_Storyteller(), **more)
        self._tap = tap

    def poll(self) -> Output | None:
        output = super().poll()
        if isinstance(output, Send):
            self._tap.sends(output.data, now=monotonic())
        return output

    def receive_text(self, data: str | bytes, *, now: float) -> None:
        self._tap.receives(data.encode() if isinstance(data, str) else data, now=monotonic())
        super().receive_text(data, now=now)

    def connection_lost(self) -> None:
        self._tap.ends(now=monotonic())
        super().connection_lost()


class _Storyteller:
    """Tells the story whatever is said to it, so that a caller always has something to interrupt.

    What it is asked for by the response itself (a greeting apart, that is a story, too) it says as the brain would.
    """

    phrases = ()

    def think(self, prompt: Prompt) -> Sequence[Step]:
        return [Say(STORY)] if prompt.request is None or GREETING in prompt.request else Brain().think(prompt)


class _BreathingVoice:
    """Stands before a voice, and has another breath for each sentence.

    :param is_shared: whether the voice is others', too, and stays open
    """

    def __init__(self, voice: Voice, *, is_shared: bool) -> None:
        self._voice = voice
        self._is_shared = is_shared
        self._random = np.random.default_rng()
        self.name = voice.name

    def recall(self, text: str, voice: str, speed: float, audio_format: AudioFormat) -> bytes | None:
        audio = self._voice.recall(text, voice, speed, audio_format)
        return None if audio is None else self._breathe(audio, audio_format)

    async def render(self, text: str, voice: str, speed: float, audio_format: AudioFormat) -> bytes:
        return self._breathe(await self._voice.render(text, voice, speed, audio_format), audio_format)

    async def close(self) -> None:
        if not self._is_shared:
            await self._voice.close()

    def _breathe(self, audio: bytes, audio_format: AudioFormat) -> bytes:
        if audio_format != PCMU:
            return audio
        pcm = decode_ulaw(audio)
        noise = self._random.normal(0.0, BREATH_RMS, len(pcm))
        return encode_ulaw(to_pcm(pcm + noise)).replace(SILENT, BREATH)


class Model:
    """The server and its sessions.

    :param sessions: in the order of their connections
    """

    def __init__(self, server: ModelServer, sessions: list[Session]) -> None:
        self._server = server
        self.sessions = sessions

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._server.url

    async def close(self) -> None:
        """Serve no more."""
        await self._server.close()


async def open_model(
    settings: LocalSettings | None = None,
    *,
    faults: Callable[[Sequence[Session]], str] = lambda _sessions: "",
    voice: Voice | None = None,
) -> Model:
    """Start a model on the loopback.

    :param faults: makes the script of a connection, from the sessions that there were before it.
    :param voice: which others speak with, too; it stays open
    """
    sessions: list[Session] = []

    def make(given: LocalSettings, **more: Any) -> LocalServer:
        script = FaultScript.parse(faults(sessions))
        sessions.append(Session(len(sessions) + 1))
        return _Tapped(sessions[-1], replace(given, faults=script) if script.faults else given, **more)

    server = await _serve(settings or LocalSettings(), make, port=0, voice=voice)
    return Model(server, sessions)


async def serve_tapped(settings: LocalSettings, port: int, make_tap: Callable[[], Tap]) -> ModelServer:
    """Start a model with a tap for each session."""
    return await _serve(settings, lambda given, **more: _Tapped(make_tap(), given, **more), port=port)


async def _serve(
    settings: LocalSettings, make: Callable[..., LocalServer], *, port: int, voice: Voice | None = None
) -> ModelServer:
    breathing: Any = _BreathingVoice(voice or await open_voice(), is_shared=voice is not None)
    server = ModelServer(settings, voice=breathing, ear=Ear(None), random=Random(), make_machine=make)
    await server.listen(HOST, port)
    return server


def find_session(sessions: Iterable[Session], session_id: str) -> Session:
    """Return the session with this id.

    :raises KeyError: when there is none
    """
    for session in sessions:
        if session.id == session_id:
            return session
    raise KeyError(session_id)
