"""Look-ups against a name server of ours on the loopback; time is told, not waited for."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from loopback import HOST, Clean, within
from name_server import NameServer, Zone

from sipagent.aio import dns as dns_module
from sipagent.aio.dns import (
    MAX_KNOWN,
    MAX_LOOK_UPS,
    MAX_TTL_S,
    NEGATIVE_S,
    STALE_S,
    Resolver,
    look_up,
)
from sipagent.sip.locate import Answer, Family, Location, Query
from sipagent.sip.uri import Uri

ZONE: Zone = {
    "NAPTR example.com": ['10 10 "s" "SIP+D2T" "" _sip._tcp.example.com.', '20 10 "s" "SIP+D2U" "" _udp.example.com.'],
    "SRV _sip._tcp.example.com": ["1 1 5062 a.example.com.", "2 1 5063 b.example.com."],
    "SRV _udp.example.com": ["1 1 5064 a.example.com."],
    "A a.example.com": ["192.0.2.1"],
    "A b.example.com": ["192.0.2.2"],
    "AAAA b.example.com": ["2001:db8::2"],
}
A = Query("a.example.com", "A")
FOUND = Answer(("192.0.2.1",))


FILE = """# ours
192.0.2.10\tPBX.example.com pbx # the office
2001:db8::10 pbx
192.0.2.11 pbx
bad line

::1%lo l
"""


class Bench:
    """A name server, a resolver that asks it, and a clock that is turned by hand."""

    def __init__(
        self, directory: Path, zone: Zone = ZONE, *, hosts: str = "", servers: Sequence[str] = (HOST,)
    ) -> None:
        self.server = NameServer(zone)
        self.now = 1_000.0
        (directory / "hosts").write_text(hosts)
        self.resolver = Resolver(
            random=Random(1),
            configuration=self.server.configure(directory, servers=servers),
            hosts=directory / "hosts",
            port=self.server.port,
            clock=lambda: self.now,
        )

    async def ask(self, query: Query = A) -> Answer:
        """Ask, and wait for the answer."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.resolver.ask(query, answered.set_result)
        return await within(answered)

    def ask_now(self, query: Query = A) -> Answer | None:
        """Ask; return the answer if it came at once."""
        told: list[Answer] = []
        self.resolver.ask(query, told.append)
        return told[0] if told else None

    async def locate(self, uri: str, families: Sequence[Family] = ("A",)) -> Location:
        located: asyncio.Future[Location] = asyncio.get_running_loop().create_future()
        self.resolver.locate(
            Uri.parse(uri), transports=("UDP", "TCP"), families=families, located=located.set_result
        )
        return await within(located)

    async def find(self, uri: str, families: Sequence[Family] = ("A",)) -> list[str]:
        targets = (await self.locate(uri, families)).targets
        return [f"{target.transport} {target.remote[0]}:{target.remote[1]}" for target in targets]

    def close(self) -> None:
        self.resolver.close()
        self.server.close()


