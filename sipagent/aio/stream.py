"""SIP over TCP: connections that come in and connections that go out, each with its own framing.

A connection that sends an incomplete message and stops, or nothing at all, is closed: slowness is not a way to fill our
memory.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from sipagent.sip.events import Address, Flow
from sipagent.sip.framing import StreamFramer
from sipagent.sip.message import MessageError

CONNECT_S = 5.0
IDLE_S = 180.0
"""A phone that keeps its connection sends a CRLF far more often (:rfc:`5626#section-4.4.1`)."""

TALKED_IDLE_S = 7200.0
"""A connection over which a message came may carry a call, whose next message is its BYE."""

INCOMPLETE_S = 10.0
"""A message that has begun is complete by then, or the connection is closed."""

LINGER_S = 5.0
"""For a peer to take what was sent before we closed."""

MAX_CONNECTIONS = 1_000
MAX_CONNECTIONS_PER_HOST = 64

PING = b"\r\n\r\n"
"""Asks for a sign of life (:rfc:`5626#section-3.5.1`)."""

MAX_UNSENT = 1024 * 1024
"""A peer that does not read what we send is cut off at that many bytes."""


class Streams:
    """All TCP connections.

    :param received: is told each message and the flow it came by.
    :param malformed: is told a fault after which the stream can't be followed.
    :param failed: is told a flow that can't be used (any more).
    """

    def __init__(
        self,
        *,
        received: Callable[[bytes, Flow], None],
        malformed: Callable[[MessageError, Flow], None],
        failed: Callable[[Flow], None],
    ) -> None:
        self._received = received
        self._malformed = malformed
        self._failed = failed
        self._connections: dict[Address, Connection] = {}
        self._opening: dict[Address, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.refused = 0

    async def listen(self, address: Address) -> Address:
        """Accept connections.

        :raises OSError: when the address can't be bound.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), address[0], address[1])
        self._servers.append(server)
        name = server.sockets[0].getsockname()
        return (name[0], name[1])

    def send(self, data: bytes, flow: Flow) -> None:
        """Send over the connection to the flow's remote address; open one if there is none."""
        connection = self._connections.get(flow.remote)
        if connection is not None:
            connection.send(data)
        elif flow.remote in self._opening:
            self._opening[flow.remote].append(data)
        else:
            self._opening[flow.remote] = [data]
            task = asyncio.get_running_loop().create_task(self._open(flow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @property
    def flows(self) -> list[Flow]:
        """Those that there are."""
        return [connection.flow for connection in self._connections.values()]

    def ping(self, flow: Flow) -> bool:
        """Ask for a sign of life; ``False`` when there is no connection that could give one."""
        connection = self._connections.get(flow.remote)
        if connection is not None:
            connection.send(PING)
        return connection is not None

    def drop(self, flow: Flow) -> None:
        """Close a connection over which nothing comes back; what is sent from now on goes by another."""
        connection = self._connections.get(flow.remote)
        if connection is not None:
            self.forget(connection)
            connection.abort()

    async def close(self) -> None:
        """Close the listener and every connection."""
        for task in list(self._tasks):
            task.cancel()
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.drop()

    async def _open(self, flow: Flow) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: Connection(self), *flow.remote)
        except (OSError, TimeoutError):
            connection = None
        else:
            connection = self._connections.get(flow.remote)
        waiting = self._opening.pop(flow.remote, [])
        if connection is None:
            self._failed(flow)
            return
        for data in waiting:
            connection.send(data)

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in, unless there are too many."""
        host = connection.flow.remote[0]
        of_host = sum(1 for remote in self._connections if remote[0] == host)
        if len(self._connections) >= MAX_CONNECTIONS or of_host >= MAX_CONNECTIONS_PER_HOST:
            self.refused += 1
            return False
        self._connections[connection.flow.remote] = connection
        return True

    def receive(self, message: bytes, flow: Flow) -> None:
        """Hand a message up."""
        self._received(message, flow)

    def receive_malformed(self, error: MessageError, flow: Flow) -> None:
        """Hand up a fault that ends a connection; there may be a response to it."""
        self._malformed(error, flow)

    def forget(self, connection: "Connection") -> None:
        """A connection is gone."""
        if self._connections.get(connection.flow.remote) is connection:
            del self._connections[connection.flow.remote]
            self._failed(connection.flow)


class Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._framer = StreamFramer()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_waiting = False
        self._idle_s = IDLE_S
        self.flow = Flow("TCP", ("", 0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note whose connection it is."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being called one
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if local is None or remote is None:  # it was reset before we looked
            self._transport.abort()
            return
        self.flow = Flow("TCP", (remote[0], remote[1]), (local[0], local[1]))
        if not self._streams.admit(self):
            self._transport.abort()
            return
        self._set_deadline(self._idle_s, self.close)

    def data_received(self, data: bytes) -> None:
        """Frame what came."""
        try:
            while messages := self._framer.receive_data(data):
                self._is_waiting, self._idle_s = False, TALKED_IDLE_S
                for message in messages:
                    self._streams.receive(message, self.flow)
                data = b""  # what came before a fault is handed up first; the next call raises it
        except MessageError as error:
            self._streams.receive_malformed(error, self.flow)
            self.close()
            return
        while (pong := self._framer.pop_pong()) is not None:
            self.send(pong)
        if not self._framer.is_incomplete:
            self._is_waiting = False
            self._set_deadline(self._idle_s, self.close)
        elif not self._is_waiting:  # however many bytes trickle in, the message has as long as from its first
            self._is_waiting = True
            self._set_deadline(INCOMPLETE_S, self.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that it is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._streams.forget(self)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._transport.abort()

    def close(self) -> None:
        """Close it once what was sent has gone, or does not go."""
        if self._transport is not None:
            self._transport.close()
            self._set_deadline(LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """Close it now, whatever was not sent."""
        if self._transport is not None:
            self._transport.abort()

    def drop(self) -> None:
        """Close it now; what the kernel has not taken is lost, for a peer that does not read must not keep us."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()
        else:
            self.close()

    def _set_deadline(self, seconds: float, act: Callable[[], None]) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, act)
