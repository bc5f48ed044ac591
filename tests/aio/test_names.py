"""Look-ups without a network: the loop's own resolver is replaced."""

import asyncio
import socket
from typing import Any

import pytest

from sipagent.aio.names import MAX_LOOK_UPS, Names, look_up


class Resolver:
    """Stands for the system's; every look-up waits until it is let go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked: list[str] = []
        self.let_go = asyncio.Event()
        loop.getaddrinfo = self.getaddrinfo  # type: ignore[method-assign, assignment]

    async def getaddrinfo(self, host: str, _port: None, *, family: int) -> list[Any]:
        self.asked.append(host)
        await self.let_go.wait()
        if host == "nowhere.example":
            raise OSError("no such host")
        address = "2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1"
        return [(family, 0, 0, "", (address, 0))]


def test_all_who_wait_are_told_in_their_order_after_one_look_up() -> None:
    async def scenario() -> None:
        names, resolver = Names(), Resolver(asyncio.get_running_loop())
        told: list[tuple[int, str | None]] = []
        done = asyncio.Event()
        for number in range(3):
            names.find("a.example", ipv6=False, found=lambda address, number=number: told.append((number, address)))
        names.find("a.example", ipv6=False, found=lambda _: done.set())
        resolver.let_go.set()
        await asyncio.wait_for(done.wait(), 5)
        assert told == [(0, "192.0.2.1"), (1, "192.0.2.1"), (2, "192.0.2.1")]
        names.find("a.example", ipv6=False, found=lambda address: told.append((3, address)))
        assert told[-1] == (3, "192.0.2.1"), "known now, and told at once"
        assert resolver.asked == ["a.example"]

    asyncio.run(scenario())


@pytest.mark.parametrize(("ipv6", "address"), [(False, "192.0.2.1"), (True, "2001:db8::1")])
def test_the_address_is_of_the_family_that_we_send_by(ipv6: bool, address: str) -> None:
    async def scenario() -> None:
        names, resolver = Names(), Resolver(asyncio.get_running_loop())
        resolver.let_go.set()
        found: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        names.find("a.example", ipv6=ipv6, found=found.set_result)
        assert await asyncio.wait_for(found, 5) == address

    asyncio.run(scenario())


def test_slow_names_hold_up_no_more_than_so_many() -> None:
    async def scenario() -> None:
        names, resolver = Names(), Resolver(asyncio.get_running_loop())
        told: list[str | None] = []
        for number in range(MAX_LOOK_UPS + 3):
            names.find(f"{number}.example", ipv6=False, found=told.append)
        assert told == [None] * 3
        names.close()
        assert not resolver.let_go.is_set()

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["nowhere.example", "a" * 64 + ".example"])
def test_what_has_no_address(host: str) -> None:
    async def scenario() -> None:
        if host == "nowhere.example":
            Resolver(asyncio.get_running_loop()).let_go.set()
        assert await look_up(host) is None

    asyncio.run(scenario())
