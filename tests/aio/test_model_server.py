"""The embedded model over a real WebSocket, with the best voice and ear of this machine."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from shutil import which
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sipagent.aio.ear import Ear, open_ear
from sipagent.aio.loop import run
from sipagent.aio.model_server import ModelServer, make_detector, serve_model
from sipagent.aio.pipe import SpeakRequest
from sipagent.aio.voice import FliteEngine, ToneEngine, Voice, open_voice
from sipagent.aio.worker import Worker, WorkerError
from sipagent.audio.g711 import decode_ulaw
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat
from sipagent.realtime.local.faults import FaultScript
from sipagent.realtime.local.phrases import PHRASES
from sipagent.realtime.local.settings import LocalSettings

Json = dict[str, Any]
PATIENCE_S = 20.0
MODEL = "?model=gpt-realtime-2.1"
PHONE = {
    "type": "realtime",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "turn_detection": None,
            "transcription": {"model": "gpt-live-transcribe"},
        },
        "output": {"format": {"type": "audio/pcmu"}},
    },
}


def within(test: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous test, but not for ever."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    run(main())


@asynccontextmanager
async def mute_server(settings: LocalSettings | None = None, *, faults: str = "") -> AsyncIterator[ModelServer]:
    """A server that hums instead of speaking and hears nothing: it starts at once."""
    settings = settings or LocalSettings(faults=FaultScript.parse(faults))
    server = ModelServer(settings, voice=Voice(ToneEngine()), ear=Ear(None), random=Random(1))
    await server.listen("127.0.0.1", 0)
    async with server:
        yield server


class Client:
    """A connection, by events."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send(msgspec.json.encode({"type": kind, **fields}), text=True)

    async def receive(self) -> Json:
        event: Json = msgspec.json.decode(await self.connection.recv())
        return event

    async def until(self, kind: str) -> list[Json]:
        events = [await self.receive()]
        while events[-1]["type"] != kind:
            events.append(await self.receive())
        return events

    async def begin(self) -> None:
        """From the handshake to session.updated."""
        assert (await self.receive())["type"] == "session.created"
        await self.send("session.update", session=PHONE)
        await self.until("session.updated")

    async def say(self, audio: bytes) -> None:
        for start in range(0, len(audio), 160):
            await self.send("input_audio_buffer.append", audio=b64encode(audio[start : start + 160]).decode())
        await self.send("input_audio_buffer.commit")

    async def respond(self) -> tuple[str, bytes]:
        """Ask for a response; gives its transcript and its audio."""
        await self.send("response.create")
        events = await self.until("response.done")
        text = [event["delta"] for event in events if event["type"] == "response.output_audio_transcript.delta"]
        audio = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
        return "".join(text), b"".join(map(b64decode, audio))


@asynccontextmanager
async def client_of(server: ModelServer, **options: Any) -> AsyncIterator[Client]:
    async with connect(server.url + MODEL, compression=None, max_size=None, **options) as connection:
        yield Client(connection)


def test_a_conversation_with_the_real_voice_and_ear() -> None:
    async def converse() -> None:
        async with await serve_model("127.0.0.1", 0, LocalSettings(pace=50.0)) as server, client_of(server) as client:
            await client.begin()
            greeting, audio = await client.respond()
            assert greeting.startswith("Hello")
            seconds = len(audio) / 8000
            assert 0.03 < seconds / len(greeting) < 0.12, "some 15 letters a second"
            assert float(np.abs(decode_ulaw(audio).astype(np.float64)).mean()) > 300
            await client.say(await server.voice.render("What are your opening hours?", "cedar", 1.0, PCMU))
            events = await client.until("conversation.item.input_audio_transcription.completed")
            answer, _ = await client.respond()
            if server.ear.name == "none":
                assert "set phrases" in answer
            else:
                assert events[-1]["transcript"] == "what are your opening hours"
                assert answer.startswith("We are open")
        assert server.sessions == 0

    within(converse)


