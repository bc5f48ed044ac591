"""The embedded model as a WebSocket server: a machine for each connection, one voice and one ear for all.

The path says whether it is one of the Realtime protocol or of GPT-Live's.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from random import Random, SystemRandom
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from sipagent.aio.driver import Driver
from sipagent.aio.ear import Ear, open_ear
from sipagent.aio.log import get_logger
from sipagent.aio.voice import Voice, open_voice
from sipagent.audio.vad import EnergyVad, VadSettings
from sipagent.formats import AudioFormat
from sipagent.realtime.local.buffer import Detector
from sipagent.realtime.local.events import Close, Drop, HearSpeech, Output, RenderSpeech, Send
from sipagent.realtime.local.handshake import LIVE_PATH, PATH, Accepted, Refused, judge_handshake
from sipagent.realtime.local.live_server import LiveServer
from sipagent.realtime.local.server import LocalServer
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.wire import MAX_EVENT_BYTES

MAX_UNSENT_BYTES = 16 * 1024 * 1024
"""A client that leaves this much unread, a quarter of an hour of G.711, is gone or broken."""
MAX_SESSIONS = 2000
"""Connections at a time; beyond it the model says 503, as an overloaded service does."""
MAX_REQUEST_TASKS = 64
"""Sentences and turns of one session that wait for the voice or the ear; what comes beyond is not said, not heard."""
CLOSE_S = 2.0
"""For a client to answer our close frame."""
SUBPROTOCOLS = (Subprotocol("realtime"),)
"""Browsers, and clients of some other servers, ask for it."""
GATE_SPAN_DB = 30.0
"""A threshold of 0 hears 15 dB better than the usual 0.5, and one of 1 as much worse."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """For the model on its own, as ``sipagent model`` starts it."""

    host: str = "127.0.0.1"
    port: int = 8089
    local: LocalSettings = field(default_factory=LocalSettings)


class ModelServer:
    """A listening server; close it, or use it as ``async with``.

    :param make_machine: makes what answers a connection; who listens in puts a machine of its own there.
    """

    def __init__(
        self,
        settings: LocalSettings,
        *,
        voice: Voice,
        ear: Ear,
        random: Random,
        make_machine: Callable[..., LocalServer] = LocalServer,
    ) -> None:
        self.connections = 0
        """How many there have been."""
        self._settings = settings
        self._voice = voice
        self._ear = ear
        self._random = random
        self._make_machine = make_machine
        self._log = get_logger()
        self._sessions: set[_Session] = set()
        self._accepted: WeakKeyDictionary[ServerConnection, Accepted] = WeakKeyDictionary()
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        sockets = tuple(self._server.sockets) if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def url(self) -> str:
        """What a client of the Realtime protocol connects to, without the model."""
        return self._url(PATH)

    @property
    def live_url(self) -> str:
        """What a client of GPT-Live connects to."""
        return self._url(LIVE_PATH)

    def _url(self, path: str) -> str:
        sockets = tuple(self._server.sockets) if self._server is not None else ()
        host = str(sockets[0].getsockname()[0]) if sockets else ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}{path}"

    @property
    def voice(self) -> Voice:
        """What it speaks with."""
        return self._voice

    @property
    def ear(self) -> Ear:
        """What it hears with."""
        return self._ear

    @property
    def sessions(self) -> int:
        """How many connections are open."""
        return len(self._sessions)

    async def listen(self, host: str, port: int) -> None:
        """Begin to accept; port 0 takes any that is free.

        :raises OSError: the port is taken.
        """
        self._server = await serve(
            self._serve,
            host,
            port,
            process_request=self._process_request,
            subprotocols=SUBPROTOCOLS,
            select_subprotocol=_select_subprotocol,
            compression=None,
            max_size=MAX_EVENT_BYTES,
            close_timeout=CLOSE_S,
            server_header="sipagent",
        )

    async def close(self) -> None:
        """Close every connection, the voice and the ear."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await self._voice.close()
        await self._ear.close()

    async def __aenter__(self) -> "ModelServer":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Judge a handshake; a response refuses it."""
        self.connections += 1
        parts = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        judgement = judge_handshake(
            self._settings, parts.path, dict(parse_qsl(parts.query)), headers, number=self.connections
        )
        if isinstance(judgement, Accepted) and len(self._sessions) >= MAX_SESSIONS:
            judgement = Refused(HTTPStatus.SERVICE_UNAVAILABLE, b"{}")
        if isinstance(judgement, Refused):
            self._log.info("model_refused", status=judgement.status)
            return _refuse(judgement)
        self._accepted[connection] = judgement
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        """One connection, from its handshake to its end."""
        accepted = self._accepted.pop(connection)
        make = LiveServer if accepted.is_live else self._make_machine
        machine = make(
            self._settings, random=Random(self._random.getrandbits(64)), make_detector=make_detector
        )
        session = _Session(connection, machine, self._voice, self._ear)
        self._sessions.add(session)
        try:
            await session.run(accepted)
        finally:
            self._sessions.discard(session)


class _Session:
    """Carries between one connection and its machine."""

    def __init__(self, connection: ServerConnection, machine: LocalServer | LiveServer, voice: Voice, ear: Ear) -> None:
        self._connection = connection
        self._machine = machine
        self._voice = voice
        self._ear = ear
        self._log = get_logger()
        self._driver: Driver[Output] = Driver(machine, carry=self._carry, crashed=self._crashed)
        self._closing: Close | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, accepted: Accepted) -> None:
        """Until either side closes."""
        try:
            self._driver.feed(partial(self._machine.open, accepted, unix_time=time.time()))
            while self._closing is None:
                data = await self._connection.recv(decode=False)
                self._driver.feed(partial(self._machine.receive_text, data))
        except ConnectionClosed:
            self._log.debug("model_connection_closed")
        finally:
            self._machine.connection_lost()
            self._driver.close()
            await self._finish()

    async def _finish(self) -> None:
        """Let the voice and the ear finish: a question that is broken off would cost everybody the process."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._closing is not None:
            await self._connection.close(self._closing.code, self._closing.reason)

    def _carry(self, output: Output) -> None:
        match output:
            case Send(data):
                self._send(data)
            case RenderSpeech():
                self._render(output)
            case HearSpeech():
                self._spawn(self._hear(output))
            case Close():
                self._close(output)
            case Drop():
                self._driver.close()
                self._connection.transport.abort()

    def _send(self, data: bytes) -> None:
        broadcast((self._connection,), data.decode())
        if self._connection.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._log.warning("model_client_reads_nothing", unsent_bytes=MAX_UNSENT_BYTES)
            self._driver.close()
            self._connection.transport.abort()

    def _close(self, close: Close) -> None:
        """Say goodbye; the reader then finds the connection closed."""
        self._closing = close
        self._driver.close()
        self._spawn(self._connection.close(close.code, close.reason))

    def _render(self, request: RenderSpeech) -> None:
        known = self._voice.recall(request.text, request.voice, request.speed, request.format)
        if known is not None:
            self._driver.feed(partial(self._machine.receive_speech, request.request_id, known))
        elif not self._spawn(self._speak(request)):
            self._driver.feed(partial(self._machine.receive_speech, request.request_id, b""))

    async def _speak(self, request: RenderSpeech) -> None:
        audio = await self._voice.render(request.text, request.voice, request.speed, request.format)
        self._driver.feed(partial(self._machine.receive_speech, request.request_id, audio))

    async def _hear(self, request: HearSpeech) -> None:
        text = await self._ear.hear(request.audio, request.format, request.phrases)
        self._driver.feed(partial(self._machine.receive_hearing, request.request_id, text))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> bool:
        """Run ``work`` beside; ``False`` when there is too much of it already."""
        if len(self._tasks) >= MAX_REQUEST_TASKS:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _crashed(self, error: Exception) -> None:
        """A bug of ours: it ends this session, as an internal error of the service would."""
        self._log.error("model_crashed", exc_info=error)
        self._close(Close(1011, "internal error"))


