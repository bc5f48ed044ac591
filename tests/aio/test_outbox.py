"""What a look gives rise to, and when it is sent."""

import asyncio
from collections.abc import Callable
from typing import Any

from loopback import Clean

from sipagent.aio.outbox import Outbox


class Connection:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.send: Callable[[bytes], None] = self.sent.append


def test_closed_it_sends_at_once() -> None:
    outbox, connection, told = Outbox(), Connection(), list[int]()
    outbox.send(connection, b"a")
    outbox.when_sent(lambda: told.append(len(connection.sent)))
    assert (connection.sent, told) == ([b"a"], [1])


def test_open_it_keeps_until_it_is_flushed_or_closed() -> None:
    outbox, connection, told = Outbox(), Connection(), list[int]()
    outbox.open()
    for data in (b"a", b"b"):
        outbox.send(connection, data)
    outbox.when_sent(lambda: told.append(len(connection.sent)))
    assert (connection.sent, told) == ([], [])
    outbox.flush()
    assert (connection.sent, told) == ([b"a", b"b"], [2])
    outbox.send(connection, b"c")
    outbox.close()
    outbox.send(connection, b"d")
    assert connection.sent == [b"a", b"b", b"c", b"d"]
    assert told == [2]


def test_what_is_lost_by_then_gets_nothing() -> None:
    outbox, connection = Outbox(), Connection()
    outbox.open()
    outbox.send(connection, b"a")
    connection.send = lambda data: None
    outbox.close()
    assert connection.sent == []


def test_what_is_said_while_it_sends_is_sent_too() -> None:
    outbox, connection, other = Outbox(), Connection(), Connection()
    connection.send = lambda data: outbox.send(other, data)
    outbox.open()
    outbox.send(connection, b"a")
    outbox.close()
    assert other.sent == [b"a"]


def test_a_connection_that_raises_keeps_the_others_from_nothing(run: Clean) -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        outbox, bad, good = Outbox(), Connection(), Connection()
        bad.send = lambda data: exec("raise ValueError(data)")
        outbox.open()
        for each in (bad, good):
            outbox.send(each, b"a")
        outbox.close()
        assert good.sent == [b"a"]
        assert [str(context["exception"]) for context in told] == ["b'a'"]

    run(main())
