import asyncio
from random import Random
from typing import Any

import pytest
from loopback import HOST, Caller, Clean, RawUdp, flow_of, options, until, within

from sipagent.aio import routes as routes_module
from sipagent.aio import ua as ua_module
from sipagent.aio.ua import SipEndpoint
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import Accepted, Acknowledged, Ended, Event, Flow, IncomingInvite
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Response, parse_message
from sipagent.sip.uri import Uri


class Callee:
    """An endpoint that answers."""

    def __init__(self, **options: Any) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.endpoint = SipEndpoint(
            UserAgentSettings(), on_event=self.on_event, on_crash=self.crashes.append, random=Random(2), **options
        )

    def on_event(self, event: Event) -> None:
        self.events.put_nowait(event)

    async def next(self) -> Event:
        return await within(self.events.get())

    async def close(self) -> None:
        await self.endpoint.close()
        assert self.crashes == []


def invite_bytes(port: int, contact: str, *, transport: str = "TCP") -> bytes:
    lines = [
        f"INVITE sip:agent@{HOST}:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} {HOST};branch=z9hG4bKinvite;rport",
        "Max-Forwards: 70",
        f"From: <sip:caller@{HOST}>;tag=1",
        f"To: <sip:agent@{HOST}>",
        "Call-ID: invite",
        "CSeq: 1 INVITE",
        f"Contact: <{contact}>",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def test_options_over_udp_are_answered_to_where_they_came_from(run: Clean) -> None:
    async def main() -> None:
        callee, peer = Callee(), RawUdp()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]
        peer.send(options(port, sent_by="192.0.2.9:5060"), port)
        response = await peer.receive()
        assert isinstance(response, Response)
        assert response.status == 200
        assert response.via.parameters.get("received") == HOST
        assert response.via.parameters.get("rport") == str(peer.address[1])
        peer.send(b"\r\n\r\n", port)
        peer.send(b"nonsense", port)
        peer.send(options(port, branch="b"), port)
        assert (await peer.receive()).call_id == "b", "what is no message gets no answer"
        peer.close()
        await callee.close()

    run(main())


def test_options_over_tcp_are_answered_on_the_connection_and_a_bad_message_with_400(run: Clean) -> None:
    async def main() -> None:
        callee = Callee()
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        reader, writer = await asyncio.open_connection(HOST, port)
        good = options(port, transport="TCP")
        writer.write(good + good.replace(b"branch=z9hG4bKa", b"branch=z9hG4bKb").replace(b"h: 0", b"h: -1"))
        answers = await within(reader.read())
        statuses = [line for line in answers.decode().splitlines() if line.startswith("SIP/2.0 ")]
        assert statuses[0] == "SIP/2.0 200 OK"
        assert statuses[1].startswith("SIP/2.0 400 ")
        writer.close()
        await callee.close()

    run(main())


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_call_between_two_endpoints(run: Clean, transport: str) -> None:
    async def main() -> None:
        callee, caller = Callee(), await Caller().open()
        port = (await callee.endpoint.listen(transport, (HOST, 0)))[1]
        caller.invite(port, transport=transport)
        invite = await callee.next()
        assert isinstance(invite, IncomingInvite)
        assert invite.flow.transport == transport
        callee.endpoint.command(callee.endpoint.agent.ring, invite.handle)
        callee.endpoint.command(callee.endpoint.agent.accept, invite.handle, b"v=0\r\n")
        accepted = await caller.expect(Accepted)
        contact = accepted.response.contact
        assert contact is not None
        assert (contact.uri.host, contact.uri.port) == (HOST, port)
        assert isinstance(await callee.next(), Acknowledged)
        caller.hang_up()
        assert await callee.next() == Ended(invite.handle, "bye")
        await caller.endpoint.settle()
        assert caller.endpoint.agent.is_idle
        await caller.close()
        await callee.close()

    run(main())


def test_a_command_that_the_end_made_moot_is_counted(run: Clean) -> None:
    async def main() -> None:
        callee, caller = Callee(), await Caller().open()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]
        caller.invite(port)
        invite = await callee.next()
        assert isinstance(invite, IncomingInvite)
        caller.hang_up()
        assert await callee.next() == Ended(invite.handle, "cancelled")
        callee.endpoint.command(callee.endpoint.agent.accept, invite.handle, b"v=0\r\n")
        callee.endpoint.command(callee.endpoint.agent.hang_up, invite.handle)
        assert callee.endpoint.moot_commands == 2
        await caller.close()
        await callee.close()

    run(main())