class System:
    """Stands for the system's own ways."""

    def __init__(self, **addresses: str) -> None:
        self.asked: list[str] = []
        self.addresses = addresses
        asyncio.get_running_loop().getaddrinfo = self.getaddrinfo  # type: ignore[method-assign, assignment]

    async def getaddrinfo(self, host: str, _port: None, *, family: int, **_: object) -> list[Any]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError("no such host")
        return [(family, 0, 0, "", (self.addresses[host], 0))]


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name servers that keep silent are given up in no time."""
    monkeypatch.setattr(dns_module, "TRY_S", 0.1)
    monkeypatch.setattr(dns_module, "LOOK_UP_S", 0.4)


def test_a_domain_leads_to_its_servers_by_naptr_and_srv_and_a(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        found = ["TCP 192.0.2.1:5062", "TCP 192.0.2.2:5063", "UDP 192.0.2.1:5064"]
        assert await bench.find("sip:example.com") == found
        assert sorted(bench.server.asked) == [
            "A a.example.com",
            "A b.example.com",
            "NAPTR example.com",
            "SRV _sip._tcp.example.com",
            "SRV _udp.example.com",
        ]
        both = await bench.find("sip:example.com;transport=tcp", ("AAAA", "A"))
        assert both == ["TCP 192.0.2.1:5062", "TCP 2001:db8::2:5063", "TCP 192.0.2.2:5063"]
        bench.close()

    run(main())


def test_what_is_known_is_told_in_the_same_stack(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        first = await bench.locate("sip:example.com")
        asked = len(bench.server.asked)
        told: list[Location] = []
        bench.resolver.locate(
            Uri.parse("sip:EXAMPLE.com"), transports=("UDP", "TCP"), families=("A",), located=told.append
        )
        assert [location.targets for location in told] == [first.targets]
        assert len(bench.server.asked) == asked
        bench.close()

    run(main())


class TestTtl:
    def test_is_obeyed(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            assert await bench.ask() == FOUND
            bench.server.zone["A a.example.com"] = ["192.0.2.7"]
            bench.now += 59.0
            assert bench.ask_now() == FOUND
            bench.now += 1.0
            assert bench.ask_now() is None
            assert await bench.ask() == Answer(("192.0.2.7",))
            bench.close()

        run(main())

    @pytest.mark.parametrize(("ttl", "kept_s"), [(0, 1.0), (2**31 - 1, MAX_TTL_S)])
    def test_has_bounds(self, run: Clean, tmp_path: Path, ttl: int, kept_s: float) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.ttl = ttl
            await bench.ask()
            bench.now += kept_s - 0.01
            assert bench.ask_now() == FOUND
            bench.now += 0.01
            assert bench.ask_now() is None
            assert await bench.ask() == FOUND
            bench.close()

        run(main())

    def test_of_what_is_not_there_is_short(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench, system = Bench(tmp_path), System()
            naptr, nobody = Query("a.example.com", "NAPTR"), Query("nobody.test", "A")
            assert await bench.ask(naptr) == Answer()
            assert await bench.ask(nobody) == Answer(failure="there is no such name")
            bench.server.zone["A nobody.test"] = ["192.0.2.8"]
            bench.now += NEGATIVE_S - 0.01
            assert bench.ask_now(naptr) == Answer()
            assert bench.ask_now(nobody) == Answer(failure="there is no such name")
            bench.now += 0.01
            assert await bench.ask(nobody) == Answer(("192.0.2.8",))
            assert system.asked == ["nobody.test"], "DNS knows it now"
            bench.close()

        run(main())


class TestFailingServers:
    def test_the_next_one_is_asked_when_one_is_dead(self, run: Clean, tmp_path: Path, fast: None) -> None:
        async def main() -> None:
            bench = Bench(tmp_path, servers=("127.0.0.9", "127.0.0.2", HOST))
            dead = NameServer({}, host="127.0.0.2", port=bench.server.port)
            dead.silent = {"A"}
            assert await bench.ask() == FOUND
            assert dead.asked, "it was asked first"
            dead.close()
            bench.close()

        run(main())

    def test_a_lost_query_is_repeated(self, run: Clean, tmp_path: Path, fast: None) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.silent = {"A"}
            answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            bench.resolver.ask(A, answered.set_result)
            await within(bench.server.heard.wait())
            bench.server.silent.clear()
            assert await within(answered) == FOUND
            bench.close()

        run(main())

    def test_silence_ends_and_says_so(self, run: Clean, tmp_path: Path, fast: None) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.silent = {"NAPTR", "SRV", "A"}
            location = await bench.locate("sip:example.com")
            assert location.targets == ()
            assert location.reason.endswith("has no address that we can send to: no name server answered within 0.4 s")
            assert {asked.split()[0] for asked in bench.server.asked} == {"NAPTR", "SRV", "A"}
            bench.close()

        run(main())

    def test_a_router_that_knows_addresses_only_is_enough(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.failing = {"NAPTR", "SRV"}
            assert await bench.find("sip:b.example.com") == ["UDP 192.0.2.2:5060"]
            bench.close()

        run(main())

    def test_a_failure_says_what_the_server_said(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.failing = {"A"}
            assert "SERVFAIL" in (await bench.ask()).failure
            bench.now += NEGATIVE_S
            bench.server.failing.clear()
            assert await bench.ask() == FOUND
            bench.close()

        run(main())

    def test_an_old_answer_serves_when_nobody_answers_but_not_for_ever(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            await bench.ask()
            bench.server.failing = {"A"}
            bench.now += 61.0
            assert await bench.ask() == FOUND
            asked = len(bench.server.asked)
            assert bench.ask_now() == FOUND
            bench.now += NEGATIVE_S
            assert await bench.ask() == FOUND
            assert len(bench.server.asked) > asked, "it is asked again before long"
            bench.now += STALE_S
            assert (await bench.ask()).records == ()
            bench.close()

        run(main())

    def test_a_name_that_is_gone_is_gone_at_once(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench, _ = Bench(tmp_path), System()
            await bench.ask()
            bench.server.zone.clear()
            bench.now += 61.0
            assert (await bench.ask()).records == ()
            bench.close()

        run(main())


class TestHosts:
    def test_a_name_written_down_is_looked_up_nowhere_else(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path, hosts=FILE)
            assert await bench.find("sip:pbx.example.com") == ["UDP 192.0.2.10:5060"]
            both = await bench.find("sip:pbx;transport=tcp", ("AAAA", "A"))
            assert both == ["TCP 2001:db8::10:5060", "TCP 192.0.2.10:5060", "TCP 192.0.2.11:5060"]
            assert await bench.find("sip:l:5080", ("AAAA", "A")) == ["UDP ::1:5080"]
            assert bench.server.asked == []
            bench.close()

        run(main())

    def test_a_change_is_noticed(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            assert await bench.ask() == FOUND
            (tmp_path / "hosts").write_text("192.0.2.12 a.example.com")
            assert bench.ask_now() == Answer(("192.0.2.12",))
            (tmp_path / "hosts").unlink()
            assert bench.ask_now() == FOUND
            bench.close()

        run(main())


class TestSystem:
    def test_is_asked_for_what_dns_does_not_know(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench, system = Bench(tmp_path), System(**{"pbx.local": "192.0.2.20"})
            assert await bench.find("sip:pbx.local") == ["UDP 192.0.2.20:5060"]
            assert system.asked == ["pbx.local"]
            bench.close()

        run(main())

    def test_is_asked_when_no_name_server_is_configured(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench, _ = Bench(tmp_path), System(pbx="192.0.2.20")
            (tmp_path / "resolv.conf").unlink()
            assert await bench.find("sip:pbx") == ["UDP 192.0.2.20:5060"]
            location = await bench.locate("sip:nobody")
            assert location.reason.endswith("no name server is configured")
            bench.close()

        run(main())

    def test_name_servers_may_change(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path, servers=("127.0.0.9",))
            assert (await bench.ask()).records == ()
            bench.now += NEGATIVE_S
            bench.server.configure(tmp_path)
            assert await bench.ask() == FOUND
            bench.close()

        run(main())

    @pytest.mark.parametrize("host", ["nowhere.example", "a" * 64 + ".example"])
    def test_what_has_no_address(self, run: Clean, host: str) -> None:
        async def main() -> None:
            if host == "nowhere.example":
                System()
            assert await look_up(host) is None

        run(main())


class TestManyWait:
    def test_all_are_told_in_their_order_after_one_look_up(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            told: list[tuple[int, Answer]] = []
            done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            for number in range(3):
                bench.resolver.ask(A, lambda answer, number=number: told.append((number, answer)))  # type: ignore[misc]
            bench.resolver.ask(A, done.set_result)
            await within(done)
            assert told == [(0, FOUND), (1, FOUND), (2, FOUND)]
            assert bench.server.asked == ["A a.example.com"]
            bench.close()

        run(main())

    def test_slow_names_hold_up_no_more_than_so_many(self, run: Clean, tmp_path: Path) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            bench.server.hold()
            told: list[Answer] = []
            for number in range(MAX_LOOK_UPS + 3):
                bench.resolver.ask(Query(f"{number}.example.com", "A"), told.append)
            assert told == [Answer(failure="too many look-ups at once")] * 3
            bench.close()

        run(main())

    def test_the_answers_kept_are_bounded(self, run: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dns_module, "MAX_KNOWN", 2)
        assert MAX_KNOWN > 100

        async def main() -> None:
            bench = Bench(tmp_path)
            queries = [A, Query("b.example.com", "A"), Query("b.example.com", "AAAA")]
            for query in queries:
                await bench.ask(query)
            assert [bench.ask_now(query) is not None for query in queries] == [False, True, True]
            assert await bench.ask() == FOUND
            bench.close()

        run(main())


def test_a_name_that_is_none_fails_with_a_reason(run: Clean, tmp_path: Path) -> None:
    async def main() -> None:
        bench = Bench(tmp_path)
        answer = await bench.ask(Query("a" * 64 + ".example", "A"))
        assert (answer.records, answer.failure != "") == ((), True)
        bench.close()

    run(main())
