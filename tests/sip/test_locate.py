"""Where requests go: RFC 3263 over zones written down here."""

from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from random import Random

import pytest

from sipagent.sip.locate import (
    DEFAULT_PORTS,
    MAX_ADDRESSES,
    MAX_NAPTRS,
    MAX_SERVERS,
    MAX_TARGETS,
    Answer,
    Family,
    Location,
    Naptr,
    Query,
    Record,
    Srv,
    put_in_order,
)
from sipagent.sip.uri import Uri

ALL = ("UDP", "TCP", "TLS", "WS", "WSS")
BOTH: tuple[Family, ...] = ("AAAA", "A")
Zone = Mapping[str, Sequence[Record]]
"""``"NAPTR example.com"`` → records."""

MAIN = {"A main.example.com": ["192.0.2.1"], "A backup.example.com": ["192.0.2.2"]}
UDP_SRV = {"SRV _sip._udp.example.com": [Srv(0, 1, 5061, "main.example.com.")]}
TCP_SRV = {"SRV _sip._tcp.example.com": [Srv(0, 1, 5062, "main.example.com.")]}
TLS_SRV = {"SRV _sips._tcp.example.com": [Srv(0, 1, 5063, "main.example.com.")]}
SRVS = {**UDP_SRV, **TCP_SRV, **TLS_SRV, **MAIN, "A example.com": ["192.0.2.9"]}
UDP_NAPTR = Naptr(20, 10, "S", "SIP+D2U", "_sip._udp.example.com.")
TCP_NAPTR = Naptr(10, 10, "s", "sip+d2t", "_sip._tcp.example.com.")
TLS_NAPTR = Naptr(5, 10, "S", "SIPS+D2T", "_sips._tcp.example.com.")
DUAL = {"A example.com": ["192.0.2.1"], "AAAA example.com": ["2001:db8::1"]}
NAPTRS = {"NAPTR example.com": [UDP_NAPTR, TLS_NAPTR, TCP_NAPTR], **SRVS}


def search(
    uri: str,
    zone: Zone | None = None,
    *,
    transports: Sequence[str] = ALL,
    families: Sequence[Family] = BOTH,
    failing: Sequence[str] = (),
    seed: int = 1,
) -> tuple[Location, list[str]]:
    """Search a zone; return the search, at its end, and what it asked."""
    location = Location(Uri.parse(uri), transports=transports, families=families, random=Random(seed))
    asked = []
    while location.wanted:
        query = location.wanted[0]
        question = f"{query.kind} {query.name}"
        assert question not in asked, "asked twice"
        assert location.reason == "", "not before the end"
        asked.append(question)
        records = tuple((zone or {}).get(question, ()))
        location.receive_answer(query, Answer(failure="timed out") if query.kind in failing else Answer(records))
    return location, asked


def locate(uri: str, zone: Zone | None = None, **options: object) -> str:
    """What was found, in short."""
    targets = search(uri, zone, **options)[0].targets  # type: ignore[arg-type]
    return ", ".join(f"{target.transport} {target.remote[0]}:{target.remote[1]}" for target in targets)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sip:100@192.0.2.1", "UDP 192.0.2.1:5060"),
        ("sip:192.0.2.1:5080", "UDP 192.0.2.1:5080"),
        ("sip:192.0.2.1;transport=tcp", "TCP 192.0.2.1:5060"),
        ("sip:192.0.2.1;transport=TLS", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=tcp", "TLS 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=ws", "WSS 192.0.2.1:443"),
        ("sip:192.0.2.1;transport=ws", "WS 192.0.2.1:80"),
        ("sip:192.0.2.1:8080;transport=ws", "WS 192.0.2.1:8080"),
        ("sip:192.0.2.1;transport=wss", "WSS 192.0.2.1:443"),
        ("sip:[2001:db8::1]", "UDP 2001:db8::1:5060"),
        ("sip:[2001:db8::1]:5070;transport=tcp", "TCP 2001:db8::1:5070"),
        ("sip:example.com;maddr=192.0.2.7", "UDP 192.0.2.7:5060"),
        ("sip:example.com:5070;maddr=[2001:db8::7];transport=tcp", "TCP 2001:db8::7:5070"),
    ],
)
def test_a_numeric_host_needs_no_look_up(uri: str, found: str) -> None:
    assert locate(uri) == found
    assert search(uri)[1] == []