def test_a_name_is_resolved_and_a_name_that_is_none_fails(run: Clean) -> None:
    async def main() -> None:
        callee, caller = Callee(), await Caller().open()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]

        def dial(host: str) -> None:
            flow = Flow("UDP", (host, port), caller.endpoint.flow_to("UDP", (HOST, port)).local)
            target, us = Uri("sip", "agent", host=host, port=port), NameAddr.parse("<sip:caller@localhost>")
            caller.endpoint.command(caller.endpoint.agent.invite, target, flow, from_=us, body=b"v=0\r\n")

        dial("localhost")
        assert isinstance(await callee.next(), IncomingInvite)
        for host in ("no-such-host.invalid", "a" * 64):
            dial(host)
            assert (await caller.expect(Ended)).reason == "transport"
        assert caller.crashes == []
        await caller.close()
        await callee.close()

    run(main())


def test_a_connection_that_is_refused_ends_the_call(run: Clean) -> None:
    async def main() -> None:
        caller = await Caller().open()
        caller.invite(1, transport="TCP")
        assert (await caller.expect(Ended)).reason == "transport"
        await caller.close()

    run(main())


def test_a_peer_that_asks_for_udp_where_there_is_only_tcp(run: Clean) -> None:
    async def main() -> None:
        callee = Callee()
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        callee.endpoint._carry(ua_module.Transmit(b"x", flow_of("UDP", 9)))
        with pytest.raises(OSError, match="no listener for UDP"):
            callee.endpoint.flow_to("UDP", (HOST, 9))
        assert callee.endpoint.flow_to("TCP", (HOST, 9)).local == (HOST, port)
        await callee.close()

    run(main())


def test_over_tcp_too_a_peer_is_told_the_external_address(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "local_address_toward", lambda remote: "10.0.0.7")

    async def main() -> None:
        callee = Callee(external_address="198.51.100.1")
        port = (await callee.endpoint.listen("TCP", (HOST, 0)))[1]
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(invite_bytes(port, f"sip:caller@{HOST}"))
        invite = await callee.next()
        assert isinstance(invite, IncomingInvite)
        assert invite.flow.local == ("198.51.100.1", port)
        writer.close()
        await callee.close()

    run(main())


def test_on_a_connection_that_we_opened_the_peer_is_told_where_we_listen(run: Clean) -> None:
    async def main() -> None:
        caller = await Caller().open()
        inbox: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *both: inbox.put_nowait(both), HOST, 0)
        port = server.sockets[0].getsockname()[1]
        caller.invite(port, transport="TCP")
        reader, writer = await within(inbox.get())
        await within(reader.readuntil(b"\r\n\r\n"))
        writer.write(invite_bytes(port, f"sip:peer@{HOST}:{port};transport=tcp"))
        invite = await caller.expect(IncomingInvite)
        assert invite.flow.local == caller.endpoint.flow_to("TCP", (HOST, port)).local
        writer.close()
        server.close()
        await caller.close()

    run(main())


def test_a_bug_in_the_machine_is_told_and_the_endpoint_goes_on(run: Clean) -> None:
    async def main() -> None:
        callee, peer = Callee(), RawUdp()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]
        healthy = callee.endpoint.agent.receive_datagram

        def broken(data: bytes, flow: Flow, *, now: float) -> None:
            callee.endpoint.agent.receive_datagram = healthy  # type: ignore[method-assign]
            raise ValueError("a bug")

        callee.endpoint.agent.receive_datagram = broken  # type: ignore[method-assign]
        peer.send(options(port), port)
        await until(lambda: callee.crashes)
        peer.send(options(port), port)
        assert (await peer.receive()).call_id == "a"
        assert [str(crash) for crash in callee.crashes] == ["a bug"]
        callee.crashes.clear()
        peer.close()
        await callee.close()

    run(main())


def test_a_taken_port_is_told_at_once(run: Clean) -> None:
    async def main() -> None:
        first, second = Callee(), Callee()
        for transport in ("UDP", "TCP"):
            address = await first.endpoint.listen(transport, (HOST, 0))
            with pytest.raises(OSError, match="in use"):
                await second.endpoint.listen(transport, address)
        await first.close()
        await second.close()

    run(main())


def test_settle_does_not_wait_for_ever(run: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ua_module, "SETTLE_S", 0.1)

    async def main() -> None:
        callee, caller = Callee(), await Caller().open()
        port = (await callee.endpoint.listen("UDP", (HOST, 0)))[1]
        caller.invite(port)
        await callee.next()
        assert parse_message(options(port)).call_id == "a"
        await within(callee.endpoint.settle())
        assert not callee.endpoint.agent.is_idle
        await caller.close()
        await callee.close()

    run(main())
