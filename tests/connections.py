"""Both ends of the shell's connections, for its tests: streams that note what they are told, and peers in octets."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme
from loopback import HOST, within

from sipagent.aio.stream import Streams
from sipagent.aio.tls import Tls
from sipagent.config import TlsConfig
from sipagent.sip.events import Flow
from sipagent.sip.message import MessageError

BAD = b"INVITE sip:a@b SIP/2.0\r\nContent-Length: x\r\n\r\n"

NAME = "pbx.example.com"

class Authority:
    """A certificate authority, and the certificates that it signs, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / f"ca{id(self)}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, stem: str = "server", expires: datetime | None = None) -> tuple[Path, Path]:
        """Sign a certificate; return its file and its key's."""
        leaf = self._ca.issue_cert(*(names or (NAME, HOST, "::1")), not_after=expires)
        certificate, key = self._folder / f"{stem}.pem", self._folder / f"{stem}.key"
        for file, blobs in ((certificate, leaf.cert_chain_pems), (key, [leaf.private_key_pem])):
            file.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return certificate, key

    def tls(self, *names: str, **more: Any) -> Tls:
        """What one of ours has: a certificate for both directions, and trust in this authority."""
        certificate, key = self.issue(*names, stem=f"stem{len(list(self._folder.iterdir()))}")
        return Tls(TlsConfig(certificate=certificate, key=key, ca=self.file, **more))

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a stranger connects with."""
        context = ssl.create_default_context(cafile=self.file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return context

    def server(self, *names: str) -> ssl.SSLContext:
        """What a stranger listens with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names, stem="stranger"))
        return context


class Bench:
    """Streams, and what they told."""

    def __init__(self, *, tls: Tls | None = None, origins: Iterable[str] = ()) -> None:
        self.messages: asyncio.Queue[tuple[bytes, Flow]] = asyncio.Queue()
        self.faults: list[tuple[MessageError, Flow]] = []
        self.failed: list[Flow] = []
        self.ponged: asyncio.Queue[Flow] = asyncio.Queue()
        self.streams = Streams(
            received=self.receive,
            malformed=self.malformed,
            failed=self.failed.append,
            ponged=self.ponged.put_nowait,
            tls=tls,
            origins=origins,
        )
        self.port = 0

    def receive(self, data: bytes, flow: Flow) -> None:
        self.messages.put_nowait((data, flow))

    def malformed(self, error: MessageError, flow: Flow) -> None:
        self.faults.append((error, flow))
        self.streams.send(b"400", flow)

    async def next(self) -> tuple[bytes, Flow]:
        return await within(self.messages.get())


class Peer:
    """The other end of a connection, in bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.address = writer.get_extra_info("sockname")

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, size: int) -> bytes:
        return await within(self.reader.readexactly(size))

    async def end(self) -> bytes:
        """What comes until the connection is closed, gently or not."""
        try:
            return await within(self.reader.read())
        except ConnectionResetError:
            return b""

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionResetError, BrokenPipeError):
            await within(self.writer.wait_closed())


@asynccontextmanager
async def listening(
    transport: str = "TCP", *, host: str = HOST, tls: Tls | None = None, origins: Iterable[str] = ()
) -> AsyncIterator[Bench]:
    bench = Bench(tls=tls, origins=origins)
    bench.port = (await bench.streams.listen(transport, (host, 0)))[1]
    try:
        yield bench
    finally:
        await bench.streams.close()


async def connect(bench: Bench, *, tls: ssl.SSLContext | None = None, name: str = NAME) -> Peer:
    named = name if tls is not None else None
    return Peer(*await asyncio.open_connection(HOST, bench.port, ssl=tls, server_hostname=named))


@asynccontextmanager
async def answering(
    *, tls: ssl.SSLContext | None = None, host: str = HOST
) -> AsyncIterator[tuple[int, asyncio.Queue[Peer]]]:
    """A server of octets: its port, and who comes."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()
    came: list[Peer] = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(Peer(reader, writer))
        peers.put_nowait(came[-1])

    server = await asyncio.start_server(take, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], peers
    finally:
        server.close()
        for peer in came:
            await peer.close()