@pytest.mark.parametrize(
    ("uri", "asked", "found"),
    [
        # An explicit port: neither NAPTR nor SRV.
        ("sip:main.example.com:5080", ["A main.example.com"], "UDP 192.0.2.1:5080"),
        ("sip:MAIN.example.com.:5080", ["A main.example.com"], "UDP 192.0.2.1:5080"),
        ("sips:main.example.com:5080", ["A main.example.com"], "TLS 192.0.2.1:5080"),
        ("sip:main.example.com:5080;transport=tcp", ["A main.example.com"], "TCP 192.0.2.1:5080"),
        # An explicit transport: no NAPTR.
        (
            "sip:example.com;transport=udp",
            ["SRV _sip._udp.example.com", "A main.example.com"],
            "UDP 192.0.2.1:5061",
        ),
        (
            "sip:example.com;transport=tcp",
            ["SRV _sip._tcp.example.com", "A main.example.com"],
            "TCP 192.0.2.1:5062",
        ),
        (
            "sip:example.com;transport=tls",
            ["SRV _sips._tcp.example.com", "A main.example.com"],
            "TLS 192.0.2.1:5063",
        ),
        (
            "sips:example.com;transport=tcp",
            ["SRV _sips._tcp.example.com", "A main.example.com"],
            "TLS 192.0.2.1:5063",
        ),
        ("sip:example.com;transport=ws", ["A example.com"], "WS 192.0.2.9:80"),
        ("sips:example.com;transport=wss", ["A example.com"], "WSS 192.0.2.9:443"),
        # Neither: NAPTR says which, most preferred first.
        (
            "sip:example.com",
            [
                "NAPTR example.com",
                "SRV _sips._tcp.example.com",
                "SRV _sip._tcp.example.com",
                "SRV _sip._udp.example.com",
                "A main.example.com",
            ],
            "TLS 192.0.2.1:5063, TCP 192.0.2.1:5062, UDP 192.0.2.1:5061",
        ),
        (
            "sips:example.com",
            ["NAPTR example.com", "SRV _sips._tcp.example.com", "A main.example.com"],
            "TLS 192.0.2.1:5063",
        ),
    ],
)
def test_what_is_asked_and_found(uri: str, asked: list[str], found: str) -> None:
    location, questions = search(uri, NAPTRS, families=("A",))
    assert (questions, locate(uri, NAPTRS, families=("A",))) == (asked, found)
    assert {target.name for target in location.targets} == {Uri.parse(uri).host}