def test_requests_are_answered_over_the_wire_as_by_the_machine() -> None:
    async def interrupt() -> None:
        async with mute_server() as server, client_of(server) as client:
            await client.begin()
            await client.send("response.create", response={"metadata": {"turn": "1"}})
            delta = (await client.until("response.output_audio.delta"))[-1]
            await client.send("response.cancel", response_id=delta["response_id"])
            done = (await client.until("response.done"))[-1]["response"]
            assert (done["status"], done["metadata"]) == ("cancelled", {"turn": "1"})
            place = {"item_id": delta["item_id"], "content_index": 0}
            await client.send("conversation.item.truncate", **place, audio_end_ms=120)
            assert (await client.until("conversation.item.truncated"))[-1]["audio_end_ms"] == 120
            await client.send("conversation.item.truncate", **place, audio_end_ms=121)
            error = (await client.until("error"))[-1]["error"]
            assert error["message"] == "Audio content of 120ms is already shorter than 121ms"
            await client.connection.send(b"\xff not JSON")
            assert (await client.until("error"))[-1]["error"]["code"] == "invalid_json"

    within(interrupt)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/realtime?model=m", {}, 401),
        ("/v1/realtime?model=m", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/realtime", {"Authorization": "Bearer right"}, 400),
        ("/v1/other?model=m", {"Authorization": "Bearer right"}, 404),
    ],
)
def test_handshakes_are_refused_with_a_status(path: str, headers: dict[str, str], status: int) -> None:
    async def knock() -> None:
        async with mute_server(LocalSettings(api_key="right")) as server:
            url = f"ws://127.0.0.1:{server.port}{path}"
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=headers)
            response = caught.value.response
            assert response.status_code == status
            assert response.headers["Content-Type"] == "application/json"
            assert response.body is not None
            assert "error" in msgspec.json.decode(response.body)

    within(knock)


def test_a_right_key_and_a_subprotocol() -> None:
    async def knock() -> None:
        async with mute_server(LocalSettings(api_key="right")) as server:
            async with client_of(server, additional_headers={"Authorization": "Bearer right"}) as client:
                await client.begin()
            offered = ["realtime", "openai-insecure-api-key.right"]
            async with client_of(server, subprotocols=offered) as client:
                assert client.connection.subprotocol == "realtime"
                await client.begin()
            assert server.connections == 2

    within(knock)


def test_a_fault_can_strike_one_connection() -> None:
    async def knock() -> None:
        async with mute_server(faults="refuse_handshake status=429 on=1") as server:
            with pytest.raises(InvalidStatus) as caught:
                await connect(server.url + MODEL)
            assert caught.value.response.status_code == 429
            assert caught.value.response.headers["Retry-After"] == "1"
            async with client_of(server) as client:
                await client.begin()

    within(knock)


@pytest.mark.parametrize(
    ("faults", "headers", "code"),
    [
        ("", {"OpenAI-Beta": "realtime=v1"}, 4000),
        ("expire seconds=0.05", {}, 1001),
        ("refuse_session code=insufficient_quota", {}, 1008),
        ("drop after_ms=200", {}, 1006),
    ],
)
def test_the_model_ends_the_connection(faults: str, headers: dict[str, str], code: int) -> None:
    async def listen() -> None:
        async with mute_server(faults=faults) as server, client_of(server, additional_headers=headers) as client:
            with pytest.raises(ConnectionClosed) as caught:
                await client.respond()
            assert (caught.value.rcvd.code if caught.value.rcvd else 1006) == code

    within(listen)


def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async def vanish() -> None:
        async with mute_server() as server:
            for _ in range(5):
                async with client_of(server) as client:
                    await client.begin()
                    await client.send("response.create")
                    await client.until("response.output_audio.delta")
                    client.connection.transport.abort()
        assert server.sessions == 0

    within(vanish)


def test_closing_the_server_ends_its_sessions() -> None:
    async def close() -> None:
        async with mute_server() as server:
            connection = await connect(server.url + MODEL)
            await server.close()
            with pytest.raises(ConnectionClosed):
                await Client(connection).until("response.done")

    within(close)


