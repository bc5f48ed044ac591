import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from loopback import HOST, Clean, until, within
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from sipagent.aio import websocket as websocket_module
from sipagent.aio.websocket import MAX_UNSENT, WebSocket

Handler = Callable[[ServerConnection], Awaitable[None]]


class Client:
    """A WebSocket and what it told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.lost_with: tuple[int, str] | None = None
        self.over = asyncio.Event()
        self.socket = WebSocket(opened=self.opened, received=self.received, lost=self.lost)

    def opened(self) -> None:
        self.events.append("opened")

    def received(self, data: bytes) -> None:
        self.events.append(data)

    def lost(self, code: int, reason: str) -> None:
        assert self.lost_with is None, "it is told once"
        self.lost_with = (code, reason)
        self.over.set()

    async def connect(self, url: str, **options: Any) -> None:
        await self.socket.connect(url, {"Authorization": "Bearer key"}, **({"timeout_s": 5.0} | options))

    async def end(self) -> tuple[int, str]:
        await within(self.over.wait())
        assert self.lost_with is not None
        return self.lost_with


def listen(handler: Handler, **options: Any) -> AbstractAsyncContextManager[Server]:
    return serve(handler, HOST, 0, **({"compression": None, "close_timeout": 1.0} | options))


def url_of(server: Server | asyncio.Server, scheme: str = "ws") -> str:
    return f"{scheme}://{HOST}:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime?model=m"


async def drain(connection: ServerConnection) -> None:
    """Read until the client leaves."""
    try:
        while True:
            await connection.recv()
    except ConnectionClosed:
        pass


def test_it_is_opened_before_the_first_message_and_sends_text(run: Clean) -> None:
    async def main() -> None:
        got: asyncio.Queue[Any] = asyncio.Queue()

        async def handler(connection: ServerConnection) -> None:
            assert connection.request is not None
            got.put_nowait((connection.request.path, connection.request.headers["Authorization"]))
            await connection.send("first")
            got.put_nowait(await connection.recv())
            await drain(connection)
            got.put_nowait(connection.close_code)

        async with listen(handler) as server:
            client = Client()
            client.socket.send(b"too early, dropped")
            await client.connect(url_of(server))
            client.socket.send('{"type": "äöü"}'.encode())
            await until(lambda: len(client.events) == 2)
            assert client.events == ["opened", b"first"]
            assert await within(got.get()) == ("/v1/realtime?model=m", "Bearer key")
            assert await within(got.get()) == '{"type": "äöü"}', "a text frame"
            client.socket.close()
            client.socket.send(b"too late, dropped")
            assert await within(got.get()) == 1000
            assert client.lost_with is None, "who closes needs not be told"

    run(main())


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1001, "going away"), (1011, "keepalive"), (1012, "restart"), (3000, "unauthorized"), (4000, "beta")],
)
def test_the_close_code_and_reason_are_passed_on(run: Clean, code: int, reason: str) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            await connection.send("a last word")
            await connection.close(code, reason)

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert await client.end() == (code, reason)
            assert client.events == ["opened", b"a last word"]

    run(main())


def test_a_connection_that_breaks(run: Clean) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            connection.transport.abort()

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert await client.end() == (1006, "connection broke")

    run(main())


def test_a_close_frame_without_a_code(run: Clean) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            connection.transport.write(b"\x88\x00")
            await connection.wait_closed()

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert await client.end() == (1005, "")

    run(main())


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_the_status_of_a_refusal_and_what_it_says(run: Clean, status: int) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            raise AssertionError("it was refused")

        def refuse(connection: ServerConnection, request: object) -> Any:
            return connection.respond(status, '{"error":\n  {"code": "invalid_api_key"}}')

        async with listen(handler, process_request=refuse) as server:
            client = Client()
            await client.connect(url_of(server))
            assert await client.end() == (status, '{"error": {"code": "invalid_api_key"}}')
            assert client.events == []

    run(main())


async def answering(answer: bytes) -> asyncio.Server:
    """A server that answers a request with these bytes and hangs up."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve_one, HOST, 0)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"", "hung up"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 520 Unknown Error\r\n\r\n", "520"),  # the library knows registered ones only
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ""),
    ],
)
def test_an_answer_that_is_none(run: Clean, answer: bytes, word: str) -> None:
    async def main() -> None:
        server = await answering(answer)
        client = Client()
        await client.connect(url_of(server))
        code, reason = await client.end()
        assert code in (0, 101)
        assert word in reason
        assert client.events == []
        server.close()

    run(main())


