"""The WebSockets of one call to its models: mostly one, two while the call passes from a session to the next."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from time import monotonic
from typing import Any, TypeAlias

from sipagent.aio.driver import Driver
from sipagent.aio.outbox import Outbox
from sipagent.aio.websocket import WebSocket
from sipagent.call import events
from sipagent.call.call import Call

Opens: TypeAlias = Callable[[WebSocket, int], Coroutine[Any, Any, None]]


class ModelSockets:
    """Opens, feeds and closes connections by their number in the call.

    :param opens: opens a WebSocket to the engine of this number.
    :param outbox: sends what is said on the connection in use.
    """

    def __init__(self, call: Call, driver: Driver[events.Output], *, opens: Opens, outbox: Outbox) -> None:
        self._call = call
        self._driver = driver
        self._opens = opens
        self._outbox = outbox
        self._sockets: dict[int, WebSocket] = {}
        self._connecting: dict[int, asyncio.Task[None]] = {}
        self._present: WebSocket | None = None

    def carry(self, output: events.ModelCommand) -> None:
        """Do what the call says; of a connection that is gone, nothing."""
        match output:
            case events.ConnectModel(number, engine):
                self._connect(number, engine)
            case events.SendComingModel(number, data):
                if number in self._sockets:
                    self._outbox.send(self._sockets[number], data)
            case events.UseModel(number):
                self._present = self._sockets.get(number)
            case events.CloseModel(None):
                self.close()
            case events.CloseModel(int(number)):
                self._close(number)

    def send(self, data: bytes) -> None:
        """Send on the connection in use; without one it is dropped."""
        if self._present is not None:
            self._outbox.send(self._present, data)

    def when_sent(self, told: Callable[[], None]) -> None:
        """Tell when all that was to be sent is."""
        self._outbox.when_sent(told)

    def close(self) -> None:
        """Close every connection."""
        for number in list(self._sockets):
            self._close(number)

    def _connect(self, number: int, engine: int) -> None:
        """Open a connection; the first one there is becomes the one in use."""
        socket = WebSocket(
            opened=partial(self._on_opened, number),
            received=partial(self._on_received, number),
            lost=partial(self._on_lost, number),
        )
        self._sockets[number] = socket
        if self._present is None:
            self._present = socket
        task = asyncio.get_running_loop().create_task(self._opens(socket, engine))
        self._connecting[number] = task
        task.add_done_callback(lambda _: self._connecting.pop(number, None))

    def _close(self, number: int) -> None:
        task = self._connecting.get(number)
        if task is not None:
            task.cancel()
        socket = self._sockets.pop(number, None)
        if socket is not None:
            self._outbox.flush()
            socket.close()
        if socket is self._present:
            self._present = None

    def _on_opened(self, number: int) -> None:
        self._driver.feed(partial(self._call.model_connected, number))

    def _on_received(self, number: int, data: bytes) -> None:
        self._driver.feed_data(self._call.receive_model, data, number, monotonic())

    def _on_lost(self, number: int, code: int, reason: str) -> None:
        socket = self._sockets.pop(number, None)
        if socket is self._present:
            self._present = None
        self._driver.feed(partial(self._call.model_lost, code, reason, number))
