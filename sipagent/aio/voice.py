"""Text to speech: espeak-ng where its package is installed, else flite, else a pattern of tones instead of a voice.

The first two are processes of their own. What they spoke is kept, as much as fits: a greeting is said again and again.
"""

import asyncio
import wave
from asyncio.subprocess import DEVNULL
from collections import OrderedDict
from importlib.util import find_spec
from shutil import which
from tempfile import TemporaryDirectory
from typing import Protocol, TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

from sipagent.aio.log import get_logger
from sipagent.aio.pipe import SpeakRequest
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.worker import Worker, WorkerError
from sipagent.audio.g711 import encode_alaw, encode_ulaw
from sipagent.formats import PCM, PCMA, AudioFormat

Pcm: TypeAlias = NDArray[np.int16]
Key: TypeAlias = tuple[str, str, float, AudioFormat]

MAX_CACHE_BYTES = 16 * 1024 * 1024
"""Half an hour of G.711; the least recently used goes first."""
MAX_FLITES = 2
"""Processes at a time: each speaks one sentence and ends."""
FLITE_S = 10.0
"""A sentence takes flite some 20 ms."""


class Engine(Protocol):
    """Something that speaks."""

    name: str

    async def speak(self, request: SpeakRequest) -> Pcm:
        """The text as mono 16-bit samples at the rate asked for.

        :raises WorkerError: it could not.
        """

    async def close(self) -> None:
        """End it."""


class EspeakEngine:
    """espeak-ng in a process of its own."""

    name = "espeak-ng"

    def __init__(self) -> None:
        self._worker = Worker("sipagent.aio.voice_worker")

    async def start(self) -> None:
        """Start the process.

        :raises WorkerError: it does not work here.
        """
        await self._worker.start()

    async def speak(self, request: SpeakRequest) -> Pcm:
        """See :class:`Engine`."""
        return np.frombuffer(await self._worker.request(request, bytes), np.int16)

    async def close(self) -> None:
        """See :class:`Engine`."""
        await self._worker.close()


class FliteEngine:
    """The ``flite`` program, once a sentence."""

    name = "flite"

    def __init__(self, program: str) -> None:
        self._program = program
        self._slots = asyncio.Semaphore(MAX_FLITES)

    async def speak(self, request: SpeakRequest) -> Pcm:
        """See :class:`Engine`; there is one voice."""
        stretch = f"duration_stretch={1 / request.speed:.2f}"
        text = request.text.replace("\0", " ")
        async with self._slots:
            with TemporaryDirectory(prefix="sipagent-") as directory:
                path = f"{directory}/speech.wav"
                await self._run("-voice", "slt", "--setf", stretch, "-t", text, "-o", path)
                return await asyncio.to_thread(_read_wav, path, request.rate)

    async def close(self) -> None:
        """Nothing stays open."""

    async def _run(self, *arguments: str) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                self._program, *arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
            )
        except (OSError, ValueError) as error:
            raise WorkerError(f"flite cannot be started: {error!r}") from error
        try:
            async with TimeLimit(FLITE_S):
                await process.wait()
        except TimeoutError as error:
            raise WorkerError(f"flite takes more than {FLITE_S} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


class ToneEngine:
    """No voice at all: two notes a word, as long as the word would take. One hears that something is said, and when."""

    name = "tones"

    async def speak(self, request: SpeakRequest) -> Pcm:
        """See :class:`Engine`."""
        words = [_hum(word, request.rate, request.speed) for word in request.text.split()]
        return np.concatenate(words) if words else np.zeros(0, np.int16)

    async def close(self) -> None:
        """Nothing is open."""


class Voice:
    """Speaks in any format of the API; when the engine fails, tones take its place, for silence would mislead."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tones = ToneEngine()
        self._log = get_logger()
        self._cache: OrderedDict[Key, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._pending: dict[Key, asyncio.Task[bytes]] = {}

    @property
    def name(self) -> str:
        """``espeak-ng``, ``flite`` or ``tones``."""
        return self._engine.name

    def recall(self, text: str, voice: str, speed: float, audio_format: AudioFormat) -> bytes | None:
        """The same as :meth:`render` said before, if it is still known."""
        key = (text, voice, speed, audio_format)
        audio = self._cache.get(key)
        if audio is not None:
            self._cache.move_to_end(key)
        return audio

    async def render(self, text: str, voice: str, speed: float, audio_format: AudioFormat) -> bytes:
        """The text as audio of this format; those who ask for the same at once share one rendering."""
        known = self.recall(text, voice, speed, audio_format)
        if known is not None:
            return known
        key = (text, voice, speed, audio_format)
        task = self._pending.get(key)
        if task is None:
            request = SpeakRequest(text, voice, speed, audio_format.rate)
            task = self._pending[key] = asyncio.get_running_loop().create_task(self._speak(request, audio_format))
            task.add_done_callback(lambda done: self._keep(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Finish what is being spoken, and end the engine."""
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
        await self._engine.close()

    async def _speak(self, request: SpeakRequest, audio_format: AudioFormat) -> bytes:
        try:
            pcm = await self._engine.speak(request)
        except WorkerError as error:
            self._log.warning("voice_failed", engine=self.name, error=str(error), instead=self._tones.name)
            pcm = await self._tones.speak(request)
        return encode(pcm, audio_format)

    def _keep(self, key: Key, task: asyncio.Task[bytes]) -> None:
        del self._pending[key]
        if task.cancelled() or task.exception() is not None:
            return
        self._cache[key] = task.result()
        self._cached_bytes += len(task.result())
        while self._cached_bytes > MAX_CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)


async def open_voice() -> Voice:
    """The best voice there is on this machine, started and warm."""
    log = get_logger()
    if find_spec("espeakng_loader") is not None:
        engine = EspeakEngine()
        try:
            await engine.start()
        except WorkerError as error:
            log.warning("voice_unavailable", engine=engine.name, error=str(error))
            await engine.close()
        else:
            return Voice(engine)
    flite = which("flite")
    if flite is not None:
        return Voice(FliteEngine(flite))
    log.warning("no_voice", instead="a pattern of tones", install="espeakng-loader, or the flite package")
    return Voice(ToneEngine())


def encode(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    """Samples at the format's own rate as its bytes."""
    if audio_format.codec == PCM.codec:
        return pcm.astype("<i2").tobytes()
    return encode_alaw(pcm) if audio_format == PCMA else encode_ulaw(pcm)


def _read_wav(path: str, rate: int) -> Pcm:
    try:
        with wave.open(path) as reader:
            pcm = np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.int16)
            return np.asarray(soxr.resample(pcm, reader.getframerate(), rate), np.int16)
    except (wave.Error, OSError, EOFError, ValueError) as error:
        raise WorkerError(f"flite wrote no WAV: {error!r}") from error


def _hum(word: str, rate: int, speed: float) -> Pcm:
    """A word as a falling pair of notes with soft edges, and a pause after it."""
    seconds = (0.08 + 0.045 * min(len(word), 20)) / speed
    time = np.arange(int(rate * seconds)) / rate
    pitch = np.where(time < seconds * 0.6, 220.0, 185.0) * (1 + (sum(word.encode()) % 7) / 20)
    edges = np.minimum(1.0, np.minimum(time, seconds - time) / 0.02)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tone = 6000 * edges * (np.sin(phase) + 0.3 * np.sin(2 * phase))
    pause = np.zeros(int(rate * (0.25 if word[-1] in ".!?" else 0.04) / speed))
    return np.asarray(np.concatenate((tone, pause)), np.int16)