def test_the_key_follows_no_redirect(run: Clean) -> None:
    async def main() -> None:
        seen: list[str] = []

        async def handler(connection: ServerConnection) -> None:
            seen.append("elsewhere")

        async with listen(handler) as elsewhere:
            place = url_of(elsewhere).encode()
            server = await answering(b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 0\r\n\r\n")
            client = Client()
            await client.connect(url_of(server))
            assert (await client.end())[0] == 302
            server.close()
        assert seen == []

    run(main())


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ws://no-such-host.invalid/", "gaierror"),
        (f"ws://{'a' * 64}.invalid/", ""),
        (f"ws://{HOST}:1/", "ConnectionRefused"),
        (f"wss://{HOST}:1/", "ConnectionRefused"),
    ],
)
def test_a_host_that_is_not_there(run: Clean, url: str, word: str) -> None:
    async def main() -> None:
        client = Client()
        await client.connect(url)
        code, reason = await client.end()
        assert code == 0
        assert word in reason

    run(main())


def test_a_host_that_says_nothing_is_given_up_and_what_it_says_later_is_not_heard(run: Clean) -> None:
    async def main() -> None:
        holding: list[asyncio.StreamWriter] = []
        gone = asyncio.Event()

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            holding.append(writer)
            await reader.read(10_000)
            await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(serve_one, HOST, 0)
        client = Client()
        await client.connect(url_of(server), timeout_s=0.2)
        assert await client.end() == (0, "no answer within 0.2 s")
        await within(gone.wait())
        assert client.events == []
        server.close()

    run(main())


def test_a_socket_closed_while_it_connects_is_not_opened_later(run: Clean) -> None:
    async def main() -> None:
        asked, answer, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def hesitate(connection: ServerConnection, request: object) -> None:
            asked.set()
            await answer.wait()

        async def handler(connection: ServerConnection) -> None:
            await drain(connection)
            left.set()

        async with listen(handler, process_request=hesitate) as server:
            client = Client()
            connecting = asyncio.get_running_loop().create_task(client.connect(url_of(server)))
            await within(asked.wait())
            connecting.cancel()
            client.socket.close()
            answer.set()
            await within(left.wait())
            assert (client.events, client.lost_with) == ([], None)

    run(main())


def test_a_message_in_fragments(run: Clean) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            await connection.send(["a" * 1000, "b" * 70_000, "c"])
            await connection.send(b"not text, not for us")
            await connection.send("whole")
            await connection.close()

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert (await client.end())[0] == 1000
            assert client.events == ["opened", b"a" * 1000 + b"b" * 70_000 + b"c", b"whole"]

    run(main())


def test_a_message_without_end_is_cut_off(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "MAX_FRAME", 10_000)

    async def main() -> None:
        async def endless() -> Any:
            while True:
                yield "x" * 1000
                await asyncio.sleep(0)

        async def handler(connection: ServerConnection) -> None:
            await connection.send(endless())

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert (await client.end())[0] == 1006
            assert client.events == ["opened"]

    run(main())


def test_a_server_that_stops_reading_is_given_up(run: Clean) -> None:
    async def main() -> None:
        release = asyncio.Event()

        async def handler(connection: ServerConnection) -> None:
            connection.transport.pause_reading()
            await release.wait()
            connection.transport.abort()

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            frame = b"x" * 65_536
            for _ in range(40 * MAX_UNSENT // len(frame)):
                client.socket.send(frame)
                if client.lost_with or client.over.is_set():
                    break
                await asyncio.sleep(0)
            assert await client.end() == (1006, "the model stopped reading")
            release.set()

    run(main())


def test_a_server_that_does_not_pong_is_given_up(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_module, "PING_S", 0.05)

    async def main() -> None:
        release = asyncio.Event()

        async def handler(connection: ServerConnection) -> None:
            connection.transport.pause_reading()
            await release.wait()
            connection.transport.abort()

        async with listen(handler) as server:
            client = Client()
            await client.connect(url_of(server))
            assert (await client.end())[0] == 1006
            release.set()

    run(main())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this host that nobody has signed but itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = path.with_name("key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(path), "-days", "2", "-subj", "/CN=test"]
    command += ["-addext", f"subjectAltName=IP:{HOST}"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate, and is not installed")
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_tls_to_a_host_we_trust(run: Clean, certificate: Path) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            await connection.send(await connection.recv())
            await drain(connection)

        async with listen(handler, ssl=serving(certificate)) as server:
            client = Client()
            await client.connect(url_of(server, "wss"), tls=ssl.create_default_context(cafile=str(certificate)))
            client.socket.send(b"over TLS")
            await until(lambda: len(client.events) == 2)
            assert client.events == ["opened", b"over TLS"]
            client.socket.close()

    run(main())


@pytest.mark.parametrize("given", [True, False])
def test_tls_to_a_host_we_do_not_trust(run: Clean, certificate: Path, given: bool) -> None:
    async def main() -> None:
        async def handler(connection: ServerConnection) -> None:
            raise AssertionError("nobody may come here")

        async with listen(handler, ssl=serving(certificate)) as server:
            client = Client()
            await client.connect(url_of(server, "wss"), tls=ssl.create_default_context() if given else None)
            code, reason = await client.end()
            assert code == 0
            assert "CERTIFICATE_VERIFY_FAILED" in reason

    run(main())
