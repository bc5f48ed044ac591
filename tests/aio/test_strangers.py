"""Strangers on real sockets: they spray before the caller's first packet and in the call, and gain nothing by it."""

import asyncio
from itertools import count
from pathlib import Path
from struct import pack

import pytest
from loopback import HOST, Clean, until, within
from serving import World, serving

from sipagent.aio.udp import UdpSocket
from sipagent.call import events

pytestmark = pytest.mark.usefixtures("nothing_unheard")

NEIGHBOUR = "127.0.0.2"
WITHIN_PACKETS = 10
"""A rebind is followed within 200 ms."""
SPOKEN = 40
"""Packets: more than interrupts the agent."""


def speech(number: int, *, ssrc: int = 0x5EED) -> bytes:
    """A packet of 20 ms that nobody takes for silence."""
    return pack("!BBHII", 0x80, 0, number & 0xFFFF, 160 * number, ssrc) + (b"\x8f" * 40 + b"\x0f" * 40) * 2


class Stranger:
    """Sends audio and reports to both ports, and listens for whatever comes back."""

    def __init__(self, host: str) -> None:
        self.received: list[bytes] = []
        self.socket = UdpSocket((host, 0), lambda data, source: self.received.append(data))
        self._numbers = count(7000)

    def spray(self, port: int, packets: int) -> None:
        for number in range(packets):
            self.socket.send(speech(next(self._numbers), ssrc=0xBAD), (HOST, port))
            if number % 10 == 0:
                self.socket.send(bytes.fromhex("80c9000100000bad"), (HOST, port))
                self.socket.send(bytes.fromhex("80c9000100000bad"), (HOST, port + 1))


async def talk(socket: UdpSocket, port: int, numbers: range, strangers: list[Stranger]) -> None:
    """Send in the caller's pace, while strangers send twice as much."""
    for number in numbers:
        socket.send(speech(number), (HOST, port))
        for stranger in strangers:
            stranger.spray(port, 2)
        await asyncio.sleep(0.02)


async def moved(port: int, first: int) -> tuple[UdpSocket, int]:
    """Go on from another port; return it and how many packets went out before the agent's came there."""
    arrived = asyncio.Event()
    socket = UdpSocket((HOST, 0), lambda data, source: arrived.set())
    for sent in count():
        if arrived.is_set():
            return socket, sent
        socket.send(speech(first + sent), (HOST, port))
        await asyncio.sleep(0.02)
    raise AssertionError("count ends")


def port_of(world: World) -> int:
    (runner,) = world.service._runners.values()
    return runner._media.port


def test_strangers_are_not_heard_nor_sent_to_and_a_rebind_is_followed(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        strangers = [Stranger(HOST), Stranger(NEIGHBOUR)]
        async with serving(tmp_path) as world:
            caller = await world.answered()
            await within(caller.heard.wait())
            port = port_of(world)
            for stranger in strangers:
                stranger.spray(port, 100)
            await asyncio.sleep(0.1)
            assert world.ledger.all(events.SpeechStarted) == []
            await talk(caller.rtp, port, range(SPOKEN), strangers)
            await until(lambda: world.ledger.all(events.SpeechStarted))
            caller.rtp.close()
            caller.rtp, sent = await moved(port, SPOKEN)
            assert sent <= WITHIN_PACKETS
            caller.hang_up()
            (ended,) = await world.over()
            sprayed = 2 * (100 + SPOKEN * 2)
            assert ended.media.packets_received <= SPOKEN + sent
            assert ended.media.from_strangers >= sprayed
        assert [stranger.received for stranger in strangers] == [[], []]
        for stranger in strangers:
            stranger.socket.close()

    run(main())
