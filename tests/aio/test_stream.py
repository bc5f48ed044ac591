import asyncio
import socket

import pytest
from connections import BAD, Bench, Peer, answering, connect, listening
from loopback import HOST, WITHIN_S, Clean, options, until, within

from sipagent.aio import connection as connection_module
from sipagent.aio import stream as stream_module
from sipagent.aio.stream import free_port
from sipagent.sip.events import Flow


def test_a_message_in_pieces(run: Clean) -> None:
    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            message = options(bench.port, transport="TCP")
            for at in range(len(message)):
                peer.send(message[at : at + 1])
                await peer.writer.drain()
                await asyncio.sleep(0)
            data, flow = await bench.next()
            assert data == message
            assert flow == Flow("TCP", tuple(peer.address[:2]), (HOST, bench.port))
            await peer.close()

    run(main())


def test_messages_in_one_piece_keep_their_order_and_answers_go_back_on_the_connection(run: Clean) -> None:
    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            messages = [options(bench.port, branch=str(number)) for number in range(50)]
            peer.send(b"\r\n".join(messages))
            got = [await bench.next() for _ in range(50)]
            assert [data for data, _ in got] == messages
            bench.streams.send(b"answer", got[0][1])
            assert await peer.read(6) == b"answer"
            await peer.close()
            await until(lambda: bench.failed)
            assert bench.failed == [got[0][1]]

    run(main())


def test_a_ping_of_ours_is_answered_and_told(run: Clean) -> None:
    async def main() -> None:
        async with listening() as bench:
            there = Bench()
            flow = Flow("TCP", (HOST, bench.port))
            assert not there.streams.ping(flow)
            there.streams.send(options(bench.port), flow)
            _, back = await bench.next()
            assert there.streams.ping(flow)
            assert (await within(there.ponged.get())).remote == flow.remote
            assert bench.streams.ping(back)
            assert await within(bench.ponged.get()) == back
            await there.streams.close()

    run(main())


def test_a_response_whose_connection_is_lost_opens_none(run: Clean) -> None:
    async def main() -> None:
        async with answering() as (port, peers):
            bench = Bench()
            flow = Flow("TCP", (HOST, port))
            bench.streams.send(b"SIP/2.0 200 OK\r\n\r\n", flow)
            assert bench.failed == [flow]
            assert peers.empty()

    run(main())