def make_detector(audio_format: AudioFormat, threshold: float) -> Detector:
    """The energy detector for a session's server-side turn detection."""
    gate_dbfs = VadSettings().gate_dbfs + (threshold - 0.5) * GATE_SPAN_DB
    return EnergyVad(audio_format, VadSettings(gate_dbfs=gate_dbfs)).is_speech


async def serve_model(host: str, port: int, settings: LocalSettings | None = None) -> ModelServer:
    """Start the embedded model in this process's loop, with the best voice and ear of this machine.

    :raises OSError: the port is taken.
    """
    server = ModelServer(
        settings or LocalSettings(utc_offset_s=time.localtime().tm_gmtoff),
        voice=await open_voice(),
        ear=await open_ear(),
        random=SystemRandom(),
    )
    try:
        await server.listen(host, port)
    except OSError:
        await server.close()
        raise
    return server


async def run_model(settings: ModelSettings) -> None:
    """The model on its own, until SIGINT or SIGTERM.

    :raises OSError: the port is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with await serve_model(settings.host, settings.port, settings.local) as server:
        voice, ear = server.voice.name, server.ear.name
        get_logger().info("model_ready", url=server.url, live_url=server.live_url, voice=voice, ear=ear)
        await stop.wait()


def _refuse(refused: Refused) -> Response:
    body = refused.body
    headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"})
    if refused.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = "1"
    phrase = HTTPStatus(refused.status).phrase if refused.status in set(HTTPStatus) else "Refused"
    return Response(refused.status, phrase, headers, body)


def _select_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take ``realtime`` when it is offered, and none otherwise; a key among the offers is never echoed."""
    return SUBPROTOCOLS[0] if SUBPROTOCOLS[0] in offered else None
