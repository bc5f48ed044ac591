import asyncio
import socket
from random import Random

import pytest
from loopback import HOST, Clean, until, within

from sipagent.aio import udp as udp_module
from sipagent.aio.carrier import Carrier
from sipagent.aio.udp import MAX_RTP_DATAGRAM, Address, RtpPorts, RtpSocket, UdpSocket, local_address_toward
from sipagent.aio.watch import make_watch
from sipagent.errors import SipagentError


def ignore(data: bytes, source: Address) -> None:
    """Nobody listens."""


class Inbox(Carrier):
    def __init__(self) -> None:
        self.datagrams: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()

    def receive(self, data: bytes, source: Address) -> None:
        self.datagrams.put_nowait((data, source))

    def receive_packet(self, data: bytes, source: Address) -> None:
        self.receive(data, source)

    async def next(self) -> tuple[bytes, Address]:
        return await within(self.datagrams.get())


def held(port: int) -> socket.socket:
    """A port that somebody else holds."""
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    other.bind((HOST, port))
    return other


def free_even_pairs(count: int) -> int:
    """The first of so many pairs of ports in a row that nobody holds."""
    for first in range(30_000, 32_700, 2 * count):
        probes = []
        try:
            probes = [held(port) for port in range(first, first + 2 * count)]
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        if len(probes) == 2 * count:
            return first
    raise AssertionError("no free ports on this machine")


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_a_datagram_goes_and_comes_with_its_source(run: Clean, host: str) -> None:
    async def main() -> None:
        inbox = Inbox()
        here, there = UdpSocket((host, 0), ignore), UdpSocket((host, 0), inbox.receive)
        here.send(b"hello", there.address)
        here.send(b"", there.address)
        assert await inbox.next() == (b"hello", here.address)
        assert await inbox.next() == (b"", here.address)
        assert (here.unsent, there.unsent) == (0, 0)
        here.close()
        there.close()

    run(main())


def test_a_burst_arrives_in_order_and_one_that_is_too_long_is_cut(run: Clean) -> None:
    async def main() -> None:
        inbox = Inbox()
        here, there = UdpSocket((HOST, 0), ignore), UdpSocket((HOST, 0), inbox.receive, max_size=MAX_RTP_DATAGRAM)
        for number in range(100):
            here.send(b"%d" % number, there.address)
        here.send(bytes(5000), there.address)
        assert [(await inbox.next())[0] for _ in range(100)] == [b"%d" % number for number in range(100)]
        assert len((await inbox.next())[0]) == MAX_RTP_DATAGRAM
        here.close()
        there.close()

    run(main())


def test_what_the_kernel_does_not_take_is_counted(run: Clean) -> None:
    async def main() -> None:
        here = UdpSocket((HOST, 0), ignore)
        here.send(bytes(70_000), (HOST, 9))
        here.send(b"to another family", ("::1", 9))
        here.send(b"to no port", (HOST, 0))
        assert here.unsent == 3
        here.close()

    run(main())


def test_a_socket_outlives_the_icmp_of_a_port_that_is_closed(run: Clean) -> None:
    async def main() -> None:
        inbox = Inbox()
        here = UdpSocket((HOST, 0), inbox.receive)
        gone = UdpSocket((HOST, 0), ignore)
        nowhere = gone.address
        gone.close()
        for _ in range(3):
            here.send(b"x", nowhere)
        here.send(b"to myself", here.address)
        assert (await inbox.next())[0] == b"to myself"
        here.close()

    run(main())


def test_a_port_that_is_taken_raises_and_leaves_nothing_open(run: Clean) -> None:
    async def main() -> None:
        here = UdpSocket((HOST, 0), ignore)
        with pytest.raises(OSError, match="in use"):
            UdpSocket(here.address, ignore)
        here.close()

    run(main())


def test_closing_within_a_datagram_s_stack(run: Clean) -> None:
    async def main() -> None:
        got: list[bytes] = []

        def receive(data: bytes, source: Address) -> None:
            got.append(data)
            there.close()

        here, there = UdpSocket((HOST, 0), ignore), UdpSocket((HOST, 0), receive)
        here.send(b"first", there.address)
        here.send(b"second", there.address)
        await until(lambda: got)
        assert got == [b"first"]
        here.close()

    run(main())


async def all_of(inbox: Inbox, count: int) -> list[tuple[bytes, Address]]:
    return [await inbox.next() for _ in range(count)]


