"""The way between two of our own processes: one end tells the other, or asks it, by names that the other serves.

Messages are pickled, for both ends are one program, and go in order. Nobody waits to send: what the socket does not
take is kept, up to a bound at which the other end counts as gone.
"""

import asyncio
import pickle
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sipagent.errors import SipagentError

HEADER = struct.Struct("!I")
READ = 1 << 16
MAX_MESSAGE = 1 << 26
"""Bytes; a SIP message has at most 64 kB, a page of metrics less."""

MAX_WAITING = 1 << 24
"""Bytes that wait to be sent; an end that lets so much come together is stuck."""


class LinkError(SipagentError):
    """The other end is gone."""


class Link:
    """One end.

    :param ours: of a pair of stream sockets.
    :param serves: what the other end may name, and what is then called; what it returns, or the coroutine that it
        returns does, answers a question. A :class:`~sipagent.errors.SipagentError` is told to who asked.
    :param lost: is called once when the other end is gone; not after :meth:`close`.
    :param crashed: is told a bug in what is served.
    """

    def __init__(
        self,
        ours: socket.socket,
        *,
        serves: Mapping[str, Callable[..., Any]],
        lost: Callable[[], None],
        crashed: Callable[[Exception], None],
    ) -> None:
        self._socket = ours
        self._serves = serves
        self._lost = lost
        self._crashed = crashed
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._waiting = bytearray()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._questions = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_closed = False
        ours.setblocking(False)
        self._loop.add_reader(ours.fileno(), self._on_readable)

    def tell(self, name: str, *arguments: object) -> None:
        """Have something done at the other end; on a closed link, nothing."""
        self._send((name, None, arguments))

    async def ask(self, name: str, *arguments: object) -> Any:
        """Have something done there and return what it returns.

        :raises SipagentError: it did so, or the other end is gone.
        """
        if self.is_closed:
            raise LinkError("the worker is gone")
        self._questions += 1
        question = self._questions
        future: asyncio.Future[Any] = self._loop.create_future()
        self._asked[question] = future
        self._send((name, question, arguments))
        try:
            return await future
        finally:
            self._asked.pop(question, None)

    def close(self) -> None:
        """Hear and say no more."""
        if self.is_closed:
            return
        self.is_closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(LinkError("the worker is gone"))

    def _send(self, message: object) -> None:
        if self.is_closed:
            return
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        was_idle = not self._waiting
        self._waiting += HEADER.pack(len(data)) + data
        if len(self._waiting) > MAX_WAITING:
            self._loop.call_soon(self._fail)  # not in the stack of who sends
        elif was_idle:
            self._flush()
            if self._waiting and not self.is_closed:
                self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._waiting)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._waiting.clear()
            self._loop.call_soon(self._fail)  # as above
            return
        del self._waiting[:sent]

    def _on_writable(self) -> None:
        self._flush()
        if not self._waiting and not self.is_closed:
            self._loop.remove_writer(self._socket.fileno())

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._fail()
            return
        self._received += data
        while not self.is_closed and (message := self._take()) is not None:
            self._on_message(*message)

    def _take(self) -> tuple[str, int | None, tuple[Any, ...]] | None:
        """Take the first message, if it is whole."""
        if len(self._received) < HEADER.size:
            return None
        (size,) = HEADER.unpack_from(self._received)
        end = HEADER.size + size
        if size > MAX_MESSAGE:
            self._fail()
            return None
        if len(self._received) < end:
            return None
        message: tuple[str, int | None, tuple[Any, ...]] = pickle.loads(self._received[HEADER.size : end])
        del self._received[:end]
        return message

    def _on_message(self, name: str, question: int | None, arguments: tuple[Any, ...]) -> None:
        if name in (ANSWER, FAILURE):
            self._on_answer(name, question, arguments[0])
            return
        try:
            result = self._serves[name](*arguments)
        except SipagentError as error:
            self._answer(FAILURE, question, str(error))
        except Exception as error:  # noqa: BLE001 - a bug costs what was asked for, and no other call
            self._crashed(error)
            self._answer(FAILURE, question, repr(error))
        else:
            if isinstance(result, Awaitable):
                task = self._loop.create_task(self._finish(question, result))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._answer(ANSWER, question, result)

    async def _finish(self, question: int | None, work: Awaitable[object]) -> None:
        try:
            result = await work
        except SipagentError as error:
            self._answer(FAILURE, question, str(error))
        except Exception as error:  # noqa: BLE001 - as above
            self._crashed(error)
            self._answer(FAILURE, question, repr(error))
        else:
            self._answer(ANSWER, question, result)

    def _answer(self, kind: str, question: int | None, value: object) -> None:
        if question is not None:
            self._send((kind, question, (value,)))

    def _on_answer(self, kind: str, question: int | None, value: Any) -> None:
        future = self._asked.get(question or 0)
        if future is None or future.done():
            return
        if kind == ANSWER:
            future.set_result(value)
        else:
            future.set_exception(SipagentError(value))

    def _fail(self) -> None:
        if not self.is_closed:
            self.close()
            self._lost()


ANSWER, FAILURE = "=", "!"
"""Stand where a name would be."""
