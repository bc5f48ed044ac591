"""The sockets of a call to its models, by number."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from loopback import Clean

from sipagent.aio.model_sockets import ModelSockets
from sipagent.aio.outbox import Outbox
from sipagent.aio.websocket import WebSocket
from sipagent.call import events


class Desk:
    """Sockets that are opened by hand, and what was told of them."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.opening: list[tuple[WebSocket, int]] = []
        self.outbox = Outbox()
        self.sockets = ModelSockets(cast(Any, self), cast(Any, self), opens=self._open, outbox=self.outbox)

    # A call and its driver

    def feed(self, receive: Callable[[], object]) -> None:
        receive()

    def feed_data(self, receive: Callable[[bytes, int], object], data: bytes, number: int, _now: float) -> None:
        receive(data, number)

    def model_connected(self, number: int) -> None:
        self.told.append(("opened", number))

    def receive_model(self, data: bytes, number: int) -> None:
        self.told.append(("received", data, number))

    def model_lost(self, code: int, reason: str, number: int) -> None:
        self.told.append(("lost", code, reason, number))

    # The network

    async def _open(self, socket: WebSocket, engine: int) -> None:
        self.opening.append((socket, engine))
        await asyncio.sleep(0)

    async def open(self, number: int, engine: int = 0) -> "Wire":
        self.sockets.carry(events.ConnectModel(number, engine))
        await asyncio.sleep(0)
        socket, _ = self.opening[-1]
        wire = Wire()
        socket.on_ws_connected(cast(Any, wire))
        return wire


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_closed = False
        self.underlying_transport = self

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def send(self, _kind: object, data: bytes) -> None:
        self.sent.append(data)

    def send_close(self, _code: object) -> None:
        self.is_closed = True

    def disconnect(self, graceful: bool = True) -> None:
        self.is_closed = True


def test_the_first_connection_is_the_one_in_use_until_another_is(run: Clean) -> None:
    async def main() -> None:
        desk = Desk()
        first = await desk.open(1)
        second = await desk.open(2, engine=1)
        assert [engine for _, engine in desk.opening] == [0, 1]
        desk.sockets.send(b"a")
        desk.sockets.carry(events.SendComingModel(2, b"b"))
        desk.sockets.carry(events.UseModel(2))
        desk.sockets.send(b"c")
        assert (first.sent, second.sent) == ([b"a"], [b"b", b"c"])
        desk.sockets.carry(events.CloseModel(1))
        assert (first.is_closed, second.is_closed) == (True, False)
        desk.sockets.carry(events.CloseModel())
        assert second.is_closed
        desk.sockets.send(b"nobody")
        desk.sockets.carry(events.SendComingModel(2, b"nobody"))
        assert desk.told == [("opened", 1), ("opened", 2)]

    run(main())


def test_what_is_said_during_a_look_goes_out_in_its_order_and_before_the_connection_closes(run: Clean) -> None:
    async def main() -> None:
        desk = Desk()
        first = await desk.open(1)
        second = await desk.open(2, engine=1)
        told: list[int] = []
        desk.outbox.open()
        for data in (b"a", b"b"):
            desk.sockets.send(data)
        desk.sockets.when_sent(lambda: told.append(len(first.sent)))
        desk.sockets.carry(events.SendComingModel(2, b"hello"))
        desk.sockets.carry(events.UseModel(2))
        desk.sockets.send(b"c")
        assert (first.sent, second.sent, told) == ([], [], [])
        desk.sockets.carry(events.CloseModel(1))
        assert (first.sent, second.sent, told) == ([b"a", b"b"], [b"hello", b"c"], [2])
        desk.sockets.send(b"d")
        desk.outbox.close()
        desk.sockets.send(b"e")
        assert second.sent == [b"hello", b"c", b"d", b"e"]
        desk.sockets.carry(events.CloseModel())

    run(main())


def test_what_comes_of_a_connection_bears_its_number(run: Clean) -> None:
    async def main() -> None:
        desk = Desk()
        await desk.open(1)
        await desk.open(2)
        (first, _), (second, _) = desk.opening
        first._received(b"x")
        second._received(b"y")
        first.on_ws_disconnected(cast(Any, None))
        assert desk.told[2:] == [("received", b"x", 1), ("received", b"y", 2), ("lost", 1006, "connection broke", 1)]
        desk.sockets.carry(events.CloseModel())

    run(main())


def test_a_connection_that_is_being_opened_can_be_given_up(run: Clean) -> None:
    async def main() -> None:
        desk = Desk()
        desk.sockets.carry(events.ConnectModel(1))
        desk.sockets.carry(events.CloseModel(1))
        desk.sockets.carry(events.CloseModel(1))
        await asyncio.sleep(0)
        assert desk.opening == []
        assert desk.told == []

    run(main())