@pytest.mark.parametrize("host", [HOST, "::1"])
def test_who_is_followed_and_strangers_are_heard_as_who_they_are(run: Clean, host: str) -> None:
    async def main() -> None:
        inbox, answers = Inbox(), Inbox()
        rtp = RtpSocket((host, 0), inbox, watch=make_watch())
        peer, stranger = UdpSocket((host, 0), answers.receive), UdpSocket((host, 0), answers.receive)
        peer.send(b"before", rtp.address)
        rtp.follow(peer.address)
        for number in range(20):
            peer.send(b"from the peer %d" % number, rtp.address)
            stranger.send(b"from a stranger %d" % number, rtp.address)
        heard = await all_of(inbox, 41)
        assert {source for data, source in heard if b"stranger" in data} == {stranger.address}
        assert [data for data, source in heard if source == stranger.address] == [
            b"from a stranger %d" % number for number in range(20)
        ]
        assert sorted(data for data, source in heard if source == peer.address) == sorted(
            [b"before", *(b"from the peer %d" % number for number in range(20))]
        )
        rtp.send(b"to the peer", peer.address)
        rtp.send(b"to the stranger", stranger.address)
        assert {await answers.next(), await answers.next()} == {
            (b"to the peer", rtp.address),
            (b"to the stranger", rtp.address),
        }
        assert rtp.unsent == 0
        for each in (rtp, peer, stranger):
            each.close()

    run(main())


def test_another_is_followed_when_the_peer_has_moved_and_both_are_heard(run: Clean) -> None:
    async def main() -> None:
        inbox, answers = Inbox(), Inbox()
        rtp = RtpSocket((HOST, 0), inbox, watch=make_watch())
        peers = [UdpSocket((HOST, 0), answers.receive) for _ in range(3)]
        for peer in peers:
            rtp.follow(peer.address)
            rtp.follow(peer.address)  # again is no news
            for each in peers:
                each.send(b"hello", rtp.address)
            heard = await all_of(inbox, 3)
            assert {source for _, source in heard} == {each.address for each in peers}
            rtp.send(b"answer", peer.address)
            assert await answers.next() == (b"answer", rtp.address)
        for each in (rtp, *peers):
            each.close()

    run(main())


