"""A model for judging sound: it says what it is given, faster than real time, and keeps every sample it hears.

It speaks as much of the Realtime protocol as the program needs. In place of something to say it may be an echo: each
piece of the caller's audio that is not silent comes straight back, all in one response.
"""

import asyncio
from binascii import a2b_base64, b2a_base64
from collections import deque
from typing import Any

from picows import WSMsgType, ws_create_server

from sipagent.bench.plan import HOST
from sipagent.bench.session import APPEND, APPEND_END, ModelSession, encode

DELTA_BYTES = 1600
"""200 ms of G.711."""
SILENT = b2a_base64(b"\xff" * 9, newline=False)
"""How silence begins; 9 bytes are 12 characters of their own."""


class Session(ModelSession):
    """One connection.

    :param audio: what it says when it is asked to, G.711; ``None`` makes it an echo.
    """

    def __init__(self, number: int, audio: bytes | None) -> None:
        super().__init__(number)
        self._audio = audio
        self._edges: tuple[bytes, bytes] | None = None
        self.heard = bytearray()
        """All of the caller's audio, G.711; an echo keeps none."""

    def _on_append(self, message: bytes) -> None:
        encoded = message.removeprefix(APPEND).removesuffix(APPEND_END)
        if self._audio is not None:
            self.heard += a2b_base64(encoded)
        elif not encoded.startswith(SILENT):
            self._send_delta(encoded)

    def _on_event(self, event: dict[str, Any]) -> None:
        super()._on_event(event)
        if event["type"] == "response.create" and self._edges is None:
            self._respond(event.get("response", {}).get("metadata"))

    def _respond(self, metadata: object) -> None:
        """Begin the only response; say all of it at once."""
        names = {"response_id": f"resp_{self._number}", "item_id": f"item_{self._number}"}
        place = names | {"output_index": 0, "content_index": 0}
        before, after = encode({"type": "response.output_audio.delta", **place, "delta": "#"}).split(b"#")
        self._edges = before, after
        response = {"id": names["response_id"], "output": [], "metadata": metadata}
        self._send({"type": "response.created", "response": response | {"status": "in_progress"}})
        if self._audio is not None:
            for at in range(0, len(self._audio), DELTA_BYTES):
                self._send_delta(b2a_base64(self._audio[at : at + DELTA_BYTES], newline=False))
            self._send({"type": "response.output_audio.done", **place})
            self._send({"type": "response.done", "response": response | {"status": "completed"}})

    def _send_delta(self, encoded: bytes) -> None:
        if self._edges is not None:
            before, after = self._edges
            self._transport.send(WSMsgType.TEXT, before + encoded + after)


class Model:
    """The server; each of its sessions is announced by :meth:`expect`."""

    def __init__(self) -> None:
        self._expected: deque[tuple[bytes | None, asyncio.Future[Session]]] = deque()
        self._count = 0
        self._server: asyncio.Server | None = None

    async def listen(self) -> str:
        """Begin to serve; return the URL."""
        self._server = await ws_create_server(lambda _request: self._accept(), HOST, 0)
        return f"ws://{HOST}:{self._server.sockets[0].getsockname()[1]}/v1/realtime"

    def expect(self, audio: bytes | None) -> asyncio.Future[Session]:
        """Announce the next connection and what it is to say; the future is done once it is there."""
        future: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._expected.append((audio, future))
        return future

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()

    def _accept(self) -> Session:
        self._count += 1
        audio, future = self._expected.popleft()
        session = Session(self._count, audio)
        future.set_result(session)
        return session