def test_many_sessions_share_one_voice() -> None:
    async def greet(server: ModelServer) -> str:
        async with client_of(server) as client:
            await client.begin()
            return (await client.respond())[0]

    async def main() -> None:
        async with await serve_model("127.0.0.1", 0, LocalSettings(pace=100.0, first_delta_s=0.0)) as server:
            greetings = await asyncio.gather(*(greet(server) for _ in range(20)))
            assert len(set(greetings)) == 1

    within(main)


@pytest.mark.parametrize(
    ("audio_format", "samples"),
    [(PCMU, (b"\x90", b"\x10")), (PCMA, (b"\xa5", b"\x25")), (PCM, (b"\x28\x23", b"\xd8\xdc"))],
    ids=["pcmu", "pcma", "pcm"],
)
def test_server_side_detection_hears_every_format(audio_format: AudioFormat, samples: tuple[bytes, bytes]) -> None:
    detector = make_detector(audio_format, 0.5)
    random = Random(1)
    count = 20 * audio_format.rate // 1000
    assert not any(detector(audio_format.silence * count) for _ in range(50))
    noise = [b"".join(random.choices(samples, k=count)) for _ in range(5)]
    assert [detector(frame) for frame in noise][-1]


# The voice and the ear on their own.


def test_the_voice_is_quick_once_it_is_warm() -> None:
    async def speak() -> None:
        voice = await open_voice()
        times = []
        for number in range(10):
            begun = perf_counter()
            audio = await voice.render(f"This is sentence {number}, and nobody has said it before.", "marin", 1.0, PCMU)
            times.append(perf_counter() - begun)
            assert len(audio) > 8000
        assert sorted(times)[len(times) // 2] < 0.1, "a quiet machine takes 2 ms with espeak-ng, 30 with flite"
        assert voice.recall("This is sentence 0, and nobody has said it before.", "marin", 1.0, PCMU) is not None
        assert voice.recall("This is sentence 0, and nobody has said it before.", "cedar", 1.0, PCMU) is None
        await voice.close()

    within(speak)


def test_speed_and_format_of_the_voice() -> None:
    async def speak() -> None:
        voice = await open_voice()
        text = "Once upon a time there stood a telephone in the middle of the market square."
        usual, fast, wide = [
            await voice.render(text, "marin", speed, audio_format)
            for speed, audio_format in ((1.0, PCMU), (1.5, PCMU), (1.0, PCM))
        ]
        assert len(fast) < 0.85 * len(usual)
        assert len(wide) == pytest.approx(6 * len(usual), rel=0.02)
        assert await voice.render("", "marin", 1.0, PCMU) is not None
        await voice.close()

    within(speak)


def test_those_who_ask_for_the_same_share_it() -> None:
    class Counting(ToneEngine):
        spoken = 0

        async def speak(self, request: SpeakRequest) -> Any:
            self.spoken += 1
            return await super().speak(request)

    async def speak() -> None:
        engine = Counting()
        voice = Voice(engine)
        audio = await asyncio.gather(*(voice.render("The same.", "marin", 1.0, PCMU) for _ in range(10)))
        assert len(set(audio)) == 1
        assert engine.spoken == 1
        await voice.close()

    within(speak)


def test_the_live_server_speaks_without_a_break_and_at_the_pace_of_time() -> None:
    async def listen() -> None:
        async with mute_server() as server, connect(server.live_url, compression=None) as connection:
            client = Client(connection)
            audio_format = {"type": "audio/pcm", "rate": 16000}
            await client.send("session.start", session={"model": "m", "audio": {"format": audio_format}})
            started = await client.receive()
            assert started["type"] == "session.started"
            assert started["session"]["audio"]["format"] == audio_format
            began_at = perf_counter()
            await client.send("session.commentary.append", content="Say: hello to you.", delegation_id=None)
            events = [event for _ in range(10) for event in await client.until("session.output_audio.delta")]
            assert perf_counter() - began_at >= 0.8, "ten frames of 100 ms"
            audio = b"".join(b64decode(event["delta"]) for event in events if "audio" in event["type"])
            assert len(audio) == 10 * 3200
            assert np.abs(np.frombuffer(audio, "<i2")).max() > 1000
            await client.send("session.close")
            closed = (await client.until("session.closed"))[-1]
            assert closed["reason"] == "close_requested"
            with pytest.raises(ConnectionClosed) as ended:
                await client.receive()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1000
        assert server.sessions == 0

    within(listen)


def test_tones_take_the_place_of_a_voice_that_fails() -> None:
    class Broken(ToneEngine):
        name = "broken"

        async def speak(self, request: SpeakRequest) -> Any:
            raise WorkerError("no voice today")

    async def speak() -> None:
        voice = Voice(Broken())
        audio = await voice.render("Some words to hum.", "marin", 1.0, PCMA)
        assert 4000 < len(audio) < 16000
        await voice.close()

    within(speak)


@pytest.mark.skipif(which("flite") is None, reason="flite is not installed")
def test_flite_speaks_where_it_is_installed() -> None:
    async def speak() -> None:
        pcm = await FliteEngine("flite").speak(SpeakRequest("Good evening.", "marin", 1.0, 8000))
        assert 0.4 < len(pcm) / 8000 < 2.0
        assert int(np.abs(pcm).max()) > 3000
        with pytest.raises(WorkerError):
            await FliteEngine("/nonexistent/flite").speak(SpeakRequest("Good evening.", "marin", 1.0, 8000))

    within(speak)


def test_a_child_that_dies_is_replaced() -> None:
    async def speak() -> None:
        worker = Worker("sipagent.aio.voice_worker")
        try:
            await worker.start()
        except WorkerError:
            pytest.skip("espeakng-loader is not installed")
        request = SpeakRequest("Hello.", "marin", 1.0, 8000)
        assert len(await worker.request(request, bytes)) > 4000
        assert worker._process is not None
        worker._process.kill()
        with pytest.raises(WorkerError):
            await worker.request(request, bytes)
        assert len(await worker.request(request, bytes)) > 4000
        await worker.close()
        with pytest.raises(WorkerError):
            await worker.request(request, bytes)

    within(speak)


def test_no_child_outlives_the_loop() -> None:
    workers = [Worker("sipagent.aio.voice_worker")]

    async def forget() -> None:
        try:
            await workers[0].start()
        except WorkerError:
            pytest.skip("espeakng-loader is not installed")

    within(forget)
    process = workers[0]._process
    assert process is not None
    assert process.returncode is not None


def test_a_child_that_cannot_start_is_an_error() -> None:
    async def start() -> None:
        worker = Worker("sipagent.aio.no_such_worker")
        with pytest.raises(WorkerError, match="gave no answer"):
            await worker.start()
        await worker.close()

    within(start)


def test_the_ear_knows_phrases_and_refuses_others() -> None:
    async def listen() -> None:
        voice, ear = await open_voice(), await open_ear()
        if ear.name == "none" or voice.name == "tones":
            pytest.skip("pocketsphinx or a voice is not installed")
        book = tuple(PHRASES)
        heard = {}
        for phrase in book:
            heard[phrase] = await ear.hear(await voice.render(phrase, "marin", 1.0, PCMU), PCMU, book)
        right = [phrase for phrase, result in heard.items() if PHRASES.get(result or "") == PHRASES[phrase]]
        assert len(right) >= 0.9 * len(book), heard
        assert await ear.hear(b"\xff" * 8000, PCMU, book) == ""
        assert await ear.hear(b"", PCMU, book) == ""
        assert await ear.hear(b"\xff" * 8000, PCMU, ("xyzzyq",)) == ""
        assert await ear.hear(await voice.render("goodbye", "marin", 1.0, PCM), PCM, book) == "goodbye"
        await voice.close()
        await ear.close()

    within(listen)


def test_without_an_ear_nothing_is_heard() -> None:
    async def listen() -> None:
        ear = Ear(None)
        assert ear.name == "none"
        assert await ear.hear(b"\xff" * 800, PCMU, ("hello",)) is None
        await ear.close()

    within(listen)
