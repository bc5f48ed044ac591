"""Calls end to end over every transport, and what attacks on connections leave behind."""

import asyncio
import socket
import ssl
import struct
import tracemalloc
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from connections import NAME, Authority, Peer
from loopback import HOST, LOOPS, Caller, Clean, open_files, run_clean, until, within
from loopback import options as write_options

from sipagent.aio.tls import Tls
from sipagent.aio.ua import SipEndpoint
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Acknowledged, Ended, Event, Flow, IncomingInvite, Reinvited
from sipagent.sip.headers import NameAddr
from sipagent.sip.uri import Uri

SECURE = ("TLS", "WSS")
STREAMS = ("TCP", "TLS", "WS", "WSS")
SDP = b"v=0\r\n"


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Authority(tmp_path).tls(HOST, "::1", "localhost")


class Callee:
    """An endpoint that answers every call, or lets it ring."""

    def __init__(self, *, answers: bool = True, **more: Any) -> None:
        self._answers = answers
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.endpoint = SipEndpoint(
            UserAgentSettings(), on_event=self.on_event, on_crash=self.crashes.append, random=Random(2), **more
        )

    def on_event(self, event: Event) -> None:
        self.events.put_nowait(event)
        if isinstance(event, IncomingInvite) and self._answers:
            self.endpoint.command(self.endpoint.agent.accept, event.handle, SDP)

    async def expect(self, kind: type[Any]) -> Any:
        async with asyncio.timeout(10):
            while not isinstance(event := await self.events.get(), kind):
                pass
        return event

    async def close(self) -> None:
        await self.endpoint.close()
        assert self.crashes == []


def connections(endpoint: SipEndpoint) -> list[Flow]:
    return [connection.flow for connection in endpoint._streams._alive]


def reset(endpoint: SipEndpoint) -> None:
    """Break every connection as a crash of the peer does."""
    for connection in list(endpoint._streams._alive):
        one = connection._transport.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection._transport.abort()


