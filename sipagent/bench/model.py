"""A model on a fixed beat: it speaks the Realtime protocol, has no ear, and talks nearly all the time.

A response begins with a second of audio at once, faster than real time as the service's do, and goes on with 200 ms
every 200 ms until it is cancelled; with every piece come some words. Where the session leaves turns to the server, the
next one begins a while later by itself, once it has been told what the caller said. Every frame is marked; the first of
a response with its time.
"""

import asyncio
import ssl
import sys
from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from random import Random
from time import monotonic, process_time
from typing import Any

from picows import WSFrame, WSMsgType, WSTransport, ws_create_server

from sipagent.aio import loop
from sipagent.bench.certificate import Certificate
from sipagent.bench.child import Boss, Order
from sipagent.bench.mark import AGENT, AGENT_BEGINS, CALLER, MARK_BYTES, MARK_CHARACTERS, make_mark, read_age
from sipagent.bench.naps import Naps
from sipagent.bench.plan import HOST, PACKETS_PER_S
from sipagent.bench.session import APPEND, ModelSession, encode
from sipagent.bench.speech import FRAME_BYTES, frames, speak
from sipagent.realtime.protocol import append_audio

DELTA_S = 0.2
FRAMES_PER_DELTA = 10
LEAD = 5
"""Deltas that a response sends at once; an interruption throws them away."""
PAUSE_S = 2.0
"""From an interruption to the next response, when the turns are ours: the caller has finished by then."""
VOICE_S = 6.0
"""The agent says the same again after that."""
PITCH_HZ = 190.0

WORDS = " and so on"
"""What is said to be said in each piece of 200 ms."""
CALLER_WORDS = "And what would that be, if I may ask?"

ENVELOPE = len(append_audio(b""))
"""What of its length is not audio."""
ONE_FRAME = len(append_audio(bytes(FRAME_BYTES)))
"""How long it is with the audio of one packet."""

CALLER_FRAME = APPEND + b2a_base64(make_mark(CALLER, 0.0), newline=False)[:2]
"""How it begins when that audio bears a mark of the caller's: his byte and the upper half of any digit."""


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The model listens."""

    port: int


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What the model counted; ``delays`` are seconds from a caller's packet to its message, of some of them.

    ``cpu_s`` is the processor time of the model itself.
    """

    window_s: float
    appends: int
    frames: int
    """Of 20 ms; the audio from before a turn comes as one message of several."""
    unmarked: int
    """Frames that are no caller's: silence in place of lost packets."""
    deltas: int
    delays: Sequence[float]
    cpu_s: float = 0.0


class BeatModel:
    """Everything that the sessions share."""

    def __init__(self) -> None:
        self.deltas = _deltas()
        self.naps = Naps()
        self.sessions = 0
        self.naps.begin()
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self.began_at, self.began_cpu_s = monotonic(), process_time()
        self.appends = self.frames = self.unmarked = self.sent = 0
        self.delays = array("d")

    def end(self) -> ModelFigures:
        """What was counted."""
        window_s, cpu_s = monotonic() - self.began_at, process_time() - self.began_cpu_s
        return ModelFigures(
            window_s, self.appends, self.frames, self.unmarked, self.sent, delays=self.delays, cpu_s=cpu_s
        )

    def receive_append(self, message: bytes) -> None:
        """Count audio that is not one frame of the caller's: what was said before a turn began, or silence."""
        self.appends += 1
        frames = (len(message) - ENVELOPE) * 3 // 4 // FRAME_BYTES
        self.frames += frames
        self.unmarked += frames == 1

    def receive_frame(self, message: bytes) -> None:
        """Count a frame of the caller's, and time it when that can be done."""
        self.appends += 1
        self.frames += 1
        if self.naps.is_watching:
            mark = a2b_base64(message[len(APPEND) : len(APPEND) + MARK_CHARACTERS])
            self.delays.append(read_age(mark, monotonic()))

    def count_session(self, difference: int) -> None:
        """One more, or one fewer."""
        self.sessions += difference
        self.naps.expect(self.sessions * PACKETS_PER_S)
        if difference > 0:
            self.naps.stay_awake()