class TestNaptr:
    @pytest.mark.parametrize(
        ("records", "transports", "found"),
        [
            pytest.param([UDP_NAPTR], ALL, "UDP 192.0.2.1:5061", id="udp"),
            pytest.param([TCP_NAPTR], ALL, "TCP 192.0.2.1:5062", id="tcp"),
            pytest.param([TLS_NAPTR], ALL, "TLS 192.0.2.1:5063", id="sips for a sip URI"),
            pytest.param([UDP_NAPTR, TCP_NAPTR], ALL, "TCP 192.0.2.1:5062, UDP 192.0.2.1:5061", id="the lower order"),
            pytest.param(
                [UDP_NAPTR, Naptr(20, 5, "s", "SIP+D2T", "_sip._tcp.example.com")],
                ALL,
                "TCP 192.0.2.1:5062, UDP 192.0.2.1:5061",
                id="the lower preference",
            ),
            pytest.param([UDP_NAPTR, TCP_NAPTR], ("UDP",), "UDP 192.0.2.1:5061", id="a transport we lack"),
            pytest.param([TLS_NAPTR], ("UDP", "TCP"), "UDP 192.0.2.1:5061, TCP 192.0.2.1:5062", id="none that we have"),
            pytest.param(
                [Naptr(1, 1, "s", "SIP+D2T", "_gone._tcp.example.com"), UDP_NAPTR],
                ALL,
                "UDP 192.0.2.1:5061",
                id="one that leads nowhere",
            ),
            pytest.param(
                [Naptr(1, 1, "s", "SIP+D2T", "_gone._tcp.example.com")],
                ALL,
                "UDP 192.0.2.1:5061, TCP 192.0.2.1:5062",
                id="all lead nowhere",
            ),
            pytest.param(
                [
                    Naptr(1, 1, "u", "E2U+sip", "."),
                    Naptr(1, 1, "u", "SIP+D2U", "_sip._udp.example.com"),
                    Naptr(1, 1, "s", "SIP+D2S", "_sip._sctp.example.com"),
                    Naptr(1, 1, "s", "", ""),
                    TCP_NAPTR,
                ],
                ALL,
                "TCP 192.0.2.1:5062",
                id="what is not for us",
            ),
            pytest.param(
                [Naptr(1, 1, "s", "SIPS+D2W", "_wss.example.com")], ALL, "WSS 192.0.2.1:8443", id="a WebSocket"
            ),
        ],
    )
    def test_which_transport(self, records: list[Record], transports: Sequence[str], found: str) -> None:
        zone = {**SRVS, "NAPTR example.com": records, "SRV _wss.example.com": [Srv(0, 0, 8443, "main.example.com")]}
        assert locate("sip:example.com", zone, transports=transports, families=("A",)) == found

    def test_sips_takes_no_transport_that_is_not_secure(self) -> None:
        zone = {**SRVS, "NAPTR example.com": [UDP_NAPTR, TCP_NAPTR]}
        assert locate("sips:example.com", zone, families=("A",)) == "TLS 192.0.2.1:5063"

    def test_an_explicit_transport_is_used_whatever_it_says(self) -> None:
        asked = search("sip:example.com;transport=udp", NAPTRS)[1]
        assert "NAPTR example.com" not in asked


class TestSrv:
    @pytest.mark.parametrize(
        ("transports", "found"),
        [
            (ALL, "UDP 192.0.2.1:5061, TCP 192.0.2.1:5062"),
            (("TCP", "TLS"), "TCP 192.0.2.1:5062"),
            (("TLS",), "TLS 192.0.2.1:5063"),
        ],
    )
    def test_without_naptr_every_transport_of_ours_is_asked_for(self, transports: Sequence[str], found: str) -> None:
        assert locate("sip:example.com", SRVS, transports=transports, families=("A",)) == found

    def test_the_lower_priority_number_comes_first_and_the_other_is_there_to_fail_over(self) -> None:
        records = [Srv(20, 100, 5062, "backup.example.com"), Srv(10, 0, 5061, "main.example.com")]
        zone = {"SRV _sip._udp.example.com": records, **MAIN, "AAAA main.example.com": ["2001:db8::1"]}
        found = "UDP 2001:db8::1:5061, UDP 192.0.2.1:5061, UDP 192.0.2.2:5062"
        assert locate("sip:example.com;transport=udp", zone) == found

    @pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
    def test_without_records_the_address_and_the_default_port(self, transport: str) -> None:
        found = locate(f"sip:example.com;transport={transport}", {"A example.com": ["192.0.2.9"]})
        assert found == f"{transport.upper()} 192.0.2.9:{DEFAULT_PORTS[transport.upper()]}"

    def test_a_server_without_an_address_is_passed_over(self) -> None:
        records = [Srv(1, 0, 5061, "gone.example.com"), Srv(2, 0, 5062, "backup.example.com")]
        assert locate("sip:example.com", {"SRV _sip._tcp.example.com": records, **MAIN}) == "TCP 192.0.2.2:5062"

    def test_a_server_named_by_its_address(self) -> None:
        zone = {"SRV _sip._udp.example.com": [Srv(1, 0, 5061, "192.0.2.5")]}
        assert locate("sip:example.com", zone) == "UDP 192.0.2.5:5061"

    def test_a_dot_says_that_the_service_is_not_to_be_had(self) -> None:
        no_udp = {"SRV _sip._udp.example.com": [Srv(0, 0, 0, ".")]}
        assert locate("sip:example.com;transport=udp", {**SRVS, **no_udp}) == ""
        assert locate("sip:example.com", {**SRVS, **no_udp}) == "TCP 192.0.2.1:5062"
        location, asked = search("sip:example.com", {"A example.com": ["192.0.2.9"], **no_udp})
        assert (location.targets, "A example.com" in asked) == ((), False)