@pytest.mark.parametrize("host", [HOST, "::1"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("transport", STREAMS)
def test_a_call_from_who_does_not_listen_there(run: Clean, tls: Tls, transport: str, host: str) -> None:
    """One connection carries it all; its port is the one that our Contact and Via say, so any peer finds it."""

    async def main() -> None:
        callee, caller = Callee(tls=tls), Caller(tls=tls)
        port = (await callee.endpoint.listen(transport, (host, 0)))[1]
        caller.invite(port, transport=transport, host=host)
        invite = await callee.expect(IncomingInvite)
        contact, (flow,) = invite.request.contact, connections(callee.endpoint)
        assert contact is not None
        assert (contact.uri.host, contact.uri.port) == flow.remote == (invite.request.via.host, invite.request.via.port)
        assert invite.request.via.transport == transport
        assert contact.uri.parameters["transport"] == {"WSS": "ws"}.get(transport, transport.lower())
        accepted = await caller.expect(Accepted)
        assert accepted.response.contact is not None
        assert (accepted.response.contact.uri.host, accepted.response.contact.uri.port) == (host, port)
        await callee.expect(Acknowledged)
        callee.endpoint.command(callee.endpoint.agent.reinvite, invite.handle, SDP)
        assert (await caller.expect(Reinvited)).handle == caller.handle
        caller.endpoint.command(caller.endpoint.agent.accept, caller.handle, SDP)
        await callee.expect(Accepted)
        callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
        assert await caller.expect(Ended) == Ended(caller.handle, "bye")
        await callee.endpoint.settle()
        assert callee.endpoint.agent.is_idle
        assert len(connections(callee.endpoint)) == 1
        await caller.close()
        await callee.close()

    run(main())


@pytest.mark.parametrize("transport", SECURE)
def test_a_call_to_a_name(run: Clean, tls: Tls, transport: str) -> None:
    """From the URI to the certificate: the name is located, asked for, verified, and kept for the whole call."""

    async def main() -> None:
        callee, caller = Callee(tls=tls), await Caller(tls=tls).open()
        port = (await callee.endpoint.listen(transport, (HOST, 0)))[1]
        scheme, parameter = ("sips", "ws") if transport == "WSS" else ("sip", "tls")
        target = Uri.parse(f"{scheme}:agent@localhost:{port};transport={parameter}")
        us = NameAddr.parse(f"<sip:caller@{HOST}>")
        command = partial(caller.endpoint.agent.invite, target, from_=us, body=caller.offer())
        caller.endpoint.command(command)
        await caller.expect(Accepted)
        assert [flow.name for flow in connections(caller.endpoint)] == ["localhost"]
        invite = await callee.expect(IncomingInvite)
        assert invite.flow.transport == transport
        callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
        assert (await caller.expect(Ended)).reason == "bye"
        await callee.endpoint.settle()
        await caller.close()
        await callee.close()

    run(main())


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("transport", ["TCP", "TLS"])
def test_after_a_reset_a_call_goes_on_over_a_new_connection(run: Clean, tls: Tls, transport: str, who: str) -> None:
    async def main() -> None:
        callee, caller = Callee(tls=tls), Caller(tls=tls)
        port = (await callee.endpoint.listen(transport, (HOST, 0)))[1]
        await caller.endpoint.listen(transport, (HOST, 0))
        caller.invite(port, transport=transport)
        handle = (await callee.expect(IncomingInvite)).handle
        await caller.expect(Accepted)
        await callee.expect(Acknowledged)
        reset(caller.endpoint if who == "callee" else callee.endpoint)
        await until(lambda: not connections(caller.endpoint) and not connections(callee.endpoint))
        async with asyncio.timeout(1.0):
            if who == "caller":
                caller.hang_up()
                assert await callee.expect(Ended) == Ended(handle, "bye")
            else:
                callee.endpoint.command(callee.endpoint.agent.hang_up, handle)
                assert await caller.expect(Ended) == Ended(caller.handle, "bye")
        await caller.endpoint.settle()
        await callee.endpoint.settle()
        assert caller.endpoint.agent.is_idle
        assert callee.endpoint.agent.is_idle
        await caller.close()
        await callee.close()

    run(main())


def test_after_a_reset_a_trunk_is_reached_by_its_own_name_again(run: Clean, tmp_path: Path) -> None:
    """Its Contact is an address, for which it has no certificate; the flow that we opened is known to work."""
    authority = Authority(tmp_path)

    async def main() -> None:
        callee, caller = Callee(tls=authority.tls("localhost")), Caller(tls=authority.tls())
        port = (await callee.endpoint.listen("TLS", (HOST, 0)))[1]
        caller.invite(port, transport="TLS", name="localhost")
        handle = (await callee.expect(IncomingInvite)).handle
        await caller.expect(Accepted)
        await callee.expect(Acknowledged)
        reset(callee.endpoint)
        await until(lambda: not connections(caller.endpoint))
        caller.hang_up()
        assert await callee.expect(Ended) == Ended(handle, "bye")
        await caller.endpoint.settle()
        await caller.close()
        await callee.close()

    run(main())


BROWSER = """\
INVITE sip:agent@{host}:{port} SIP/2.0
Via: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK56sdasks
Max-Forwards: 70
From: <sip:alice@example.com>;tag=asdyka899
To: <sip:agent@example.com>
Call-ID: asidkj3ss
CSeq: 1 INVITE
Contact: <sip:alice@df7jal23ls0d.invalid;transport=ws>
Content-Type: application/sdp

v=0
"""
"""As in :rfc:`7118#section-8.2`: a browser knows no address of its own, and a message needs no Content-Length."""


@pytest.mark.parametrize("is_there", [True, False])
def test_a_browser_is_reached_over_its_connection_alone(run: Clean, is_there: bool) -> None:
    async def main() -> None:
        callee = Callee()
        port = (await callee.endpoint.listen("WS", (HOST, 0)))[1]
        async with aiohttp.ClientSession() as session:
            browser = await session.ws_connect(f"http://{HOST}:{port}/", protocols=("sip",))
            await browser.send_str(BROWSER.format(host=HOST, port=port).replace("\n", "\r\n"))
            invite = await callee.expect(IncomingInvite)
            assert invite.body == SDP
            while " 200 " not in (answer := (await within(browser.receive())).data):
                pass
            assert f";received={HOST}" in answer
            tag = answer.partition("To: ")[2].partition("\r\n")[0].partition(";tag=")[2]
            ack = BROWSER.replace("INVITE", "ACK").replace("agent@example.com>", f"agent@example.com>;tag={tag}")
            await browser.send_str(ack.format(host=HOST, port=port).replace("\n", "\r\n"))
            await callee.expect(Acknowledged)
            if not is_there:
                await browser.close()
                await until(lambda: not connections(callee.endpoint))
            callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
            if is_there:
                bye = (await within(browser.receive())).data
                assert bye.startswith("BYE sip:alice@df7jal23ls0d.invalid;transport=ws SIP/2.0\r\nVia: SIP/2.0/WS ")
            else:
                await until(lambda: callee.endpoint.agent.is_idle)
            await browser.close()
        await callee.close()

    run(main())


@pytest.mark.parametrize("has_tcp", [True, False])
def test_a_big_request_goes_by_tcp_if_it_is_there(run: Clean, has_tcp: bool) -> None:
    async def main() -> None:
        callee, caller = Callee(), await Caller().open()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]
        if has_tcp:
            await callee.endpoint.listen("TCP", (HOST, port))
        caller.invite(port, body=caller.offer() + b"a=x:" + b"y" * 1300 + b"\r\n")
        invite = await callee.expect(IncomingInvite)
        assert invite.flow.transport == invite.request.via.transport == ("TCP" if has_tcp else "UDP")
        await caller.expect(Accepted)
        await callee.expect(Acknowledged)
        callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
        assert (await caller.expect(Ended)).reason == "bye"
        await callee.endpoint.settle()
        await caller.close()
        await callee.close()

    run(main())


def invite(number: int, port: int, transport: str) -> bytes:
    lines = [
        f"INVITE sip:agent@{HOST}:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {HOST};branch=z9hG4bK{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:caller@{HOST}>;tag={number}",
        f"To: <sip:agent@{HOST}>",
        f"Call-ID: {number}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:caller@{HOST}:1;transport={transport.lower()}>",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def connect_and_send(port: int, data: bytes) -> socket.socket:
    """A connection whose end will be a reset; the kernel takes it in before we do."""
    one = socket.create_connection((HOST, port))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.sendall(data)
    return one


def nothing_is_left(endpoint: SipEndpoint, files: set[str]) -> bool:
    streams = endpoint._streams
    assert (streams._connections, streams._alive, streams._incoming, streams._of_host) == ({}, set(), 0, {})
    return open_files() <= files and len(asyncio.all_tasks()) == 1 and endpoint.agent.is_idle


def test_an_invite_and_a_reset_ten_thousand_times_leave_nothing() -> None:
    """CVE-2018-7286, CVE-2020-28327; half of them are gone before we read, half while it rings."""

    async def main() -> None:
        callee = Callee(answers=False)
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        files = open_files()
        for first in range(0, 10_000, 50):
            peers = [connect_and_send(port, invite(number, port, "TCP")) for number in range(first, first + 50)]
            if first % 100:
                for _ in peers:
                    await callee.expect(IncomingInvite)
            for peer in peers:
                peer.close()
            await until(lambda: not connections(callee.endpoint))
        assert nothing_is_left(callee.endpoint, files)
        assert callee.endpoint.agent.counters["requests"] >= 5000
        await callee.close()

    run_clean(LOOPS["uvloop"], main())


def test_an_invite_over_tls_and_a_reset_a_thousand_times_leave_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = authority.client()

    async def main() -> None:
        callee = Callee(tls=authority.tls(), answers=False)
        port = (await callee.endpoint.listen("TLS", (HOST, 0)))[1]
        files = open_files()

        async def ring(number: int) -> None:
            _, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=NAME)
            writer.write(invite(number, port, "TLS"))
            writer.transport.abort()

        for first in range(0, 1_000, 50):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + 50):
                    group.create_task(ring(number))
            await until(lambda: not connections(callee.endpoint))
        await until(lambda: nothing_is_left(callee.endpoint, files))
        assert callee.endpoint.agent.counters["requests"] == 1_000
        await callee.close()

    run_clean(LOOPS["uvloop"], main())


