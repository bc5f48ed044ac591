import asyncio
from collections import deque
from functools import partial
from random import Random

import pytest
from loopback import HOST, Clean, until

from sipagent.aio.driver import Driver
from sipagent.aio.media import Media
from sipagent.aio.ticker import Ticker
from sipagent.aio.udp import Address, RtpPorts, UdpSocket
from sipagent.call.events import SendRtcp
from sipagent.call.talker import Talker
from sipagent.errors import SipagentError


class Numberer(Talker[SendRtcp]):
    """Sends a numbered packet a tick, and keeps what comes."""

    def __init__(self) -> None:
        self.peer: Address | None = None
        self.beat_ms = 20
        self.rtp: list[tuple[bytes, Address]] = []
        self.rtcp: list[tuple[bytes, Address]] = []
        self.ticks = 0
        self.is_silent = False
        self.received_at: list[float | None] = []
        self.outputs: deque[SendRtcp] = deque()
        self.media: Media | None = None

    @property
    def remote(self) -> Address | None:
        return self.peer

    @property
    def frame_ms(self) -> int:
        return self.beat_ms

    def poll(self) -> SendRtcp | None:
        return self.outputs.popleft() if self.outputs else None

    def get_timer(self) -> float | None:
        return None

    def handle_timer(self, *, now: float) -> None:
        raise AssertionError("no timer was set")

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> bool:
        self.rtp.append((data, source))
        assert self.media is not None
        self.received_at.append(self.media.received_at)
        return False

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        self.rtcp.append((data, source))

    def next_packet(self, *, now: float) -> bytes | None:
        self.ticks += 1
        return None if self.is_silent else b"packet %d" % self.ticks


class Bench:
    def __init__(self, ports: tuple[int, int] = (28_000, 29_999)) -> None:
        self.talker = Numberer()
        self.ticker = Ticker()
        self.media = self.talker.media = Media(RtpPorts(HOST, ports, random=Random()), self.ticker)
        self.crashes: list[Exception] = []
        self.driver: Driver[SendRtcp] = Driver(self.talker, carry=self.media.send_rtcp, crashed=self.crashes.append)
        self.heard: list[tuple[bytes, Address]] = []
        self.peer = UdpSocket((HOST, 0), lambda data, source: self.heard.append((data, source)))

    def close(self) -> None:
        self.driver.close()
        self.media.close()
        self.peer.close()
        assert self.crashes == []


def test_packets_go_each_way_and_rtcp_by_its_own_port_or_the_same(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        media, talker, peer = bench.media, bench.talker, bench.peer
        talker.peer = peer.address
        peer.send(b"too early", (HOST, media.port))
        media.attach(talker, bench.driver)
        await until(lambda: len(bench.heard) >= 3)
        assert [data for data, _ in bench.heard[:3]] == [b"packet 1", b"packet 2", b"packet 3"]
        assert {source for _, source in bench.heard} == {(HOST, media.port)}
        peer.send(b"media", (HOST, media.port))
        peer.send(b"report", (HOST, media.port + 1))
        await until(lambda: any(data == b"media" for data, _ in talker.rtp) and talker.rtcp)
        assert talker.rtp[-1] == (b"media", peer.address)
        assert talker.rtcp == [(b"report", peer.address)]
        assert talker.received_at[-1] is not None, "a packet knows when it was read, in its own stack"
        assert media.received_at is None
        talker.is_silent = True
        await until(lambda: talker.ticks > 5)
        bench.heard.clear()
        for mux in (True, False):
            talker.outputs.append(SendRtcp(b"bye", peer.address, mux))
        bench.driver.feed(lambda *, now: None)
        await until(lambda: len(bench.heard) >= 2)
        assert sorted(source[1] for data, source in bench.heard if data == b"bye") == [media.port, media.port + 1]
        assert media.unsent == 0
        bench.close()

    run(main())


def test_without_a_destination_nothing_is_sent_and_what_can_not_be_is_counted(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.media.attach(bench.talker, bench.driver)
        await until(lambda: bench.talker.ticks >= 2)
        assert bench.media.unsent == 0
        bench.talker.peer = ("::1", 9)
        ticks = bench.talker.ticks
        await until(lambda: bench.talker.ticks >= ticks + 2)
        assert bench.media.unsent >= 1
        bench.close()

    run(main())


def test_closing_within_a_packet_s_stack_frees_the_ports_and_the_beat(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        port = bench.media.port
        bench.media.attach(bench.talker, bench.driver)

        def receive(data: bytes, source: Address, *, now: float) -> None:
            bench.talker.rtp.append((data, source))
            bench.driver.feed(partial(stop))

        def stop(*, now: float) -> None:
            bench.driver.close()
            bench.media.close()

        bench.talker.receive_rtp = receive  # type: ignore[method-assign]
        for _ in range(3):
            bench.peer.send(b"x", (HOST, port))
        await until(lambda: bench.driver.is_closed)
        ticks = bench.talker.ticks
        again = Bench((port, port + 1))
        again.media.attach(again.talker, again.driver)
        await until(lambda: again.talker.ticks >= 3)
        assert bench.talker.ticks == ticks
        assert len(bench.talker.rtp) == 1
        again.close()
        bench.peer.close()

    run(main())


def test_no_port_is_free(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        with pytest.raises(SipagentError, match="no free RTP port"):
            Media(RtpPorts(HOST, (bench.media.port, bench.media.port + 1), random=Random()), bench.ticker)
        bench.close()
        await asyncio.sleep(0)

    run(main())


def test_a_peer_that_is_heard_is_followed_and_left_when_it_moves(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        media, talker, peer = bench.media, bench.talker, bench.peer
        other = UdpSocket((HOST, 0), lambda data, source: bench.heard.append((data, source)))
        media.attach(talker, bench.driver)
        for address, sender in ((peer.address, peer), (other.address, other), (peer.address, peer)):
            talker.peer = address
            ticks = talker.ticks
            await until(lambda ticks=ticks: talker.ticks > ticks + 1)
            sender.send(b"before", (HOST, media.port))
            await until(lambda address=address: media._rtp._peer == address)
            bench.heard.clear()
            talker.rtp.clear()
            sender.send(b"after", (HOST, media.port))
            await until(lambda: bool(talker.rtp) and len(bench.heard) >= 3)
            assert talker.rtp == [(b"after", address)]
            assert {source for _, source in bench.heard} == {(HOST, media.port)}
        other.close()
        bench.close()

    run(main())
