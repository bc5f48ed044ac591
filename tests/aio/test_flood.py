"""Floods on real sockets: what strangers cost us, and that calls go on meanwhile (design/telephony.md, section 3)."""

import asyncio
import socket
from ipaddress import ip_network
from pathlib import Path
from random import Random
from resource import getpagesize
from time import perf_counter

from loopback import Clean, until, within

from sipagent.aio.ua import SipEndpoint
from sipagent.sip.account import Account
from sipagent.sip.core import UserAgentSettings
from sipagent.sip.digest import Credentials
from sipagent.sip.events import Accepted, Address, Ended, Event, IncomingInvite, Reinvited, SourceBanned
from sipagent.sip.guard import GuardSettings, Rule
from sipagent.sip.uri import Uri

METHODS = ("OPTIONS", "REGISTER", "INVITE", "SUBSCRIBE", "MESSAGE")
MESSAGES = 5_000
"""Of each method."""
SOURCES = 100
BATCH = 50
"""Messages that are sent before the endpoint gets to read: as many as its socket surely holds."""
RSS_MAX = 64 * 1024 * 1024

DROPPED = ("guard_dropped_rate", "guard_dropped_flood")

AGENT, PHONE, TRUNK = "127.0.0.1", "127.0.0.2", "127.0.0.3"
OFFER = b"v=0 offer"


def rss() -> int:
    """Octets of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def write(method: str, number: int, host: str) -> bytes:
    lines = [
        f"{method} sip:{number}@{AGENT} SIP/2.0",
        f"Via: SIP/2.0/UDP {host};branch=z9hG4bK{method}{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:{number}@{AGENT}>;tag={number}",
        f"To: <sip:{number}@{AGENT}>",
        f"Call-ID: {number}@{host}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:{number}@{host}>",
        "User-Agent: telephone",
        "X: " + "x" * 300,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


class Attackers:
    """Sockets of many addresses; what is sent back to them is counted."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._sockets = []
        self.octets = 0
        for number in range(SOURCES):
            attacker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            attacker.bind((f"127.66.{number}.1", 0))
            attacker.setblocking(False)
            self._sockets.append(attacker)

    async def flood(self, method: str) -> None:
        for number in range(MESSAGES):
            attacker = self._sockets[number % SOURCES]
            data = write(method, number, attacker.getsockname()[0])
            self.octets += len(data)
            attacker.sendto(data, self._target)
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)

    def close(self) -> int:
        """Return the octets that came back."""
        came = 0
        for attacker in self._sockets:
            try:
                while True:
                    came += len(attacker.recv(65_535))
            except BlockingIOError:
                attacker.close()
        return came


class Party:
    """An endpoint and its events; calls to it are answered."""

    def __init__(self, *, guard: GuardSettings | None = None, accounts: tuple[Account, ...] = (), seed: int) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.crashes: list[Exception] = []
        self.bans: list[SourceBanned] = []
        self.endpoint = SipEndpoint(
            UserAgentSettings(guard=guard),
            accounts,
            on_event=self._on_event,
            on_crash=self.crashes.append,
            random=Random(seed),
        )

    def _on_event(self, event: Event) -> None:
        if isinstance(event, IncomingInvite | Reinvited):
            self.endpoint.command(self.endpoint.agent.accept, event.handle, b"v=0 answer")
        elif isinstance(event, SourceBanned):
            self.bans.append(event)
        self.events.put_nowait(event)

    async def expect(self, kind: type[Event]) -> Event:
        while not isinstance(event := await within(self.events.get()), kind):
            pass
        return event

    def call(self, port: int, account: str | None) -> None:
        flow = self.endpoint.flow_to("UDP", (AGENT, port))
        target = Uri("sip", "agent", host=AGENT, port=port)
        self.endpoint.command(self.endpoint.agent.invite, target, flow, account=account, body=OFFER)

    async def close(self) -> None:
        await self.endpoint.close()
        assert self.crashes == []


def account(name: str, password: str) -> Account:
    address = Uri("sip", name, host=AGENT)
    return Account(name=name, address=address, contact_user=name, credentials=Credentials(name, password))


def make_agent() -> Party:
    trunk = Rule(line="trunk", networks=(ip_network(TRUNK),))
    phones = Rule(line="phones", users={"alice": "wonderland"})
    return Party(guard=GuardSettings(rules=(trunk, phones)), seed=1)