def test_what_overtook_the_connecting_is_heard_as_whose_it_is(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        inbox = Inbox()
        rtp = RtpSocket((HOST, 0), inbox, watch=make_watch())
        peer, stranger = UdpSocket((HOST, 0), ignore), UdpSocket((HOST, 0), ignore)
        bind = udp_module._bind_beside

        def bind_and_wait(bound: socket.socket, other: socket.socket) -> None:
            bind(bound, other)
            stranger.send(b"just then", rtp.address)  # Linux gives it to whom was bound last

        monkeypatch.setattr(udp_module, "_bind_beside", bind_and_wait)
        rtp.follow(peer.address)
        assert await inbox.next() == (b"just then", stranger.address)
        for each in (rtp, peer, stranger):
            each.close()

    run(main())


def test_nobody_else_can_have_the_port_and_it_is_free_afterwards(run: Clean) -> None:
    async def main() -> None:
        rtp = RtpSocket((HOST, 0), Inbox(), watch=make_watch())
        peer = UdpSocket((HOST, 0), ignore)
        rtp.follow(peer.address)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(rtp.address)
        rtp.close()
        held(rtp.address[1]).close()
        peer.close()

    run(main())


def test_a_peer_whose_port_is_closed_for_a_while_costs_no_packet_afterwards(run: Clean) -> None:
    async def main() -> None:
        inbox, answers = Inbox(), Inbox()
        rtp = RtpSocket((HOST, 0), inbox, watch=make_watch())
        peer = UdpSocket((HOST, 0), ignore)
        rtp.follow(peer.address)
        peer.close()
        for _ in range(5):
            rtp.send(b"to nobody", peer.address)
            await asyncio.sleep(0)  # word of it comes
        back = UdpSocket(peer.address, answers.receive)
        for number in range(5):
            rtp.send(b"%d" % number, back.address)
            back.send(b"%d" % number, rtp.address)
        assert [data for data, _ in await all_of(answers, 5)] == [b"%d" % number for number in range(5)]
        assert [data for data, _ in await all_of(inbox, 5)] == [b"%d" % number for number in range(5)]
        rtp.close()
        back.close()

    run(main())


def test_beside_an_ipv4_call_at_the_same_port_a_peer_is_followed_by_ipv6(run: Clean) -> None:
    async def main() -> None:
        inbox, four = Inbox(), Inbox()
        rtp = RtpSocket(("::", 0), inbox, watch=make_watch())
        other = RtpSocket(("0.0.0.0", rtp.address[1]), four, watch=make_watch())
        peer = UdpSocket(("::1", 0), ignore)
        rtp.follow(peer.address)
        assert rtp._connected is not None
        peer.send(b"x", ("::1", rtp.address[1]))
        assert await inbox.next() == (b"x", peer.address)
        for each in (rtp, other, peer):
            each.close()

    run(main())


def test_a_loop_that_would_lose_a_connected_socket_gets_none(run: Clean) -> None:
    async def main() -> None:
        inbox = Inbox()
        rtp, peer = RtpSocket((HOST, 0), inbox), UdpSocket((HOST, 0), ignore)
        rtp.follow(peer.address)
        assert rtp._connected is None
        peer.send(b"x", rtp.address)
        assert await inbox.next() == (b"x", peer.address)
        rtp.close()
        peer.close()

    run(main())


def test_where_nobody_can_be_followed_all_goes_on(run: Clean) -> None:
    async def main() -> None:
        inbox = Inbox()
        rtp = RtpSocket((HOST, 0), inbox, watch=make_watch())
        rtp.follow(("::1", 4000))
        rtp.send(b"to myself", rtp.address)
        assert await inbox.next() == (b"to myself", rtp.address)
        rtp.close()
        rtp.follow(rtp.address)  # too late, and no harm

    run(main())


def test_a_pair_is_an_even_port_and_the_next(run: Clean) -> None:
    async def main() -> None:
        first = free_even_pairs(8)
        inbox, control = Inbox(), Inbox()
        rtp, rtcp = RtpPorts(HOST, (first + 1, first + 12), random=Random(3)).open(inbox, control.receive)
        assert rtp.address[1] % 2 == 0
        assert first + 2 <= rtp.address[1] <= first + 10, "within the range, whose ends are odd and even"
        assert rtcp.address[1] == rtp.address[1] + 1
        rtp.send(b"media", rtp.address)
        rtp.send(b"report", rtcp.address)
        assert (await inbox.next())[0] == b"media"
        assert (await control.next())[0] == b"report"
        rtp.close()
        rtcp.close()

    run(main())


@pytest.mark.parametrize("taken", ["its RTP port", "its RTCP port"])
def test_a_pair_that_somebody_else_holds_is_passed_over(run: Clean, taken: str) -> None:
    async def main() -> None:
        first = free_even_pairs(3)
        others = [held(first + 2 * pair + (taken == "its RTCP port")) for pair in range(2)]
        for seed in range(10):  # whichever is tried first
            rtp, rtcp = RtpPorts(HOST, (first, first + 5), random=Random(seed)).open(Inbox(), ignore)
            assert rtp.address[1] == first + 4
            rtp.close()
            rtcp.close()
        for other in others:
            other.close()

    run(main())


def test_every_pair_of_a_range_can_be_had_and_then_no_more(run: Clean) -> None:
    async def main() -> None:
        count = 100
        first = free_even_pairs(count)
        ports = RtpPorts(HOST, (first, first + 2 * count - 1), random=Random(5))
        pairs = [ports.open(Inbox(), ignore) for _ in range(count)]
        assert len({rtp.address for rtp, _ in pairs}) == count
        with pytest.raises(SipagentError, match=f"no free RTP port between {first} and {first + 2 * count - 1}"):
            ports.open(Inbox(), ignore)
        pairs[41][0].close()
        pairs[41][1].close()
        again, control = ports.open(Inbox(), ignore)
        assert again.address == pairs[41][0].address
        for one in (again, control, *(one for index, pair in enumerate(pairs) if index != 41 for one in pair)):
            one.close()

    run(main())


def test_the_address_toward_a_peer_is_the_one_it_sees() -> None:
    assert local_address_toward((HOST, 5060)) == HOST
    assert local_address_toward(("::1", 5060)) == "::1"
    with pytest.raises(OSError):  # noqa: PT011 - no way leads there, and systems differ in how they say so
        local_address_toward(("255.255.255.255", 9))
