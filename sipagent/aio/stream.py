"""SIP over TCP, TLS and WebSockets: the connections that come in and those that go out, each used both ways.

A connection is known by its transport, where it goes and, if we opened it, the name for which it was verified: it is
used again for that name and no other (:rfc:`5923`). Over one that came in go the requests of the dialogs that it
brought.
"""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from sipagent.aio import ws
from sipagent.aio.connection import Connection
from sipagent.aio.framing import Framing, StreamFraming
from sipagent.aio.log import get_logger
from sipagent.aio.time_limit import TimeLimit
from sipagent.aio.tls import Tls, TlsLayer
from sipagent.sip.events import Address, Flow
from sipagent.sip.message import MessageError

CONNECT_S = 5.0
"""For everything that comes before the first message."""

BACKLOG = 1024
"""Connections that wait in the kernel to be accepted."""

MAX_CONNECTIONS = 1_000
"""That came in; and as many, apart, that we opened: strangers are not to keep us from our trunk."""

MAX_CONNECTIONS_PER_HOST = 64

STREAMS = frozenset({"TCP", "TLS", "WS", "WSS"})
"""The transports that are served here."""

TAKEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
"""Why a connection can't come from a certain port of ours."""

RESPONSE = b"SIP/"
"""How it begins; a request begins with its method."""

Key: TypeAlias = tuple[str, Address, str]
"""Transport, remote, and the name: empty for a connection that came in, and for one that proves no name."""