def options(number: int, length: bytes) -> bytes:
    return write_options(1, transport="TCP", branch=str(number)).replace(b"Content-Length: 0", length)


@pytest.mark.parametrize("transport", STREAMS[:2])
@pytest.mark.parametrize(
    ("length", "statuses"),
    [
        (b"Content-Length: 0", [200, 200]),
        (b"Content-Length: 00000000000000000000", [200, 200]),
        (b"Content-Length:\r\n 0", [200, 200]),
        (b"l: 0", [200, 200]),
        (b"CONTENT-LENGTH  :  0", [200, 200]),
        (b"Content-Length: -1", [400]),
        (b"Content-Length: +5", [400]),
        (b"Content-Length: 0\r\nContent-Length: 5", [400]),
        (b"Content-Length: 0\r\nContent-Length: 0", [400]),
        (b"Content-Length: 0, 0", [400]),
        (b"l: 0\r\nContent-Length: 5", [400]),
        (b"Content-Length: 0x0", [400]),
        (b"Content-Length: \xd9\xa0", [400]),
        (b"Content-Length:", [400]),
        (b"X: 0", [400]),
        (b"Content-Length: 1000000000000", [513]),
        (b"Content-Length: " + b"9" * 5000, [513]),
        (b"Content-Length: 65537", [513]),
    ],
)
def test_a_length_is_right_or_the_connection_ends(
    run: Clean, tls: Tls, tmp_path: Path, transport: str, length: bytes, statuses: list[int]
) -> None:
    """GHSA-j5j8: nobody is to slip a second message in that others in the path see as a body."""

    async def main() -> None:
        callee = Callee(tls=tls)
        port = (await callee.endpoint.listen(transport, (HOST, 0)))[1]
        context = ssl._create_unverified_context() if transport in SECURE else None
        peer = Peer(*await asyncio.open_connection(HOST, port, ssl=context))
        peer.send(options(1, length) + options(2, b"Content-Length: 0"))
        if len(statuses) == 2:
            answers = b"".join([await within(peer.reader.readuntil(b"\r\n\r\n")) for _ in statuses])
        else:
            answers = await peer.end()
            assert connections(callee.endpoint) == []
        found = [int(line.split()[1]) for line in answers.splitlines() if line.startswith(b"SIP/2.0 ")]
        assert found == statuses
        await peer.close()
        await callee.close()

    run(main())


def test_a_thousand_at_once_get_a_thousand_answers(run: Clean) -> None:
    async def main() -> None:
        callee = Callee()
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        peer = Peer(*await asyncio.open_connection(HOST, port))
        peer.send(b"".join(options(number, b"Content-Length: 0") for number in range(1000)))
        for number in range(1000):
            assert b"Call-ID: %d\r\n" % number in await within(peer.reader.readuntil(b"\r\n\r\n"))
        await peer.close()
        await callee.close()

    run(main())


def test_what_a_length_promises_takes_no_memory(run: Clean) -> None:
    async def main() -> None:
        callee = Callee()
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        peers = [Peer(*await asyncio.open_connection(HOST, port)) for _ in range(60)]
        tracemalloc.start()
        for peer in peers:
            peer.send(options(1, b"Content-Length: 65536"))
        await until(lambda: all(one._framing.stage.name == "BODY" for one in callee.endpoint._streams._alive))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size < 60 * 20_000
        for peer in peers:
            await peer.close()
        await callee.close()

    run(main())