def test_a_connection_that_we_close_is_used_no_more(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its last octets linger, what is sent goes by another."""
    monkeypatch.setattr(connection_module, "TALKED_IDLE_S", 0.1)
    monkeypatch.setattr(connection_module, "MAX_UNSENT", 1 << 30)

    async def main() -> None:
        async with answering() as (port, peers):
            bench = Bench()
            flow = Flow("TCP", (HOST, port))
            bench.streams.send(b"hello", flow)
            first = await within(peers.get())
            first.send(options(port))
            await bench.next()
            first.writer.transport.pause_reading()
            bench.streams.send(bytes(16 * 1024 * 1024), flow)
            await until(lambda: bench.failed)
            bench.streams.send(b"again", flow)
            second = await within(peers.get())
            assert await second.read(5) == b"again"
            await bench.streams.close()

    run(main())


def test_our_own_connections_come_from_the_port_that_is_told_unless_it_is_taken(run: Clean) -> None:
    async def main() -> None:
        async with answering() as (port, peers):
            for taken in (False, True):
                bench = Bench()
                told = free_port()
                other = await asyncio.start_server(lambda *_: None, HOST, told) if taken else None
                bench.streams.send(b"hello", Flow("TCP", (HOST, port), (HOST, told)))
                peer = await within(peers.get())
                assert (peer.writer.get_extra_info("peername")[1] == told) is not taken
                await bench.streams.close()
                if other is not None:
                    other.close()

    run(main())


def test_a_ping_is_answered(run: Clean) -> None:
    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            peer.send(b"\r\n\r\n")
            assert await peer.read(2) == b"\r\n"
            await peer.close()

    run(main())


def test_a_fault_is_told_after_what_came_before_it_answered_and_ends_the_connection(run: Clean) -> None:
    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            good = options(bench.port)
            peer.send(good + BAD + good)
            assert (await bench.next())[0] == good
            assert await peer.end() == b"400"
            assert len(bench.faults) == 1
            assert bench.messages.empty(), "what follows a fault can't be told from it"
            await peer.close()

    run(main())


def test_a_peer_that_trickles_is_closed_however_many_bytes_come(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_S", 0.15)

    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            ended = asyncio.get_running_loop().create_task(peer.end())
            async with asyncio.timeout(WITHIN_S):
                while not ended.done():
                    peer.send(b"O")
                    await asyncio.wait([ended], timeout=0.02)
            assert bench.messages.empty()
            await peer.close()

    run(main())


def test_a_body_has_a_time_of_its_own(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HEAD_S", 0.3)
    monkeypatch.setattr(connection_module, "BODY_S", 0.6)

    async def main() -> None:
        async with listening() as bench:
            loop = asyncio.get_running_loop()
            slow, stuck = await connect(bench), await connect(bench)
            head = options(bench.port).replace(b"Content-Length: 0", b"Content-Length: 5")
            slow.send(head)
            stuck.send(head)
            began_at = loop.time()
            await until(lambda: loop.time() > began_at + 0.4)
            slow.send(b"12345")
            assert (await bench.next())[0] == head + b"12345", "longer than a head may take"
            assert await stuck.end() == b""
            assert loop.time() > began_at + 0.5
            for peer in (slow, stuck):
                await peer.close()

    run(main())


def test_a_crowd_that_trickles_is_gone_in_time_and_takes_nobody_s_place(
    run: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow peers from many hosts, an octet now and then: a stranger from another host comes through."""
    monkeypatch.setattr(connection_module, "HEAD_S", 0.5)
    monkeypatch.setattr(stream_module, "MAX_CONNECTIONS_PER_HOST", 4)

    async def main() -> None:
        async with listening() as bench:
            crowd = []
            for number in range(200):
                source = (f"127.0.1.{number % 20 + 1}", 0)
                crowd.append(Peer(*await asyncio.open_connection(HOST, bench.port, local_addr=source)))
                crowd[-1].send(b"O")
            await until(lambda: bench.streams.refused == 200 - 20 * 4)
            peer = await connect(bench)
            peer.send(options(bench.port))
            await bench.next()
            for slow in crowd:
                slow.send(b"P")
                await slow.end()
                await slow.close()
            assert [connection.flow.remote[0] for connection in bench.streams._alive] == [HOST]
            await peer.close()

    run(main())


def test_a_peer_that_is_always_in_the_middle_of_the_next_message_is_not_closed(
    run: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HEAD_S", 0.2)

    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            message = options(bench.port)
            half = len(message) // 2
            peer.send(message[:half])
            loop = asyncio.get_running_loop()
            until_at = loop.time() + 0.5
            while loop.time() < until_at:
                peer.send(message[half:] + message[:half])
                assert (await bench.next())[0] == message
            peer.send(message[half:])
            assert (await bench.next())[0] == message
            await peer.close()

    run(main())


def test_an_idle_peer_is_closed_and_one_that_pings_is_not(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "IDLE_S", 0.2)

    async def main() -> None:
        async with listening() as bench:
            idle, awake = await connect(bench), await connect(bench)
            ended = asyncio.get_running_loop().create_task(idle.end())
            pings = 0
            async with asyncio.timeout(WITHIN_S):
                while not ended.done() or pings < 10:
                    awake.send(b"\r\n\r\n")
                    assert await awake.read(2) == b"\r\n"
                    pings += 1
                    await asyncio.wait([ended], timeout=0.03)
                    if ended.done():
                        await asyncio.sleep(0.03)
            assert await ended == b""
            await idle.close()
            await awake.close()

    run(main())


def test_one_host_has_only_so_many_connections(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_CONNECTIONS_PER_HOST", 3)

    async def main() -> None:
        async with listening() as bench:
            peers = [await connect(bench) for _ in range(3)]
            for peer in peers:
                peer.send(options(bench.port))
                await bench.next()
            refused = await connect(bench)
            assert await refused.end() == b""
            assert bench.streams.refused == 1
            assert bench.failed == []
            await peers[0].close()
            await until(lambda: bench.failed)
            again = await connect(bench)
            again.send(options(bench.port))
            await bench.next()
            for peer in (*peers[1:], refused, again):
                await peer.close()

    run(main())


def test_a_peer_that_does_not_read_is_cut_off(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_UNSENT", 100_000)

    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            peer.send(options(bench.port))
            _, flow = await bench.next()
            peer.writer.transport.pause_reading()
            for _ in range(1000):
                bench.streams.send(bytes(65_536), flow)
                if bench.failed:
                    break
                await asyncio.sleep(0)
            assert bench.failed == [flow]
            await peer.close()

    run(main())


def test_a_peer_that_does_not_read_our_last_word_is_not_waited_for(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "TALKED_IDLE_S", 0.1)
    monkeypatch.setattr(connection_module, "LINGER_S", 0.1)
    monkeypatch.setattr(connection_module, "MAX_UNSENT", 1 << 30)

    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            peer.send(options(bench.port))
            _, flow = await bench.next()
            peer.writer.transport.pause_reading()
            bench.streams.send(bytes(16 * 1024 * 1024), flow)
            await until(lambda: bench.failed)
            await peer.close()

    run(main())


def test_a_peer_that_does_not_read_does_not_keep_us_from_leaving(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_UNSENT", 1 << 30)

    async def main() -> None:
        async with listening() as bench:
            peer = await connect(bench)
            peer.send(options(bench.port))
            _, flow = await bench.next()
            peer.writer.transport.pause_reading()
            bench.streams.send(bytes(16 * 1024 * 1024), flow)
            await bench.streams.close()
            await until(lambda: bench.failed)
            await peer.close()

    run(main())


def test_a_peer_that_has_talked_may_be_silent_for_longer(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "IDLE_S", 0.1)

    async def main() -> None:
        async with listening() as bench:
            stranger, talker = await connect(bench), await connect(bench)
            talker.send(options(bench.port))
            _, flow = await bench.next()
            assert await stranger.end() == b""
            bench.streams.send(b"still there", flow)
            assert await talker.read(11) == b"still there"
            for peer in (stranger, talker):
                await peer.close()

    run(main())


def test_a_connection_is_opened_for_what_is_sent_and_used_both_ways(run: Clean) -> None:
    async def main() -> None:
        async with answering() as (port, peers):
            bench = Bench()
            flow = Flow("TCP", (HOST, port))
            bench.streams.send(b"one", flow)
            bench.streams.send(b"two", flow)
            peer = await within(peers.get())
            assert await peer.read(6) == b"onetwo"
            bench.streams.send(b"three", flow)
            assert await peer.read(5) == b"three"
            peer.send(options(port))
            data, back = await bench.next()
            assert data == options(port)
            assert back.remote == flow.remote
            assert peers.empty()
            await bench.streams.close()

    run(main())


def test_nobody_listens_there(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        flow = Flow("TCP", (HOST, 1))
        bench.streams.send(b"hello", flow)
        await until(lambda: bench.failed)
        assert bench.failed == [flow]

    run(main())


def test_nobody_answers_in_time(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "CONNECT_S", 0.1)

    async def main() -> None:
        full = socket.socket()
        full.bind((HOST, 0))
        full.listen(0)
        waiting = []
        for _ in range(4):  # its queue is full: who comes now gets no answer
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(full.getsockname())
        bench = Bench()
        flow = Flow("TCP", full.getsockname())
        bench.streams.send(b"hello", flow)
        await until(lambda: bench.failed)
        assert bench.failed == [flow]
        for one in (full, *waiting):
            one.close()

    run(main())


def test_what_can_not_be_opened_fails_and_is_not_tried(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_CONNECTIONS", 0)

    async def main() -> None:
        async with answering() as (port, peers):
            bench = Bench()
            flow = Flow("TCP", (HOST, port))
            bench.streams.send(b"hello", flow)
            assert bench.failed == [flow]
            assert bench.streams.refused == 1
            assert peers.empty()

    run(main())


def test_two_listeners_are_both_closed(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        first, second = await bench.streams.listen("TCP", (HOST, 0)), await bench.streams.listen("TCP", (HOST, 0))
        for address in (first, second):
            bench.port = address[1]
            peer = await connect(bench)
            peer.send(options(address[1]))
            assert (await bench.next())[1].local == address
            await peer.close()
        await bench.streams.close()
        for address in (first, second):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*address)

    run(main())


def test_close_gives_up_a_connection_that_is_being_opened(run: Clean) -> None:
    async def main() -> None:
        bench = Bench()
        bench.streams.send(b"hello", Flow("TCP", ("192.0.2.1", 9)))
        await asyncio.sleep(0)
        await bench.streams.close()

    run(main())