class Streams:
    """All connections.

    :param received: is told each message and the flow it came by.
    :param malformed: is told a fault after which the stream can't be followed.
    :param failed: is told a flow that can't be used (any more).
    :param ponged: is told a flow over which a :meth:`ping` was answered.
    :param admits: is asked of each connection that comes in, before its handshake; not given, all are.
    :param tls: our certificates.
    :param origins: the web pages whose scripts may connect by WebSocket; none given, all.
    """

    def __init__(
        self,
        *,
        received: Callable[[bytes, Flow], None],
        malformed: Callable[[MessageError, Flow], None],
        failed: Callable[[Flow], None],
        ponged: Callable[[Flow], None],
        admits: Callable[[Flow], bool] | None = None,
        tls: Tls | None = None,
        origins: Iterable[str] = (),
    ) -> None:
        self._received = received
        self._malformed = malformed
        self._failed = failed
        self._ponged = ponged
        self._admits = admits
        self._tls = tls or Tls()
        self._origins = tuple(origins)
        self._connections: dict[Key, Connection] = {}
        self._alive: set[Connection] = set()
        self._of_host: Counter[str] = Counter()
        self._incoming = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._ports: set[int] = set()
        self.refused = 0
        """Connections that were too many, or whose source was not to be heard."""
        self.broken = 0
        """Connections that came in and never got as far as a message: their handshake failed."""

    async def listen(self, transport: str, address: Address) -> Address:
        """Accept connections.

        :raises OSError: when the address can't be bound.
        :raises SipagentError: when there is no certificate to listen with.
        """
        if Flow(transport, address).secure:
            self._tls.server()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: self._accept(transport), address[0], address[1], backlog=BACKLOG)
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        self._ports.add(name[1])
        return (name[0], name[1])

    def send(self, data: bytes, flow: Flow) -> None:
        """Send over the connection that the flow is, or one that goes there by that name; for a request open one.

        A response whose connection is lost has no way: at the port that it came from nobody listens.
        """
        connection = self._find(flow) or (None if data.startswith(RESPONSE) else self._open(flow))
        if connection is None:
            self._failed(flow)
        else:
            connection.send(data)

    def ping(self, flow: Flow) -> bool:
        """Ask for a sign of life; ``False`` when there is no connection that could give one."""
        connection = self._find(flow)
        if connection is not None:
            connection.ping()
        return connection is not None

    @property
    def flows(self) -> list[Flow]:
        """Those that there are."""
        return [connection.flow for connection in self._connections.values()]

    def drop(self, flow: Flow) -> None:
        """Close a connection over which nothing comes back; what is sent from now on goes by another."""
        connection = self._find(flow)
        if connection is not None:
            connection.abort("")

    async def close(self) -> None:
        """Close the listeners and every connection."""
        for task in list(self._tasks):
            task.cancel()
        for server in self._servers:
            server.close()
        for connection in list(self._alive):
            connection.drop()

    # What connections tell

    def admit(self, connection: Connection) -> bool:
        """Take a connection in that came, unless there are too many."""
        host = connection.flow.remote[0]
        if self._admits is not None and not self._admits(connection.flow):
            self.refused += 1
            return False
        if self._incoming >= MAX_CONNECTIONS or self._of_host[host] >= MAX_CONNECTIONS_PER_HOST:
            self.refused += 1
            return False
        self._incoming += 1
        self._of_host[host] += 1
        self._keep(connection)
        return True

    def receive(self, message: bytes, flow: Flow) -> None:
        """Hand a message up."""
        self._received(message, flow)

    def receive_malformed(self, error: MessageError, flow: Flow) -> None:
        """Hand up a fault that ends a connection; there may be a response to it."""
        self._malformed(error, flow)

    def receive_pong(self, flow: Flow) -> None:
        """Hand up a sign of life."""
        self._ponged(flow)

    def retire(self, connection: Connection) -> None:
        """Use a connection no more."""
        key = _key(connection)
        if self._connections.get(key) is not connection:
            return
        del self._connections[key]
        if connection.reason:
            self._note(connection)
        self._failed(connection.flow)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection not in self._alive:
            return
        self._alive.discard(connection)
        if not connection.is_ours:
            self._incoming -= 1
            self._of_host -= Counter((connection.flow.remote[0],))

    def _note(self, connection: Connection) -> None:
        """Say what our own connections failed of; of those of strangers there may be many."""
        flow, log = connection.flow, get_logger()
        self.broken += not connection.is_ours and not connection.is_open
        tell = log.warning if connection.is_ours else log.debug
        tell("connection_failed", transport=flow.transport, to=flow.name, remote=flow.remote, reason=connection.reason)

    # In

    def _accept(self, transport: str) -> Connection:
        flow = Flow(transport, ("", 0))
        framing: Framing = ws.serve(self._origins) if _is_web(flow) else StreamFraming()
        return Connection(self, flow, framing, self._serve_tls if flow.secure else None, is_ours=False)

    def _serve_tls(self) -> TlsLayer:
        return TlsLayer(self._tls.server(), name=None)

    # Out

    def _find(self, flow: Flow) -> Connection | None:
        came = None if flow.name else self._connections.get((flow.transport, flow.remote, ""))
        return came or self._connections.get(_outgoing_key(flow))

    def _open(self, flow: Flow) -> Connection | None:
        """Begin to open a connection; ``None`` when there are too many."""
        if len(self._alive) - self._incoming >= MAX_CONNECTIONS:
            self.refused += 1
            return None
        host, port = flow.name or flow.remote[0], flow.remote[1]
        framing: Framing = ws.connect(host, port, secure=flow.secure) if _is_web(flow) else StreamFraming()
        secure = (lambda: TlsLayer(self._tls.client(), name=host)) if flow.secure else None
        connection = Connection(self, flow, framing, secure, is_ours=True)
        self._keep(connection)
        task = asyncio.get_running_loop().create_task(self._connect(connection, flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return connection

    async def _connect(self, connection: Connection, flow: Flow) -> None:
        try:
            async with TimeLimit(CONNECT_S):
                await self._reach(connection, flow)
                await connection.wait_open()
        except TimeoutError:
            connection.abort(f"no answer within {CONNECT_S:g} s")
        except (OSError, OverflowError) as error:  # the latter for a port that is none
            connection.abort(str(error))
        finally:
            if not connection.is_connected:
                self.forget(connection)

    async def _reach(self, connection: Connection, flow: Flow) -> None:
        """Connect from the port that the flow says the peer knows, unless a listener of ours has it."""
        connect = partial(asyncio.get_running_loop().create_connection, lambda: connection, *flow.remote)
        if flow.local is not None and flow.local[1] not in self._ports:
            try:
                await connect(local_addr=("::" if ":" in flow.remote[0] else "0.0.0.0", flow.local[1]))
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
            else:
                return
        await connect()

    def _keep(self, connection: Connection) -> None:
        self._alive.add(connection)
        self._connections[_key(connection)] = connection


def free_port() -> int:
    """A port that nothing listens on now; connections of ours may come from it, each to another peer."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


def _is_web(flow: Flow) -> bool:
    return flow.transport in ("WS", "WSS")


def _key(connection: Connection) -> Key:
    flow = connection.flow
    return _outgoing_key(flow) if connection.is_ours else (flow.transport, flow.remote, "")


def _outgoing_key(flow: Flow) -> Key:
    name = "" if flow.transport == "TCP" else (flow.name or flow.remote[0]).lower()
    return (flow.transport, flow.remote, name)
