import asyncio
import select
from collections.abc import Callable
from typing import Any

import pytest
from loopback import Clean

from sipagent.aio.outbox import Outbox
from sipagent.aio.pulse import GRID_S
from sipagent.aio.udp import UdpSocket
from sipagent.aio.watch import FEW, MANY, LoopWatch, SharedWatch, make_watch, pause_for

HOST = "127.0.0.1"

needs_epoll = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


class Connection:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.send: Callable[[bytes], None] = self.sent.append


class Inbox:
    def __init__(self) -> None:
        self.datagrams: list[bytes] = []
        self.arrived = asyncio.Event()

    def receive(self, data: bytes, _source: tuple[str, int]) -> None:
        self.datagrams.append(data)
        self.arrived.set()

    async def wait_for(self, count: int) -> list[bytes]:
        while len(self.datagrams) < count:
            self.arrived.clear()
            await self.arrived.wait()
        return self.datagrams


@pytest.mark.parametrize("kind", [LoopWatch, pytest.param(SharedWatch, marks=needs_epoll)])
def test_every_socket_hears_what_is_sent_to_it(run: Clean, kind: type[LoopWatch | SharedWatch]) -> None:
    async def main() -> None:
        watch, sender = kind(), UdpSocket((HOST, 0), lambda data, source: None)
        inboxes = [Inbox() for _ in range(20)]
        sockets = [UdpSocket((HOST, 0), inbox.receive, watch=watch) for inbox in inboxes]
        for number in range(50):
            for socket in sockets:
                sender.send(b"%d" % number, socket.address)
        for inbox in inboxes:
            assert await inbox.wait_for(50) == [b"%d" % number for number in range(50)]
        for socket in (*sockets, sender):
            socket.close()

    run(main())


@needs_epoll
def test_who_is_closed_by_another_in_the_same_turn_hears_nothing(run: Clean) -> None:
    async def main() -> None:
        watch, sender = SharedWatch(), UdpSocket((HOST, 0), lambda data, source: None)
        heard: list[int] = []
        sockets: list[UdpSocket] = []
        done = asyncio.Event()

        def receive(number: int) -> None:
            heard.append(number)
            sockets[1 - number].close()
            done.set()

        sockets += [UdpSocket((HOST, 0), lambda d, s, n=number: receive(n), watch=watch) for number in (0, 1)]  # type: ignore[misc]
        for socket in sockets:
            sender.send(b"x", socket.address)
        await done.wait()
        await asyncio.sleep(0)
        assert len(heard) == 1
        sockets[heard[0]].close()
        sender.close()

    run(main())


@needs_epoll
def test_a_watch_that_watches_nobody_leaves_the_loop_alone_and_can_begin_anew(run: Clean) -> None:
    async def main() -> None:
        watch, sender = SharedWatch(), UdpSocket((HOST, 0), lambda data, source: None)
        for _ in range(3):
            inbox = Inbox()
            socket = UdpSocket((HOST, 0), inbox.receive, watch=watch)
            sender.send(b"once", socket.address)
            assert await inbox.wait_for(1) == [b"once"]
            socket.close()
            assert watch._epoll is None
            assert watch._pulse is None
        sender.close()

    run(main())


@needs_epoll
def test_a_reader_that_raises_keeps_nobody_else_from_being_read(run: Clean) -> None:
    async def main() -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        watch, sender, inbox = SharedWatch(), UdpSocket((HOST, 0), lambda data, source: None), Inbox()

        def fail(_data: bytes, _source: tuple[str, int]) -> None:
            raise ValueError("a bug")

        bad = UdpSocket((HOST, 0), fail, watch=watch)
        good = UdpSocket((HOST, 0), inbox.receive, watch=watch)
        for socket in (bad, good, bad, good):
            sender.send(b"x", socket.address)
        assert await inbox.wait_for(2) == [b"x", b"x"]
        assert [str(context["exception"]) for context in told] == ["a bug", "a bug"]
        for socket in (bad, good, sender):
            socket.close()

    run(main())


@needs_epoll
def test_what_packets_give_rise_to_waits_until_all_are_read(run: Clean) -> None:
    async def main() -> None:
        outbox, connection = Outbox(), Connection()
        watch, sender = SharedWatch(outbox), UdpSocket((HOST, 0), lambda data, source: None)
        taken: list[tuple[bytes, int]] = []
        done = asyncio.Event()

        def receive(data: bytes, _source: tuple[str, int]) -> None:
            outbox.send(connection, data)
            taken.append((data, len(connection.sent)))
            if len(taken) == 3:
                outbox.when_sent(done.set)

        sockets = [UdpSocket((HOST, 0), receive, watch=watch) for _ in range(3)]
        for number, socket in enumerate(sockets):
            sender.send(b"%d" % number, socket.address)
        await done.wait()
        assert sorted(taken) == [(b"0", 0), (b"1", 0), (b"2", 0)]
        assert sorted(connection.sent) == [b"0", b"1", b"2"]
        for socket in (*sockets, sender):
            socket.close()

    run(main())


@needs_epoll
def test_after_a_longer_pause_as_much_of_a_socket_is_read_as_several_looks_would(run: Clean) -> None:
    async def main() -> None:
        watch, sender = SharedWatch(), UdpSocket((HOST, 0), lambda data, source: None)
        in_one_turn: list[int] = []
        turn, inbox = 0, Inbox()

        def receive(data: bytes, source: tuple[str, int]) -> None:
            in_one_turn.append(turn)
            inbox.receive(data, source)

        socket = UdpSocket((HOST, 0), receive, watch=watch)
        for number in range(6):
            sender.send(b"%d" % number, socket.address)
        while len(inbox.datagrams) < 6:
            turn += 1
            await asyncio.sleep(0)
        first = in_one_turn[0]
        assert in_one_turn.count(first) == round(pause_for(1) / GRID_S)
        assert inbox.datagrams == [b"%d" % number for number in range(6)]
        for each in (socket, sender):
            each.close()

    run(main())


def test_the_fewer_bring_packets_the_longer_it_waits_for_some_to_come_together() -> None:
    assert [pause_for(sockets) for sockets in (3, FEW - 1, FEW, MANY - 1, MANY, 3_000)] == [
        0.005, 0.005, 0.0025, 0.0025, 0.00125, 0.00125,
    ]  # fmt: skip


def test_there_is_one_for_every_system(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        assert isinstance(make_watch(), SharedWatch if hasattr(select, "epoll") else LoopWatch)
        monkeypatch.delattr(select, "epoll", raising=False)
        assert isinstance(make_watch(), LoopWatch)

    run(main())