class TestWeights:
    def test_servers_are_drawn_in_proportion(self) -> None:
        random = Random(7)
        records = [Srv(1, weight, 5060, str(weight)) for weight in (0, 10, 30, 60)]
        firsts = Counter(put_in_order(records, random=random)[0].weight for _ in range(10_000))
        for weight in (10, 30, 60):
            assert firsts[weight] == pytest.approx(10_000 * weight / 101, rel=0.1)
        assert 0 < firsts[0] < 200, "a small chance, as the RFC wants"

    def test_each_comes_once_and_no_priority_before_a_lower_one(self) -> None:
        records = [Srv(priority, weight, 5060, "a") for priority in (2, 1) for weight in (0, 5, 5)]
        for seed in range(50):
            order = put_in_order(records, random=Random(seed))
            assert [record.priority for record in order] == [1, 1, 1, 2, 2, 2]
            assert Counter(order) == Counter(records)

    def test_without_weights_all_have_a_place(self) -> None:
        records = [Srv(1, 0, port, "a") for port in range(3)]
        assert Counter(put_in_order(records, random=Random(1))) == Counter(records)
        assert put_in_order([], random=Random(1)) == []

    def test_the_same_seed_gives_the_same_order(self) -> None:
        zone = {"SRV _sip._udp.example.com": [Srv(1, 1, port, "main.example.com") for port in range(5)], **MAIN}
        assert locate("sip:example.com", zone, seed=3) == locate("sip:example.com", zone, seed=3)
        assert len({locate("sip:example.com", zone, seed=seed) for seed in range(20)}) > 5


class TestFamilies:
    @pytest.mark.parametrize(
        ("families", "found"),
        [
            (("A",), "UDP 192.0.2.1:5080"),
            (("AAAA",), "UDP 2001:db8::1:5080"),
            (("A", "AAAA"), "UDP 192.0.2.1:5080, UDP 2001:db8::1:5080"),
            (("AAAA", "A"), "UDP 2001:db8::1:5080, UDP 192.0.2.1:5080"),
        ],
    )
    def test_those_that_we_have_in_the_order_that_we_like(self, families: Sequence[Family], found: str) -> None:
        location, asked = search("sip:example.com:5080", DUAL, families=families)
        assert asked == [f"{family} example.com" for family in families]
        assert ", ".join(f"UDP {target.remote[0]}:{target.remote[1]}" for target in location.targets) == found

    def test_a_numeric_host_of_a_family_that_we_lack(self) -> None:
        location, _ = search("sip:[2001:db8::1]", families=("A",))
        assert location.targets == ()
        assert location.reason == "2001:db8::1 has no address that we can send to"


class TestNowhere:
    @pytest.mark.parametrize(
        ("uri", "transports", "reason"),
        [
            ("sip:example.com;transport=tcp", ("UDP",), "none of our transports carries sip over TCP"),
            ("sips:example.com", ("UDP", "TCP"), "none of our transports carries sips"),
            ("sips:example.com;transport=udp", ALL, "none of our transports carries sips over UDP"),
            ("sip:example.com;transport=sctp", ALL, "none of our transports carries sip over SCTP"),
            ("tel:+4930123456", ALL, "a tel URI names no host"),
            ("sip:example.com:5060", ALL, "example.com has no address that we can send to"),
        ],
    )
    def test_it_says_why(self, uri: str, transports: Sequence[str], reason: str) -> None:
        location, _ = search(uri, transports=transports)
        assert (location.targets, location.reason) == ((), reason)

    def test_a_name_server_that_fails_is_named_as_the_cause(self) -> None:
        location, _ = search("sip:example.com", failing=["NAPTR", "SRV", "A", "AAAA"])
        assert location.reason == "example.com has no address that we can send to: timed out"

    def test_a_name_server_that_knows_addresses_only_is_enough(self) -> None:
        found = locate("sip:example.com", SRVS, failing=["NAPTR", "SRV"], families=("A",))
        assert found == "UDP 192.0.2.9:5060"

    def test_when_something_was_found_there_is_no_reason(self) -> None:
        assert search("sip:192.0.2.1")[0].reason == ""


