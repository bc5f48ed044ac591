"""DTLS: two of us agree on keys, each knows the other by fingerprint, and nothing that comes raises."""

from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.errors import SipagentError
from sipagent.rtp import dtls
from sipagent.rtp.dtls import BACK_S, MAX_DATAGRAMS, MTU, Certificate, Dtls, make_certificate

WALL = 1_800_000_000.0
A, B = make_certificate(wall=WALL), make_certificate(wall=WALL)
WRONG = (("sha-256", ":".join(["00"] * 32)),)


def known_by(certificate: Certificate) -> tuple[tuple[str, str], ...]:
    name, _, octets = certificate.fingerprint.partition(" ")
    return ((name, octets),)


def pair(
    a_expects: tuple[tuple[str, str], ...] | None = None, b_expects: tuple[tuple[str, str], ...] | None = None
) -> tuple[Dtls, Dtls]:
    client = Dtls(A, fingerprints=a_expects or known_by(B), is_client=True)
    return client, Dtls(B, fingerprints=b_expects or known_by(A), is_client=False)


def shake_hands(client: Dtls, server: Dtls, random: Random | None = None, loss: float = 0.0) -> list[bytes]:
    """Carry datagrams until nothing is left to carry; what was sent."""
    sent = []
    waiting = [(server, data) for data in client.begin(now=0.0)]
    while waiting:
        receiver, data = waiting.pop(0)
        sent.append(data)
        if random is None or random.random() >= loss:
            sender = client if receiver is server else server
            waiting += [(sender, answer) for answer in receiver.receive(data, now=0.0)]
    return sent


def test_both_sides_have_the_same_keys() -> None:
    client, server = pair()
    sent = shake_hands(client, server)
    ours, theirs = client.keys, server.keys
    assert ours is not None
    assert theirs is not None
    assert (ours.suite, ours.send_key, ours.receive_key) == (theirs.suite, theirs.receive_key, theirs.send_key)
    assert ours.suite == "AEAD_AES_256_GCM"
    assert ours.send_key != ours.receive_key
    assert max(map(len, sent)) <= MTU
    assert (client.due_at, server.due_at) == (inf, inf)


@pytest.mark.parametrize(
    ("a_expects", "b_expects", "failing"),
    [(WRONG, None, [0]), (None, WRONG, [1]), ((("sha-1", known_by(B)[0][1]),), None, [0])],
)
def test_another_certificate_than_the_descriptions_is_refused(
    a_expects: tuple[tuple[str, str], ...] | None, b_expects: tuple[tuple[str, str], ...] | None, failing: list[int]
) -> None:
    sides = pair(a_expects, b_expects)
    shake_hands(*sides)
    for number in failing:
        assert sides[number].keys is None
        assert "certificate" in sides[number].failure
        assert sides[number].receive(b"\x16" * 50, now=1.0) == []
        assert sides[number].due_at == 0.0, "it is told at once"
        assert sides[number].handle_timer(now=1.0) == []
        assert sides[number].due_at == inf, "and once"


def test_any_of_several_fingerprints_will_do() -> None:
    client, server = pair((*WRONG, ("md5", "00"), *known_by(B)))
    shake_hands(client, server)
    assert client.keys is not None


def test_a_lost_flight_is_asked_for_again() -> None:
    """OpenSSL has a clock of its own; here it is seen that there is a deadline, and that to ask too early harms not."""
    client, server = pair()
    (hello,) = client.begin(now=5.0)
    assert 5.0 < client.due_at <= 6.5
    assert client.handle_timer(now=5.1) == []
    client.handle_timer(now=client.due_at)
    for data in server.receive(hello, now=7.0):
        client.receive(data, now=7.0)
    assert server.due_at > 7.0


def test_good_bye() -> None:
    client, server = pair()
    shake_hands(client, server)
    for data in client.close():
        server.receive(data, now=1.0)
    assert server.is_closed
    assert client.close() == []
    assert server.receive(b"\x17\xfe\xfd", now=2.0) == []
    assert client.due_at == inf


def test_who_has_left_and_does_not_come_back_is_gone() -> None:
    """A page that is closed says it here only: there is no BYE."""
    client, server = pair()
    shake_hands(client, server)
    for data in client.close():
        server.receive(data, now=1.0)
    assert server.due_at == 1.0 + BACK_S
    server.handle_timer(now=server.due_at - 0.1)
    assert not server.failure
    server.handle_timer(now=server.due_at)
    assert server.failure == "the peer has left"
    server.handle_timer(now=server.due_at)
    assert server.due_at == inf


def test_damage_on_the_way_is_no_end() -> None:
    random = Random(3)
    for _ in range(20):
        client, server = pair()
        for data in client.begin(now=0.0):
            damaged = bytearray(data)
            damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
            server.receive(bytes(damaged), now=0.0)
            server.receive(data, now=0.0)
        assert server.keys is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300) | st.binary(max_size=80).map(lambda rest: b"\x16\xfe\xfd" + rest), max_size=6))
def test_any_bytes_may_come(datagrams: list[bytes]) -> None:
    _, server = pair()
    for data in datagrams:
        assert all(len(answer) <= MTU for answer in server.receive(data, now=0.0))
    assert server.keys is None


def test_a_handshake_has_an_end() -> None:
    _, server = pair()
    for _ in range(MAX_DATAGRAMS + 1):
        server.receive(b"\x16\xfe\xfd" + bytes(10), now=0.0)
    assert server.failure


def test_a_certificate_is_known_by_its_fingerprint_alone() -> None:
    assert A.fingerprint != B.fingerprint
    assert len(A.fingerprint) == len("sha-256 ") + 32 * 3 - 1
    assert "key" not in repr(A)


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtls, "is_available", False)
    with pytest.raises(SipagentError, match=r"sipagent\[webrtc\]"):
        make_certificate(wall=WALL)
