"""Which of our addresses a peer is told."""

from collections.abc import Sequence

import pytest

from sipagent.sip.events import Address
from sipagent.sip.nat import MAX_REGISTRARS, Outside, View

LAN: Address = ("192.168.1.5", 5060)
FAR = "203.0.113.80"
STUN = View(("198.51.100.1", 40_000), 5060)
SEEN = View(("198.51.100.2", 50_000), 5060)


def outside(configured: str | None = None, stun: View | None = None, seen: Sequence[tuple[str, View]] = ()) -> Outside:
    built = Outside(configured)
    if stun:
        assert built.discover(stun, LAN)
    for registrar, view in seen:
        assert built.learn(registrar, view)
    return built


@pytest.mark.parametrize(
    ("known", "remote", "local", "told"),
    [
        pytest.param(outside(), FAR, LAN, LAN, id="nothing is known"),
        pytest.param(outside("198.51.100.9"), FAR, LAN, ("198.51.100.9", 5060), id="configured, far"),
        pytest.param(outside("198.51.100.9"), "192.168.1.20", LAN, LAN, id="configured, in the LAN"),
        pytest.param(outside("198.51.100.9"), "10.8.0.1", ("10.8.0.2", 5060), ("10.8.0.2", 5060), id="over a VPN"),
        pytest.param(outside("198.51.100.9"), "100.64.1.1", LAN, LAN, id="in the provider's own network"),
        pytest.param(outside("198.51.100.9"), "127.0.0.1", ("127.0.0.1", 5060), ("127.0.0.1", 5060), id="on this host"),
        pytest.param(outside("198.51.100.9"), "192.168.1.5", LAN, LAN, id="on this host, by its address"),
        pytest.param(
            outside("192.168.1.5"), "192.168.1.20", ("172.17.0.2", 5060), LAN, id="in a container, from the LAN"
        ),
        pytest.param(outside("192.168.1.5"), FAR, ("172.17.0.2", 5060), LAN, id="in a container, from afar"),
        pytest.param(
            outside("192.168.1.5"), "172.17.0.2", ("172.17.0.2", 5060), ("172.17.0.2", 5060), id="within the container"
        ),
        pytest.param(outside("198.51.100.9"), "2001:db8::1", ("2001:db8::5", 5060), ("2001:db8::5", 5060), id="IPv6"),
        pytest.param(outside("2001:db8::9"), "fd00::1", ("fd00::5", 5060), ("fd00::5", 5060), id="IPv6, private"),
        pytest.param(outside(stun=STUN), FAR, LAN, STUN.address, id="STUN, far"),
        pytest.param(outside(stun=STUN), FAR, (LAN[0], 5070), ("198.51.100.1", 5070), id="STUN, another socket"),
        pytest.param(outside(stun=STUN), "192.168.1.20", LAN, LAN, id="STUN, in the LAN"),
        pytest.param(outside(stun=STUN), "2001:db8::1", ("2001:db8::5", 5060), ("2001:db8::5", 5060), id="STUN, IPv6"),
        pytest.param(outside(seen=[(FAR, SEEN)]), FAR, LAN, SEEN.address, id="as the registrar sees us"),
        pytest.param(
            outside(seen=[(FAR, View(SEEN.address, None))]), FAR, LAN, (SEEN.address[0], 5060), id="over a stream"
        ),
        pytest.param(
            outside(seen=[(FAR, SEEN)]), "203.0.113.81", LAN, (SEEN.address[0], 5060), id="as another far one does"
        ),
        pytest.param(outside(seen=[(FAR, SEEN)]), "192.168.1.20", LAN, LAN, id="a far one, but in the LAN"),
        pytest.param(
            outside(seen=[("192.168.1.20", View(("192.168.1.5", 5060), 5060))]),
            "192.168.1.20",
            ("172.17.0.2", 5060),
            LAN,
            id="as a registrar in the LAN sees our container",
        ),
        pytest.param(outside(seen=[("192.168.1.20", View(LAN, 5060))]), FAR, LAN, LAN, id="a near one, but far"),
        pytest.param(outside(stun=STUN, seen=[(FAR, SEEN)]), FAR, LAN, SEEN.address, id="the registrar before STUN"),
        pytest.param(
            outside(stun=STUN, seen=[(FAR, SEEN)]), "203.0.113.81", LAN, STUN.address, id="STUN before another one"
        ),
        pytest.param(
            outside("198.51.100.9", STUN, [(FAR, SEEN)]), FAR, LAN, ("198.51.100.9", 5060), id="configured before all"
        ),
    ],
)
def test_what_a_peer_is_told(known: Outside, remote: str, local: Address, told: Address) -> None:
    assert known.toward(remote, local) == told


def test_the_latest_registrar_speaks_for_the_others() -> None:
    known = outside(seen=[("203.0.113.1", SEEN), ("203.0.113.2", View(("198.51.100.3", 1), 5060))])
    assert known.toward(FAR, LAN) == ("198.51.100.3", 5060)
    known.learn("203.0.113.1", SEEN)
    assert known.toward(FAR, LAN) == ("198.51.100.2", 5060)


def test_a_registrar_sees_each_socket_of_ours_by_itself() -> None:
    stream = View(("198.51.100.3", 55_000), None)
    known = outside(seen=[(FAR, SEEN), (FAR, stream)])
    assert known.toward(FAR, LAN) == SEEN.address
    assert known.toward(FAR, (LAN[0], 5061)) == ("198.51.100.3", 5061)
    assert not known.learn(FAR, SEEN)
    assert not known.learn(FAR, stream)


def test_news_is_what_changes() -> None:
    known = outside(stun=STUN, seen=[(FAR, SEEN)])
    assert not known.discover(STUN, LAN)
    assert not known.learn(FAR, SEEN)
    assert known.discover(View(("198.51.100.1", 40_001), 5060), LAN)
    assert known.discover(View(LAN, 5060), LAN), "the NAT is gone"
    assert not known.discover(View(LAN, 5060), LAN)
    assert not Outside().discover(View(LAN, 5060), LAN), "there never was one"
    assert known.learn(FAR, View(("198.51.100.2", 50_001), 5060))


@pytest.mark.parametrize(
    "host", ["", "example.com", "0.0.0.0", "127.0.0.1", "224.0.0.1", "::", "::1", "ff02::1", "999.1.1.1"]
)
def test_what_can_be_no_address_of_ours_is_not_believed(host: str) -> None:
    known = Outside()
    assert not known.learn(FAR, View((host, 5060), 5060))
    assert not known.discover(View((host, 5060), 5060), LAN)
    assert known.toward(FAR, LAN) == LAN


def test_a_view_of_another_family_is_not_believed() -> None:
    assert not Outside().learn(FAR, View(("2001:db8::1", 5060), 5060))


def test_a_registrar_on_this_host_has_nothing_to_tell() -> None:
    assert not Outside().learn("127.0.0.1", View(("127.0.0.1", 5060), 5060))


def test_registrars_are_forgotten_from_the_oldest() -> None:
    known = Outside()
    for number in range(MAX_REGISTRARS + 1):
        known.learn(f"192.168.1.{number}", View(("10.9.9.9", 5060), 5060))
    assert known.toward("192.168.1.0", ("10.0.0.1", 5060)) == ("10.0.0.1", 5060)
    assert known.toward("192.168.1.1", ("10.0.0.1", 5060)) == ("10.9.9.9", 5060)