class Session(ModelSession):
    """One connection."""

    def __init__(self, model: BeatModel, number: int) -> None:
        super().__init__(number)
        self._model = model
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._responses = 0
        self._response_id: str | None = None
        self._sent = 0
        self._next_at = 0.0
        self._edges = (b"", b"")
        self._words = b""
        model.count_session(1)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an event; nearly all are frames of the caller's, and they go the shortest way."""
        message = frame.get_payload_as_bytes()
        if message.startswith(CALLER_FRAME) and len(message) == ONE_FRAME:
            self._model.receive_frame(message)
        else:
            super().on_ws_frame(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Say no more."""
        self._set_timer(None)
        self._model.count_session(-1)

    def _on_append(self, message: bytes) -> None:
        self._model.receive_append(message)

    def _on_event(self, event: dict[str, Any]) -> None:
        super()._on_event(event)
        match event["type"]:
            case "response.create" if self._response_id is None:
                self._begin(event.get("response", {}).get("metadata"))
            case "response.cancel" if self._response_id is not None:
                self._cancel()
            case "conversation.item.truncate":
                kept = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
                self._send({"type": "conversation.item.truncated", **kept})
            case "input_audio_buffer.commit":
                self._take_turn()

    def _begin(self, metadata: object = None) -> None:
        """Start a response, and send the audio with which it runs ahead."""
        self._responses += 1
        self._response_id = f"resp_{self._number}_{self._responses}"
        item_id = f"item_{self._number}_{self._responses}"
        place = {"response_id": self._response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        before, after = encode({"type": "response.output_audio.delta", **place, "delta": "#"}).split(b"#")
        self._edges = (before, after)
        self._words = encode({"type": "response.output_audio_transcript.delta", **place, "delta": WORDS})
        response = {"id": self._response_id, "status": "in_progress", "output": [], "metadata": metadata}
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        part = {"type": "audio", "transcript": ""}
        self._send({"type": "response.created", "response": response})
        self._send({"type": "response.output_item.added", **_without_content(place), "item": item})
        self._send({"type": "response.content_part.added", **place, "part": part})
        self._sent = 0
        self._next_at = monotonic()
        for _ in range(LEAD):
            self._send_delta()
        self._on_beat()

    def _on_beat(self) -> None:
        while self._next_at <= monotonic():
            self._send_delta()
            self._next_at += DELTA_S
        self._set_timer(self._next_at)

    def _send_delta(self) -> None:
        audio, encoded = self._model.deltas[self._sent % len(self._model.deltas)]
        if self._sent == 0:
            encoded = b2a_base64(make_mark(AGENT_BEGINS, monotonic()) + audio[MARK_BYTES:], newline=False)
        before, after = self._edges
        self._transport.send(WSMsgType.TEXT, self._words)
        self._transport.send(WSMsgType.TEXT, before + encoded + after)
        self._sent += 1
        self._model.sent += 1

    def _cancel(self) -> None:
        response: dict[str, Any] = {"id": self._response_id, "status": "cancelled", "output": []}
        self._send({"type": "response.done", "response": response})
        self._response_id = None
        if self._session["audio"]["input"]["turn_detection"] is None:
            self._set_timer(None)
        else:
            self._set_timer(monotonic() + PAUSE_S, begins=True)

    def _answer(self) -> None:
        """The caller has finished, as far as the server can tell."""
        self._take_turn()
        self._begin()

    def _take_turn(self) -> None:
        """Make what the caller said an item, and tell what it was."""
        self._send({"type": "input_audio_buffer.committed", "item_id": self._caller_item})
        heard = {"type": "conversation.item.input_audio_transcription.completed", "item_id": self._caller_item}
        self._send({**heard, "content_index": 0, "transcript": CALLER_WORDS})

    @property
    def _caller_item(self) -> str:
        return f"item_caller_{self._number}_{self._responses}"

    def _set_timer(self, at: float | None, *, begins: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at, self._answer if begins else self._on_beat)


def _without_content(place: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in place.items() if key not in ("content_index", "item_id")}


def run_model(pipe: "connection.Connection[Any, Any]", certificate: Certificate | None = None) -> None:
    """The process: serve until told to stop.

    :param certificate: for TLS.
    """
    loop.run(_serve(pipe, certificate.context() if certificate else None))


async def _serve(pipe: "connection.Connection[Any, Any]", tls: ssl.SSLContext | None) -> None:
    boss = Boss(pipe)
    model = BeatModel()
    numbers = iter(range(1 << 30))
    server = await ws_create_server(lambda _request: Session(model, next(numbers)), HOST, 0, ssl=tls)
    boss.report(ModelReady(server.sockets[0].getsockname()[1]))
    while (order := await boss.order()) is not Order.STOP:
        if order is Order.BEGIN:
            model.begin()
        else:
            boss.report(model.end())
    server.close()


async def _serve_alone(port: int) -> None:
    model = BeatModel()
    numbers = iter(range(1 << 30))
    server = await ws_create_server(lambda _request: Session(model, next(numbers)), HOST, port)
    await server.serve_forever()


def main(arguments: Sequence[str]) -> int:
    """Serve on a port until killed, for other generators than ours: ``python -m sipagent.bench.model PORT``."""
    with suppress(KeyboardInterrupt):
        loop.run(_serve_alone(int(arguments[0])))
    return 0


def _deltas() -> list[tuple[bytes, bytes]]:
    """What the agent says, 200 ms each, every frame marked: as audio and in base64."""
    mark = make_mark(AGENT, 0.0)
    marked = [mark + frame[MARK_BYTES:] for frame in frames(speak(VOICE_S, pitch_hz=PITCH_HZ, random=Random(1)))]
    pieces = [b"".join(marked[at : at + FRAMES_PER_DELTA]) for at in range(0, len(marked), FRAMES_PER_DELTA)]
    return [(piece, b2a_base64(piece, newline=False)) for piece in pieces]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
