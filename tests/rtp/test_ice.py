"""The lite side of ICE: whose checks are answered, who is believed, and where media goes."""

import hmac
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.rtp.ice import (
    CONSENT_S,
    ICE_CONTROLLED,
    MAX_SOURCES,
    PRIORITY,
    USE_CANDIDATE,
    USERNAME,
    IceLite,
    IceParameters,
    _attribute,
)
from sipagent.stun import FINGERPRINT, HEADER, MAGIC_COOKIE, MESSAGE_INTEGRITY, Kind, fingerprint, parse_message

OURS = IceParameters("ours", "a-password-of-24-letters", "theirs")
HERE, THERE = ("192.0.2.7", 4000), ("198.51.100.9", 5000)


def check(
    *,
    name: str = "ours:theirs",
    password: str = OURS.password,
    nominates: bool = False,
    priority: int = 100,
    more: bytes = b"",
    kind: Kind = Kind.REQUEST,
    transaction: bytes = b"twelve-bytes",
) -> bytes:
    """A connectivity check as a browser writes it."""
    body = _attribute(USERNAME, name.encode()) + _attribute(PRIORITY, priority.to_bytes(4, "big")) + more
    body += _attribute(USE_CANDIDATE, b"") if nominates else b""
    head = HEADER.pack(kind.value, len(body) + 24, MAGIC_COOKIE, transaction) + body
    sealed = head + _attribute(MESSAGE_INTEGRITY, hmac.digest(password.encode(), head, "sha1"))
    sealed = sealed[:2] + (len(sealed) + 8 - HEADER.size).to_bytes(2, "big") + sealed[4:]
    return sealed + _attribute(FINGERPRINT, fingerprint(sealed).to_bytes(4, "big"))


@pytest.mark.parametrize("source", [HERE, ("2001:db8::7", 4000)])
def test_a_check_is_answered_with_where_it_came_from(source: tuple[str, int]) -> None:
    ice = IceLite(OURS)
    answer = ice.receive(check(), source, now=1.0)
    assert answer is not None
    message = parse_message(answer)
    assert message is not None
    assert (message.kind, message.transaction, message.mapped) == (Kind.SUCCESS, b"twelve-bytes", source)
    head = answer[:-32]
    counted = head[:2] + (len(head) + 24 - HEADER.size).to_bytes(2, "big") + head[4:]
    assert answer[-28:-8] == hmac.digest(OURS.password.encode(), counted, "sha1")
    assert ice.is_valid(source)
    assert ice.selected(1.0) is None, "it was not nominated"


@pytest.mark.parametrize(
    "data",
    [
        check(password="another password of 24 le"),
        check(name="ours:stranger"),
        check(name="stranger:theirs"),
        check(name="theirs:ours"),
        check(kind=Kind.INDICATION),
        check(kind=Kind.SUCCESS),
        check(more=_attribute(USERNAME, b"x"))[:-8],
        check()[:-1],
        check() + b"\0\0\0\0",
        b"",
        b"\0" * 20,
        check().replace(b"\x21\x12\xa4\x42", b"\x21\x12\xa4\x43"),
    ],
)
def test_nobody_else_gets_an_answer(data: bytes) -> None:
    ice = IceLite(OURS)
    assert ice.receive(data, HERE, now=1.0) is None
    assert not ice.is_valid(HERE)
    assert ice.refused == 1


@given(st.integers(0, 8 * len(check()) - 1))
def test_any_flipped_bit_is_noticed(bit: int) -> None:
    data = bytearray(check())
    data[bit // 8] ^= 1 << bit % 8
    ice = IceLite(OURS)
    assert ice.receive(bytes(data), HERE, now=1.0) is None


@given(st.binary(max_size=200) | st.builds(lambda middle: check()[:20] + middle, st.binary(max_size=200)))
def test_any_bytes_may_come(data: bytes) -> None:
    assert IceLite(OURS).receive(data, HERE, now=1.0) is None


def test_media_goes_to_whom_the_peer_nominates() -> None:
    ice = IceLite(OURS)
    ice.receive(check(), HERE, now=1.0)
    ice.receive(check(nominates=True, priority=50), THERE, now=1.1)
    assert ice.selected(1.2) == THERE
    ice.receive(check(nominates=True, priority=90), HERE, now=1.3)
    assert ice.selected(1.4) == HERE, "of several the best"
    ice.receive(check(nominates=True, priority=50), THERE, now=1.5)
    assert ice.selected(1.6) == HERE


def test_who_asks_no_more_no_longer_consents() -> None:
    ice = IceLite(OURS)
    ice.receive(check(nominates=True, priority=90), HERE, now=1.0)
    assert ice.selected(0.9 + CONSENT_S) == HERE
    assert ice.selected(1.0 + CONSENT_S) is None
    ice.receive(check(nominates=True, priority=10), THERE, now=2.0 + CONSENT_S)
    assert ice.selected(3.0 + CONSENT_S) == THERE, "whoever is left"
    ice.receive(check(), HERE, now=4.0 + CONSENT_S)
    assert ice.selected(5.0 + CONSENT_S) == THERE


def test_two_lite_sides_are_told_so() -> None:
    ice = IceLite(OURS)
    answer = ice.receive(check(more=_attribute(ICE_CONTROLLED, bytes(8))), HERE, now=1.0)
    assert answer is not None
    message = parse_message(answer)
    assert message is not None
    assert message.error == 487
    assert not ice.is_valid(HERE)


def test_other_names_after_a_restart() -> None:
    ice = IceLite(OURS)
    ice.receive(check(nominates=True), HERE, now=1.0)
    ice.configure(IceParameters("new", "another-password-of-24-l", "restarted"))
    assert ice.selected(1.1) == HERE, "until another is found"
    assert ice.receive(check(nominates=True), THERE, now=1.2) is None
    assert ice.receive(check(name="new:restarted", password="another-password-of-24-l"), THERE, now=1.3)


def test_many_addresses_cost_no_memory() -> None:
    ice = IceLite(OURS)
    ice.receive(check(nominates=True, priority=1_000), HERE, now=1.0)
    random = Random(1)
    for _ in range(10 * MAX_SOURCES):
        ice.receive(check(), ("192.0.2.8", random.randrange(1, 65_536)), now=1.0)
    assert len(ice._sources) == MAX_SOURCES
    assert ice.selected(1.0) == HERE


def test_a_password_does_not_show() -> None:
    assert OURS.password not in repr(OURS)
