import asyncio
import errno
import socket
from contextlib import ExitStack
from typing import Any

import pytest
from loopback import HOST, Clean, within

from sipagent.aio.tcp import connect


def listener(*, backlog: int = 1) -> socket.socket:
    listening = socket.socket()
    listening.bind((HOST, 0))
    listening.listen(backlog)
    return listening


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_it_connects_to_an_address_and_to_a_name(run: Clean, host: str) -> None:
    async def main() -> None:
        with listener() as listening, await within(connect(host, port_of(listening))) as opened:
            assert opened.getpeername() == listening.getsockname()
            assert not opened.getblocking()

    run(main())


def test_who_does_not_listen_refuses(run: Clean) -> None:
    async def main() -> None:
        with listener() as listening:
            port = port_of(listening)
        with pytest.raises(ConnectionRefusedError):
            await within(connect(HOST, port))

    run(main())


def test_a_name_that_is_none(run: Clean) -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"."):
            await within(connect("nobody.invalid", 1))

    run(main())


def test_the_next_address_is_tried(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with listener() as listening, listener() as closed:
            places = [(socket.AF_INET, closed.getsockname()), (socket.AF_INET, listening.getsockname())]
            closed.close()

            async def look_up(_host: str, _port: int) -> list[Any]:
                return places

            monkeypatch.setattr("sipagent.aio.tcp._look_up", look_up)
            with await within(connect("model.example", 1)) as opened:
                assert opened.getpeername() == listening.getsockname()
            places[:] = []
            with pytest.raises(OSError, match=r"model\.example has no address") as caught:
                await within(connect("model.example", 1))
            assert caught.value.errno == errno.EHOSTUNREACH

    run(main())


def test_who_waits_may_give_up(run: Clean) -> None:
    async def main() -> None:
        with listener(backlog=0) as listening, ExitStack() as waiting:
            for _ in range(3):  # more than are let wait
                other = waiting.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(listening.getsockname())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connect(HOST, port_of(listening))

    run(main())