class TestBounds:
    def test_a_domain_that_names_a_crowd(self) -> None:
        zone: dict[str, list[Record]] = {
            "NAPTR example.com": [Naptr(n, 0, "s", "SIP+D2U", f"{n}.example.com") for n in range(20)]
        }
        for n in range(20):
            zone[f"SRV {n}.example.com"] = [Srv(0, 0, port, f"{port}.{n}.example.com") for port in range(20)]
            for port in range(20):
                addresses = [str(IPv4Address((n * 20 + port) * 20 + host)) for host in range(20)]
                zone[f"A {port}.{n}.example.com"] = [*addresses]
        location, asked = search("sip:example.com", zone)
        assert len(location.targets) == MAX_TARGETS
        assert len(asked) <= 1 + MAX_NAPTRS + 2 * MAX_SERVERS

    def test_a_server_with_a_crowd_of_addresses_leaves_room_for_the_next(self) -> None:
        zone = {
            "SRV _sip._udp.example.com": [Srv(1, 0, 5061, "crowd.example.com"), Srv(2, 0, 5062, "backup.example.com")],
            "A crowd.example.com": [f"198.51.100.{n}" for n in range(200)],
            **MAIN,
        }
        location, _ = search("sip:example.com", zone)
        assert len(location.targets) == MAX_ADDRESSES + 1
        assert location.targets[-1].remote == ("192.0.2.2", 5062)

    def test_an_address_that_two_names_share_is_one_target(self) -> None:
        zone = {
            "SRV _sip._udp.example.com": [Srv(1, 0, 5060, "a.example.com"), Srv(2, 0, 5060, "b.example.com")],
            "A a.example.com": ["192.0.2.1"],
            "A b.example.com": ["192.0.2.1"],
        }
        assert locate("sip:example.com", zone) == "UDP 192.0.2.1:5060"

    def test_an_answer_of_the_wrong_kind_is_none(self) -> None:
        zone = {
            "SRV _sip._udp.example.com": ["192.0.2.1", UDP_NAPTR],
            "A example.com": [Srv(1, 1, 1, "x"), "192.0.2.9"],
        }
        assert locate("sip:example.com;transport=udp", zone) == "UDP 192.0.2.9:5060"


def test_answers_may_come_in_any_order_and_those_that_are_not_wanted_are_ignored() -> None:
    location = Location(Uri.parse("sip:example.com"), transports=("UDP", "TCP"), families=("A",), random=Random(1))
    naptr = Query("example.com", "NAPTR")
    assert location.wanted == (naptr,)
    location.receive_answer(Query("example.com", "A"), Answer(("192.0.2.66",)))
    location.receive_answer(naptr, Answer())
    udp, tcp = location.wanted
    location.receive_answer(tcp, Answer((Srv(1, 1, 5062, "main.example.com"),)))
    assert location.wanted == (udp,)
    location.receive_answer(tcp, Answer((Srv(1, 1, 6666, "evil.example.com"),)))
    location.receive_answer(udp, Answer())
    (address,) = location.wanted
    assert address == Query("main.example.com", "A")
    location.receive_answer(address, Answer(("192.0.2.1",)))
    assert [(target.transport, target.remote) for target in location.targets] == [("TCP", ("192.0.2.1", 5062))]
    location.receive_answer(address, Answer(("192.0.2.66",)))
    assert len(location.targets) == 1