def test_five_thousand_messages_of_each_method_from_many_sources(run: Clean) -> None:
    async def main() -> None:
        agent, phone = make_agent(), Party(accounts=(account("alice", "wonderland"),), seed=2)
        port = (await agent.endpoint.listen("UDP", (AGENT, 0)))[1]
        await phone.endpoint.listen("UDP", (PHONE, 0))
        phone.call(port, "alice")
        await phone.expect(Accepted)
        attackers = Attackers((AGENT, port))
        await attackers.flood("INVITE")  # a first one, so that the second finds every table full
        before, began = rss(), perf_counter()
        handle = 1
        for method in METHODS:
            await attackers.flood(method)
            phone.endpoint.command(phone.endpoint.agent.reinvite, handle, OFFER)
            await phone.expect(Accepted)
        spent = perf_counter() - began
        await until(lambda: sum(agent.endpoint.agent.counters[name] for name in DROPPED) > 5 * MESSAGES)
        grown = rss() - before
        counters = {name: count for name, count in agent.endpoint.agent.counters.items() if "guard" in name}
        print(f"{5 * MESSAGES} messages in {spent:.2f} s, memory {grown / 1024:+.0f} kB, {counters}")
        assert grown <= RSS_MAX
        assert agent.endpoint.agent.sessions == 1
        assert attackers.close() <= attackers.octets
        phone.endpoint.command(phone.endpoint.agent.hang_up, handle)
        await agent.expect(Ended)
        await phone.close()
        await agent.close()

    run(main())


def test_who_guesses_passwords_is_banned_and_told_once(run: Clean) -> None:
    async def main() -> None:
        agent = make_agent()
        port = (await agent.endpoint.listen("UDP", (AGENT, 0)))[1]
        guesser = Party(accounts=(account("alice", "guess"),), seed=4)
        await guesser.endpoint.listen("UDP", (PHONE, 0))
        for _ in range(4):
            guesser.call(port, "alice")
            ended = await guesser.expect(Ended)
            assert isinstance(ended, Ended)
            assert ended.status == 401
        guesser.call(port, "alice")
        await until(lambda: agent.bans)
        for _ in range(3):
            guesser.call(port, "alice")
        await until(lambda: agent.endpoint.agent.counters["guard_dropped_banned"] >= 3)
        assert [(ban.source, ban.count) for ban in agent.bans] == [(PHONE, 5)]
        await guesser.close()
        await agent.close()

    run(main())


def test_over_tcp_strangers_are_counted_too(run: Clean) -> None:
    async def main() -> None:
        agent = make_agent()
        port = (await agent.endpoint.listen("TCP", (AGENT, 0)))[1]
        reader, writer = await asyncio.open_connection(AGENT, port, local_addr=("127.66.0.1", 0))
        message = write("OPTIONS", 1, AGENT).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
        writer.write(message * 1_000)
        await until(lambda: agent.endpoint.agent.counters["guard_dropped_rate"] >= 900)
        assert (await within(reader.readuntil(b"\r\n"))) == b"SIP/2.0 401 Unauthorized\r\n"
        assert agent.endpoint.agent.counters["guard_challenged"] <= 100
        writer.close()
        await agent.close()

    run(main())


def test_a_stranger_opens_only_so_many_connections(run: Clean) -> None:
    async def main() -> None:
        agent = make_agent()
        port = (await agent.endpoint.listen("TCP", (AGENT, 0)))[1]
        opened = [await asyncio.open_connection(AGENT, port, local_addr=("127.66.0.1", 0)) for _ in range(80)]
        await until(lambda: agent.endpoint.counters["connections_refused"] >= 20)
        trusted = [await asyncio.open_connection(AGENT, port, local_addr=(TRUNK, 0)) for _ in range(60)]
        trusted[-1][1].write(write("OPTIONS", 1, TRUNK).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP"))
        assert (await within(trusted[-1][0].readuntil(b"\r\n"))) == b"SIP/2.0 200 OK\r\n"
        for _, writer in opened + trusted:
            writer.close()
        await agent.close()

    run(main())


def test_the_flow_of_a_trunk_is_not_counted(run: Clean) -> None:
    async def main() -> None:
        agent = make_agent()
        port = (await agent.endpoint.listen("UDP", (AGENT, 0)))[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((TRUNK, 0))
            for number in range(1_000):
                sender.sendto(write("OPTIONS", number, TRUNK), (AGENT, port))
                if number % BATCH == 0:
                    await asyncio.sleep(0)
            await until(lambda: agent.endpoint.agent.counters["replied_200"] == 1_000)
        await agent.close()

    run(main())
