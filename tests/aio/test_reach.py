"""How requests of ours find their way: domains, servers that are down, and our own address as others see it."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from loopback import HOST, Caller, Clean, until, within
from name_server import NameServer
from test_stun import message, xored

from sipagent.aio import routes as routes_module
from sipagent.aio import ua as ua_module
from sipagent.aio.dns import Resolver
from sipagent.aio.ua import SipEndpoint
from sipagent.aio.udp import UdpSocket
from sipagent.errors import SipagentError
from sipagent.sip import keep_alive
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.events import (
    Address,
    AddressSeen,
    Ended,
    Event,
    Flow,
    FlowDead,
    IncomingInvite,
    Ping,
    Registered,
    Transmit,
)
from sipagent.sip.framing import StreamFramer
from sipagent.sip.headers import NameAddr
from sipagent.sip.message import Request, make_response
from sipagent.sip.message import parse_message as parse_sip
from sipagent.sip.uri import Uri
from sipagent.stun import Kind, parse_message

US = NameAddr.parse(f"<sip:us@{HOST}>")


class Dialer:
    """An endpoint that looks names up at a server of ours."""

    def __init__(self, directory: Path, zone: dict[str, list[str]], *accounts: Account) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.server = NameServer(zone)
        (directory / "hosts").touch()
        resolver = Resolver(
            random=Random(1),
            configuration=self.server.configure(directory),
            hosts=directory / "hosts",
            port=self.server.port,
        )
        self.endpoint = SipEndpoint(
            UserAgentSettings(),
            accounts,
            on_event=self.events.put_nowait,
            on_crash=self.crashes.append,
            random=Random(3),
            resolver=resolver,
        )

    async def open(self) -> "Dialer":
        for transport in ("UDP", "TCP"):
            await self.endpoint.listen(transport, (HOST, 0))
        return self

    def dial(self, uri: str) -> None:
        self.endpoint.command(self.endpoint.agent.invite, Uri.parse(uri), from_=US, body=b"v=0\r\n")

    async def close(self) -> None:
        await self.endpoint.close()
        self.server.close()
        assert self.crashes == []


def test_a_domain_leads_to_the_server_that_is_up_and_then_straight_to_it(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        async with Caller() as callee:
            tcp = callee.endpoint.flow_to("TCP", (HOST, 9)).local
            udp = callee.endpoint.flow_to("UDP", (HOST, 9)).local
            assert tcp is not None
            assert udp is not None
            zone = {
                "NAPTR pbx.test": ['1 1 "s" "SIP+D2T" "" _tcp.pbx.test.', '2 1 "s" "SIP+D2U" "" _udp.pbx.test.'],
                "SRV _tcp.pbx.test": ["1 1 9 dead.pbx.test.", f"2 1 {tcp[1]} live.pbx.test."],
                "SRV _udp.pbx.test": [f"1 1 {udp[1]} live.pbx.test."],
                "A dead.pbx.test": [HOST],
                "A live.pbx.test": [HOST],
            }
            dialer = await Dialer(tmp_path, zone).open()
            dialer.dial("sip:agent@pbx.test")
            invite = await callee.expect(IncomingInvite)
            assert invite.flow.transport == "TCP"
            assert invite.request.contact is not None
            assert invite.request.contact.uri.parameters.get("transport") == "tcp"
            asked = len(dialer.server.asked)
            dialer.dial("sip:agent@pbx.test")
            assert (await callee.expect(IncomingInvite)).flow.transport == "TCP"
            assert len(dialer.server.asked) == asked, "all is known"
            assert dialer.endpoint._dead.put_last(
                [target := await dialer.endpoint.find_flow(Uri.parse("sip:pbx.test"))], now=0.0
            ) == [target]
            assert target.remote == (HOST, tcp[1]), "the dead one is not tried first again"
            assert target.name == "pbx.test"
            await dialer.close()

    run(main())


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sip:nowhere.test", "there is no such name"),
        ("sip:pbx.test;transport=sctp", "none of our transports carries sip over SCTP"),
        ("sip:[::1]", "no way to any of its addresses|no address that we can send to"),
    ],
)
def test_a_way_that_does_not_exist_says_why(run: Clean, tmp_path: Path, uri: str, reason: str) -> None:
    async def main() -> None:
        dialer = await Dialer(tmp_path, {"A pbx.test": [HOST]}).open()
        with pytest.raises(SipagentError, match=reason):
            await within(dialer.endpoint.find_flow(Uri.parse(uri)))
        dialer.dial(uri)
        assert await within(dialer.events.get()) == Ended(1, "transport")
        await dialer.close()

    run(main())


FAR, NEAR = ("203.0.113.80", 5060), ("192.168.1.20", 5060)


class StunServer:
    """Says to all that they come from one address; it counts the questions."""

    def __init__(self, seen: tuple[str, int]) -> None:
        self.seen = seen
        self.asked = 0
        self._socket = UdpSocket((HOST, 0), self._receive)
        self.uri = Uri("sip", host=HOST, port=self._socket.address[1])

    def _receive(self, data: bytes, source: tuple[str, int]) -> None:
        request = parse_message(data)
        assert request is not None
        assert request.kind is Kind.REQUEST
        self.asked += 1
        answer = message(xored(*self.seen))
        self._socket.send(answer[:8] + request.transaction + answer[20:], source)

    def close(self) -> None:
        self._socket.close()


class Lan:
    """Stands for the kernel's table, of which only the loopback is real."""

    def __init__(self) -> None:
        self.table = {FAR[0]: "192.168.1.5", NEAR[0]: "192.168.1.5", HOST: HOST}
        self.looks = 0

    def find(self, remote: tuple[str, int]) -> str:
        self.looks += 1
        if remote[0] not in self.table:
            raise OSError("no route")
        return self.table[remote[0]]


