"""Calls end to end over every transport, and what attacks on connections leave behind."""

import asyncio
import socket
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from connections import Authority
from loopback import HOST, Caller, Clean, until

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
    """An endpoint that answers every call."""

    def __init__(self, **more: Any) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.endpoint = SipEndpoint(
            UserAgentSettings(), on_event=self.on_event, on_crash=self.crashes.append, random=Random(2), **more
        )

    def on_event(self, event: Event) -> None:
        self.events.put_nowait(event)
        if isinstance(event, IncomingInvite):
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
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
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
