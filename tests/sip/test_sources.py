"""Sources: what an address stands for, and whose peer it is."""

from ipaddress import ip_network

import pytest

from sipagent.sip.sources import SOURCES_MAX, Sources

NETWORKS = [[ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")], [ip_network("10.1.0.0/16")], []]


@pytest.mark.parametrize(
    ("host", "shown", "lines"),
    [
        ("192.0.2.1", "192.0.2.1", ()),
        ("10.2.3.4", "10.2.3.4", (0,)),
        ("10.1.3.4", "10.1.3.4", (1, 0)),
        ("11.0.0.0", "11.0.0.0", ()),
        ("::ffff:10.1.3.4", "10.1.3.4", (1, 0)),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", (0,)),
        ("2001:db9:1:2:3:4:5:6", "2001:db9:1:2::/64", ()),
        ("::1", "::/64", ()),
        ("fe80::1%eth0", "fe80::/64", ()),
        ("pbx.example.com", "pbx.example.com", ()),
        ("", "", ()),
    ],
)
def test_found(host: str, shown: str, lines: tuple[int, ...]) -> None:
    source = Sources(NETWORKS).find(host)
    assert (str(source), source.lines) == (shown, lines)


def test_all_addresses_of_an_ipv6_subnet_are_one() -> None:
    sources = Sources([])
    keys = {sources.find(f"2001:db8::{number:x}").key for number in range(100)}
    assert len(keys) == 1
    assert sources.find("2001:db8:0:1::1").key not in keys


def test_a_network_comes_and_goes() -> None:
    sources = Sources(NETWORKS)
    assert sources.find("192.0.2.1").lines == ()
    sources.add(ip_network("192.0.2.1/32"), 2)
    assert sources.find("192.0.2.1").lines == (2,)
    assert sources.find("192.0.2.2").lines == ()
    sources.remove(ip_network("192.0.2.1/32"), 2)
    assert sources.find("192.0.2.1").lines == ()


def test_what_was_found_is_bounded() -> None:
    sources = Sources(NETWORKS)
    for number in range(3 * SOURCES_MAX):
        sources.find(f"192.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert len(sources) <= SOURCES_MAX