def test_connections_go_by_families_in_which_nobody_listens(
    run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        zone = {"A pbx.test": [HOST], "AAAA pbx.test": ["::1"], "A old.test": [HOST]}
        dialer = Dialer(tmp_path, zone)
        find = dialer.endpoint.find_flow
        both = Uri.parse("sip:pbx.test:5060;transport=tcp")
        assert (await within(find(both))).remote[0] == "::1", "no listener at all, and both ways lead there"
        await dialer.endpoint.listen("UDP", (HOST, 0))
        assert (await within(find(both))).remote[0] == HOST, "ours comes first"
        assert (await within(find(Uri.parse("sip:[::1]:5060;transport=tcp")))).remote[0] == "::1"
        with pytest.raises(SipagentError, match="no way to any"):
            await within(find(Uri.parse("sip:[::1]:5060;transport=udp")))
        await dialer.close()

    monkeypatch.setattr(routes_module, "SOMEWHERE", {"A": HOST, "AAAA": "::1"})
    run(main())


class TestOwnAddress:
    @pytest.fixture
    def lan(self, monkeypatch: pytest.MonkeyPatch) -> Lan:
        lan = Lan()
        monkeypatch.setattr(routes_module, "local_address_toward", lan.find)
        monkeypatch.setattr(ua_module, "LOOK_S", 0.01)
        return lan

    def test_a_stun_server_says_how_those_afar_see_us(self, run: Clean, tmp_path: Path, lan: Lan) -> None:
        async def main() -> None:
            dialer, server = await Dialer(tmp_path, {}).open(), StunServer(("203.0.113.9", 40_000))
            renewed: asyncio.Queue[None] = asyncio.Queue()
            dialer.endpoint.agent.address_changed = lambda *, now: renewed.put_nowait(None)  # type: ignore[method-assign]
            dialer.endpoint.watch(stun=server.uri)
            seen = await within(dialer.events.get())
            assert isinstance(seen, AddressSeen)
            assert seen.mapped == ("203.0.113.9", 40_000)
            await within(renewed.get())
            flow_to = dialer.endpoint.flow_to
            ports = [(flow_to(transport, (HOST, 9)).local or ("", 0))[1] for transport in ("UDP", "TCP")]
            assert flow_to("UDP", FAR).local == ("203.0.113.9", 40_000)
            assert flow_to("TCP", FAR).local == ("203.0.113.9", ports[1])
            assert flow_to("UDP", NEAR).local == ("192.168.1.5", ports[0])
            assert dialer.endpoint.address_toward(FAR) == "203.0.113.9"
            server.close()
            await dialer.close()

        run(main())

    def test_a_change_of_our_own_address_is_noticed(self, run: Clean, tmp_path: Path, lan: Lan) -> None:
        async def main() -> None:
            dialer, server = await Dialer(tmp_path, {}).open(), StunServer(("203.0.113.9", 40_000))
            renewed: asyncio.Queue[None] = asyncio.Queue()
            dialer.endpoint.agent.address_changed = lambda *, now: renewed.put_nowait(None)  # type: ignore[method-assign]
            dialer.endpoint._routes.watch(FAR[0])
            dialer.endpoint.watch(stun=server.uri)
            await within(renewed.get())
            server.seen = ("203.0.113.10", 40_000)
            lan.table[FAR[0]] = "192.168.2.7"
            for _ in ("the way", "how it is seen"):
                await within(renewed.get())
            assert server.asked == 2
            assert dialer.endpoint.flow_to("UDP", FAR).local == ("203.0.113.10", 40_000)
            lan.looks = 0
            await until(lambda: lan.looks > 5)
            assert renewed.empty(), "once"
            server.close()
            await dialer.close()

        run(main())

    def test_an_account_tells_its_registrar_where_that_sees_it(
        self, run: Clean, tmp_path: Path, lan: Lan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def main() -> None:
            dialer = await Dialer(tmp_path, {}).open()
            renewed: list[str] = []

            def register(account: str, *, now: float) -> None:
                renewed.append(account)

            dialer.endpoint.agent.register = register  # type: ignore[method-assign]
            flow_to, port = dialer.endpoint.flow_to, dialer.endpoint._udp[0].address[1]

            def registered(account: str, seen_as: Address | None, transport: str = "UDP") -> list[str]:
                renewed.clear()
                dialer.endpoint._carry(
                    Registered(account, 300, "pbx.test", seen_as, flow_to(transport, FAR) if told is None else told)
                )
                assert isinstance(dialer.events.get_nowait(), Registered)
                return list(renewed)

            told: Flow | None = None
            assert registered("a", None) == []
            assert registered("a", ("192.168.1.5", port)) == [], "there is no NAT"
            told = flow_to("UDP", FAR)
            seen = ("203.0.113.9", 40_000)
            assert registered("a", seen) == ["a"]
            assert flow_to("UDP", FAR).local == seen
            assert registered("b", seen) == ["b"], "what is no news to us was told wrongly all the same"
            assert registered("a", ("203.0.113.9", 40_001)) == [], "not again and again"
            monkeypatch.setattr(ua_module, "RETELL_S", 0.0)
            assert registered("a", ("203.0.113.9", 40_002)) == ["a"]
            told = None
            assert registered("a", ("203.0.113.9", 40_002)) == [], "it knows"
            assert registered("a", ("203.0.113.10", 55_555), "TCP") == ["a"]
            assert flow_to("TCP", FAR).local == ("203.0.113.10", (flow_to("TCP", (HOST, 9)).local or ("", 0))[1])
            await dialer.close()

        run(main())

    def test_several_sockets_are_told_apart_by_how_they_are_seen(
        self, run: Clean, tmp_path: Path, lan: Lan
    ) -> None:
        async def main() -> None:
            dialer = await Dialer(tmp_path, {}).open()
            await dialer.endpoint.listen("UDP", (HOST, 0))
            first, second = dialer.endpoint._udp
            assert dialer.endpoint._routes.discover(("203.0.113.9", 40_000), FAR, second.address[1])
            for udp in (first, second):
                local = dialer.endpoint._routes.toward(FAR, udp.address[1])
                assert dialer.endpoint._udp_for(Flow("UDP", FAR, local)) is udp
            assert dialer.endpoint._udp_for(Flow("UDP", FAR)) is first
            await dialer.close()

        run(main())


def test_a_ping_over_no_connection_and_a_connection_that_is_dead(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        dialer = await Dialer(tmp_path, {}).open()
        failed: asyncio.Queue[Flow] = asyncio.Queue()

        def fail(flow: Flow, *, now: float) -> None:
            failed.put_nowait(flow)

        dialer.endpoint.agent.transport_failed = fail  # type: ignore[method-assign]
        inbox: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *both: inbox.put_nowait(both), HOST, 0)
        flow = Flow("TCP", (HOST, server.sockets[0].getsockname()[1]))
        dialer.endpoint._carry(Ping(flow))
        assert (await within(failed.get())).remote == flow.remote
        dialer.endpoint._carry(Transmit(b"first", flow))
        reader, writer = await within(inbox.get())
        await within(reader.readexactly(5))
        dialer.endpoint._carry(Ping(flow))
        assert await within(reader.readexactly(4)) == b"\r\n\r\n"
        dialer.endpoint._carry(FlowDead(flow))
        dialer.endpoint._carry(FlowDead(flow))
        assert (await within(failed.get())).remote == flow.remote
        dialer.endpoint._carry(Transmit(b"again", flow))
        again, other = await within(inbox.get())
        assert await within(again.readexactly(5)) == b"again", "by another connection"
        assert failed.empty()
        for each in (writer, other):
            each.close()
        server.close()
        await dialer.close()

    run(main())


class Registrar:
    """Over TCP, one connection at a time; it answers what it likes."""

    def __init__(self) -> None:
        self.registered: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        self.pinged: asyncio.Queue[None] = asyncio.Queue()
        self.answers_pings = True
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        framer = StreamFramer()
        while data := await reader.read(65_536):
            if data == b"\r\n\r\n":
                self.pinged.put_nowait(None)
                if self.answers_pings:
                    writer.write(b"\r\n")
                continue
            for each in framer.receive_data(data):
                request = parse_sip(each)
                assert isinstance(request, Request)
                response = make_response(request, 200)
                response.headers.add("Contact", str(request.contact))
                writer.write(bytes(response))
                self.registered.put_nowait(writer)
        writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()
        self._server.close()


def test_a_registration_whose_connection_is_dead_is_made_anew_over_another(
    run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_alive, "ANSWER_S", 0.5)

    async def main() -> None:
        registrar = Registrar()
        account = Account(
            name="office",
            address=Uri.parse("sip:100@pbx.test"),
            contact_user="100-x",
            registrars=(Uri.parse(f"sip:pbx.test:{await registrar.open()};transport=tcp"),),
            keep_alive_s=0.1,
        )
        dialer = await Dialer(tmp_path, {"A pbx.test": [HOST]}, account).open()
        dialer.endpoint.watch()
        dialer.endpoint.command(dialer.endpoint.agent.register, "office")
        first = await within(registrar.registered.get())
        assert isinstance(await within(dialer.events.get()), Registered)
        for _ in range(3):
            await within(registrar.pinged.get())
        assert registrar.registered.empty(), "it is well"
        registrar.answers_pings = False
        second = await within(registrar.registered.get())
        assert second is not first
        registrar.answers_pings = True
        await within(registrar.pinged.get())
        registrar.close()
        await dialer.close()

    run(main())
