import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from connections import NAME, Authority, Bench, answering, connect, listening
from hypothesis import given
from hypothesis import strategies as st
from loopback import HOST, Clean, options, until, within
from structlog.testing import capture_logs
from websockets.utils import accept_key

from sipagent.aio import connection as connection_module
from sipagent.aio import stream as stream_module
from sipagent.aio import ws as ws_module
from sipagent.aio.framing import Stage
from sipagent.aio.tls import Tls
from sipagent.aio.ws import HANDSHAKE_MAX, MESSAGE_MAX, serve
from sipagent.config import TlsConfig
from sipagent.sip.events import Flow

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10

SILENT_BEFORE_17 = (b"405", b"414") if int(version("websockets").partition(".")[0]) < 17 else ()
"""What the library closes on without a word, in its older versions."""
UPGRADE = b"\r\n".join(
    [
        b"GET / HTTP/1.1",
        b"Host: x",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Protocol: sip",
        b"",
        b"",
    ]
)


def frame(kind: int, payload: bytes, *, fin: bool = True, length: int | None = None) -> bytes:
    """A frame of a client's, its mask all zeros (:rfc:`6455#section-5.2`)."""
    size = len(payload) if length is None else length
    head = bytes([kind | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + payload


@asynccontextmanager
async def browser(bench: Bench, **more: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Another's WebSocket, connected to ours."""
    scheme = "wss" if "ssl" in more else "ws"
    chosen = {"protocols": ("sip",), "max_msg_size": 0} | more
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{scheme}://{HOST}:{bench.port}/", **chosen) as socket,
    ):
        yield socket


class Edge:
    """Another's WebSocket server: who came, and what they said."""

    def __init__(self, protocols: tuple[str, ...]) -> None:
        self.came: asyncio.Queue[tuple[web.Request, web.WebSocketResponse]] = asyncio.Queue()
        self.messages: asyncio.Queue[aiohttp.WSMessage] = asyncio.Queue()
        self._protocols = protocols

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection."""
        socket = web.WebSocketResponse(protocols=self._protocols)
        await socket.prepare(request)
        self.came.put_nowait((request, socket))
        async for message in socket:
            self.messages.put_nowait(message)
        return socket


@asynccontextmanager
async def edge(*protocols: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, Edge]]:
    """A server that speaks these subprotocols, and its port."""
    server = Edge(protocols or ("sip",))
    application = web.Application()
    application.router.add_get("/ws", server.serve)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1], server
    finally:
        await runner.cleanup()


class TestServer:
    def test_a_message_is_a_message_of_text_or_octets_and_so_is_the_answer(self, run: Clean) -> None:
        async def main() -> None:
            async with listening("WS") as bench, browser(bench) as socket:
                assert socket.protocol == "sip"
                text = options(bench.port, transport="WS", branch="é")
                octets = text.replace("é".encode(), b"\xff")
                await socket.send_str(text.decode())
                await socket.send_bytes(octets)
                data, flow = await bench.next()
                assert (data, (await bench.next())[0]) == (text, octets)
                assert (flow.transport, flow.secure, flow.local) == ("WS", False, (HOST, bench.port))
                bench.streams.send("é".encode(), flow)
                bench.streams.send(b"\xff", flow)
                answers = [await within(socket.receive()) for _ in range(2)]
                assert [(answer.type, answer.data) for answer in answers] == [
                    (aiohttp.WSMsgType.TEXT, "é"),
                    (aiohttp.WSMsgType.BINARY, b"\xff"),
                ]

        run(main())

    def test_over_tls(self, run: Clean, tmp_path: Path) -> None:
        authority = Authority(tmp_path)

        async def main() -> None:
            async with (
                listening("WSS", tls=authority.tls()) as bench,
                browser(bench, ssl=authority.client()) as socket,
            ):
                await socket.send_bytes(options(bench.port))
                _, flow = await bench.next()
                assert (flow.transport, flow.secure) == ("WSS", True)
                bench.streams.send(b"answer", flow)
                assert (await within(socket.receive())).data == "answer"

        run(main())

    def test_an_end_is_told_and_a_connection_that_we_close_is_closed_politely(self, run: Clean) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                async with browser(bench) as socket:
                    await socket.send_bytes(options(bench.port))
                    _, flow = await bench.next()
                await until(lambda: bench.failed)
                assert bench.failed == [flow]
                async with browser(bench) as socket:
                    await socket.send_bytes(options(bench.port))
                    await bench.next()
                    await bench.streams.close()
                    message = await within(socket.receive())
                    assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)

        run(main())

    @pytest.mark.parametrize(
        ("protocols", "status"), [((), 400), (("xmpp",), 400), (("xmpp", "sip"), 101), (("sip",), 101)]
    )
    def test_only_who_speaks_sip(self, run: Clean, protocols: tuple[str, ...], status: int) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                if status == 101:
                    async with browser(bench, protocols=protocols) as socket:
                        assert socket.protocol == "sip"
                else:
                    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                        async with browser(bench, protocols=protocols):
                            pass
                    assert caught.value.status == status
                    assert bench.streams.broken == 1

        run(main())

    @pytest.mark.parametrize(
        ("origin", "is_let_in"), [("https://a.example", True), ("https://b.example", False), (None, True)]
    )
    def test_only_pages_that_may(self, run: Clean, origin: str | None, is_let_in: bool) -> None:
        async def main() -> None:
            async with listening("WS", origins=["https://a.example"]) as bench:
                refusal = nullcontext() if is_let_in else pytest.raises(aiohttp.WSServerHandshakeError, match="403")
                with refusal:
                    async with browser(bench, origin=origin):
                        pass
            async with listening("WS") as bench, browser(bench, origin=origin):
                pass

        run(main())

    @pytest.mark.parametrize(
        ("octets", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
            (UPGRADE.replace(b"GET", b"POST"), b"405"),
            (options(1), b""),
            (UPGRADE + frame(CLOSE, b""), b""),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
        ],
    )
    def test_what_is_no_handshake(self, run: Clean, octets: bytes, status: bytes) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                peer = await connect(bench)
                peer.send(octets)
                answer = await peer.end()
                said = answer.split(b" ")[1:2]
                assert said == ([status] if status else []) or (said == [] and status in SILENT_BEFORE_17)
                assert bench.streams.broken == 1
                await peer.close()

        run(main())

    def test_a_handshake_has_an_end_in_octets_and_in_time(self, run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                peer = await connect(bench)
                peer.send(b"GET / HTTP/1.1\r\n")
                for _ in range(HANDSHAKE_MAX // 1000 + 1):
                    peer.send(b"X: " + b"a" * 995 + b"\r\n")
                await peer.end()
                assert bench.streams.broken == 1
                await peer.close()
                monkeypatch.setattr(connection_module, "HANDSHAKE_S", 0.1)
                slow = await connect(bench)
                slow.send(b"GET / HTTP/1.1\r\n")
                assert await slow.end() == b""
                assert bench.streams.broken == 2
                await slow.close()

        run(main())

    def test_a_message_in_pieces_with_a_ping_between(self, run: Clean) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                peer = await connect(bench)
                message = options(bench.port)
                octets = UPGRADE + frame(TEXT, message[:9], fin=False) + frame(PING, b"are you there")
                octets += frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, message[9:])
                for at in range(len(octets)):
                    peer.send(octets[at : at + 1])
                    await peer.writer.drain()
                    await asyncio.sleep(0)
                assert (await bench.next())[0] == message
                await within(peer.reader.readuntil(b"\r\n\r\n"))
                assert await peer.read(15) == bytes([0x80 | PONG, 13]) + b"are you there"
                await peer.close()

        run(main())

    @pytest.mark.parametrize(
        "octets",
        [
            frame(TEXT, b"", length=MESSAGE_MAX + 1),
            frame(BINARY, bytes(65_000), fin=False) + frame(CONTINUATION, b"", length=70_000),
            frame(TEXT, b"a").replace(b"\x81\x81", b"\x81\x01"),
            frame(CONTINUATION, b"a"),
            frame(0x83 & 0x0F, b"a"),
            frame(CLOSE, b"a"),
        ],
        ids=["too long", "too long in pieces", "unmasked", "continuing nothing", "unknown", "a bad goodbye"],
    )
    def test_what_breaks_the_protocol_ends_it(self, run: Clean, octets: bytes) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                peer = await connect(bench)
                peer.send(UPGRADE)
                await within(peer.reader.readuntil(b"\r\n\r\n"))
                peer.send(octets)
                assert (await peer.end())[0] == 0x80 | CLOSE
                assert bench.messages.empty()
                assert bench.faults == []
                await peer.close()

        run(main())

    @pytest.mark.parametrize(
        "octets", [frame(TEXT, b"OPTIONS", length=70), frame(TEXT, b"OPTIONS", fin=False)], ids=["frame", "message"]
    )
    def test_a_message_that_does_not_end(
        self, run: Clean, monkeypatch: pytest.MonkeyPatch, octets: bytes
    ) -> None:
        monkeypatch.setattr(connection_module, "BODY_S", 0.1)

        async def main() -> None:
            async with listening("WS") as bench:
                peer = await connect(bench)
                peer.send(UPGRADE)
                await within(peer.reader.readuntil(b"\r\n\r\n"))
                peer.send(octets)
                assert (await peer.end())[0] == 0x80 | CLOSE
                assert bench.messages.empty()
                await peer.close()

        run(main())

    def test_crlf_is_answered_here_too(self, run: Clean) -> None:
        async def main() -> None:
            async with listening("WS") as bench, browser(bench) as socket:
                await socket.send_str("\r\n\r\n")
                assert (await within(socket.receive())).data == "\r\n"
                await socket.send_str("\r\n")
                await within(bench.ponged.get())
                await socket.send_str("")
                await socket.send_bytes(options(bench.port))
                assert (await bench.next())[0] == options(bench.port)

        run(main())

    def test_what_comes_with_the_goodbye_is_heard_and_not_answered(self, run: Clean) -> None:
        async def main() -> None:
            async with listening("WS") as bench:
                answered = bench.streams._received

                def answer(data: bytes, flow: Flow) -> None:
                    answered(data, flow)
                    bench.streams.send(b"answer", flow)

                bench.streams._received = answer
                peer = await connect(bench)
                peer.send(UPGRADE)
                await within(peer.reader.readuntil(b"\r\n\r\n"))
                peer.send(frame(TEXT, options(bench.port)) + frame(CLOSE, b"\x03\xe8"))
                await bench.next()
                assert await peer.end() == bytes([0x80 | CLOSE, 2]) + b"\x03\xe8"
                await peer.close()

        run(main())


class TestClient:
    def test_a_connection_is_opened_for_what_is_sent_and_used_both_ways(self, run: Clean) -> None:
        async def main() -> None:
            async with edge() as (port, server):
                bench = Bench()
                flow = Flow("WS", (HOST, port), name=NAME)
                bench.streams.send(b"one", flow)
                bench.streams.send(b"\xff", flow)
                request, socket = await within(server.came.get())
                assert request.host == f"{NAME}:{port}"
                assert request.headers["Sec-WebSocket-Protocol"] == "sip"
                got = [await within(server.messages.get()) for _ in range(2)]
                assert [message.data for message in got] == ["one", b"\xff"]
                await socket.send_str(options(port).decode())
                data, back = await bench.next()
                assert (data, back.transport, back.remote, back.name) == (options(port), "WS", (HOST, port), NAME)
                bench.streams.send(b"three", back)
                assert (await within(server.messages.get())).data == "three"
                assert server.came.empty()
                await bench.streams.close()
                await until(lambda: socket.closed)
                assert socket.close_code == 1001

        run(main())

    def test_a_message_that_comes_with_the_handshake(self, run: Clean) -> None:
        async def main() -> None:
            async with answering() as (port, peers):
                bench = Bench()
                bench.streams.send(b"hello", Flow("WS", (HOST, port)))
                peer = await within(peers.get())
                request = await within(peer.reader.readuntil(b"\r\n\r\n"))
                key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
                lines = ["HTTP/1.1 101 Yes", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Protocol: sip"]
                lines += [f"Sec-WebSocket-Accept: {accept_key(key.decode())}", "", ""]
                peer.send("\r\n".join(lines).encode() + bytes([0x80 | TEXT, 5]) + b"first")
                assert (await bench.next())[0] == b"first"
                assert (await peer.read(11))[:2] == bytes([0x80 | TEXT, 0x80 | 5])
                await bench.streams.close()

        run(main())

    def test_over_tls_the_name_is_verified(self, run: Clean, tmp_path: Path) -> None:
        authority = Authority(tmp_path)

        async def main() -> None:
            async with edge(tls=authority.server(NAME)) as (port, server):
                bench = Bench(tls=Tls(TlsConfig(ca=authority.file)))
                bench.streams.send(b"hello", Flow("WSS", (HOST, port), name="other.example.com"))
                await until(lambda: bench.failed)
                assert bench.failed[0].name == "other.example.com"
                assert server.came.empty()
                bench.streams.send(b"hello", Flow("WSS", (HOST, port), name=NAME))
                assert (await within(server.messages.get())).data == "hello"
                await bench.streams.close()

        run(main())

    def test_a_ping_is_answered_and_told(self, run: Clean) -> None:
        async def main() -> None:
            async with edge() as (port, server):
                bench = Bench()
                flow = Flow("WS", (HOST, port))
                bench.streams.send(b"hello", flow)
                await within(server.messages.get())
                assert bench.streams.ping(flow)
                assert (await within(bench.ponged.get())).remote == flow.remote
                await bench.streams.close()

        run(main())

    @pytest.mark.parametrize(("protocol", "path"), [("xmpp", "/ws"), ("sip", "/other")])
    def test_a_server_of_something_else(
        self, run: Clean, monkeypatch: pytest.MonkeyPatch, protocol: str, path: str
    ) -> None:
        monkeypatch.setattr(ws_module, "PATH", path)

        async def main() -> None:
            async with edge(protocol) as (port, _):
                bench = Bench()
                with capture_logs() as logs:
                    bench.streams.send(b"hello", Flow("WS", (HOST, port)))
                    await until(lambda: bench.failed)
                reasons = {"xmpp": "it does not speak SIP", "sip": "it answers 404 Not Found"}
                assert logs[0]["reason"] == reasons[protocol]

        run(main())

    @pytest.mark.parametrize(
        "answer", [b"SIP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 101 Yes\r\n\r\n", b"x" * (HANDSHAKE_MAX + 1), b""]
    )
    def test_a_server_of_nothing_of_the_kind(
        self, run: Clean, monkeypatch: pytest.MonkeyPatch, answer: bytes
    ) -> None:
        monkeypatch.setattr(stream_module, "CONNECT_S", 0.5)

        async def main() -> None:
            async with answering() as (port, peers):
                bench = Bench()
                bench.streams.send(b"hello", Flow("WS", (HOST, port)))
                peer = await within(peers.get())
                await within(peer.reader.readuntil(b"\r\n\r\n"))
                peer.send(answer)
                await until(lambda: bench.failed)
                assert len(bench.failed) == 1

        run(main())


@given(st.lists(st.binary(max_size=40) | st.sampled_from([frame(kind, b"a" * 9) for kind in range(16)])))
def test_no_octets_do_worse_than_end_it(pieces: list[bytes]) -> None:
    framing = serve()
    framing.receive_data(UPGRADE)
    assert framing.is_open
    for piece in pieces:
        framing.receive_data(piece)
        framing.pop_output()
    assert framing.is_open or framing.is_over
    assert framing.stage in (Stage.IDLE, Stage.BODY)
