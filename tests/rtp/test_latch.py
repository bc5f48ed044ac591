"""Whose packets are heard: the address of the SDP, a NAT's, never a stranger's during a call."""

import pytest

from sipagent.rtp.latch import ALIVE_S, FIRST_PACKETS, MAX_CANDIDATES, RELATCH_PACKETS, Address, Latch
from sipagent.rtp.packet import Packet

PRIVATE = ("192.168.1.2", 4000)
GLOBAL = ("8.8.8.8", 4000)
NAT = ("9.9.9.9", 50000)
STRANGER = ("1.2.3.4", 6000)


def aimed(signalled: Address = PRIVATE, *, signalling_host: str | None = None) -> Latch:
    latch = Latch()
    latch.aim(signalled, signalling_host=signalling_host)
    return latch


def send(latch: Latch, source: Address, count: int, *, first: int = 0, ssrc: int = 1, now: float = 0.0) -> int:
    """Send packets in sequence; return how many are heard."""
    heard = 0
    for number in range(first, first + count):
        packet = Packet(0, False, number & 0xFFFF, number * 160, ssrc, b"x")
        if source == latch.source or latch.admit(source, packet, now=now):
            latch.heard_at = now
            heard += 1
    return heard


def test_nobody_is_heard_before_the_sdp() -> None:
    latch = Latch()
    assert send(latch, STRANGER, 100) == 0


def test_the_sdp_address_is_heard_and_sent_to_at_once() -> None:
    latch = aimed()
    assert latch.source == PRIVATE
    assert send(latch, PRIVATE, 1) == 1


def test_behind_a_nat_the_first_in_sequence_is_latched() -> None:
    latch = aimed()
    assert send(latch, NAT, 10) == 10 - FIRST_PACKETS + 1
    assert latch.source == NAT
    assert latch.is_latched


def test_stray_packets_do_not_latch() -> None:
    latch = aimed()
    for number in range(0, 100, 2):
        assert send(latch, NAT, 1, first=number) == 0
    for ssrc in range(100):
        assert send(latch, NAT, 1, first=ssrc, ssrc=ssrc) == 0


def test_a_stranger_is_not_heard_while_the_source_is_alive() -> None:
    latch = aimed()
    send(latch, NAT, 5, now=1.0)
    for tick in range(100):
        now = 1.0 + tick * 0.02
        send(latch, NAT, 1, first=5 + tick, now=now)
        assert send(latch, STRANGER, 1, first=tick, now=now) == 0
    assert latch.source == NAT


def test_a_silent_source_is_displaced_by_five_in_sequence() -> None:
    latch = aimed()
    send(latch, NAT, 5, now=1.0)
    assert send(latch, STRANGER, 3, now=1.0 + ALIVE_S - 0.01) == 0
    assert send(latch, STRANGER, 1, first=3, now=1.0 + ALIVE_S) == 0
    assert send(latch, STRANGER, 1, first=RELATCH_PACKETS - 1, now=1.0 + ALIVE_S) == 1


def test_who_was_displaced_begins_to_count_anew() -> None:
    latch = aimed()
    send(latch, PRIVATE, 1, now=0.0)
    assert send(latch, NAT, RELATCH_PACKETS, now=1.0) == 1
    assert send(latch, PRIVATE, 1, first=1, now=1.0) == 1
    assert send(latch, NAT, RELATCH_PACKETS, first=RELATCH_PACKETS, now=1.0 + ALIVE_S) == 1


def test_the_sdp_address_always_returns() -> None:
    latch = aimed()
    send(latch, STRANGER, 50, now=1.0)
    assert send(latch, PRIVATE, 1, first=900, ssrc=9, now=1.0) == 1
    assert not latch.is_latched
    assert send(latch, STRANGER, 50, first=50, now=1.01) == 0


@pytest.mark.parametrize("now", [0.0, 1.0, 100.0])
def test_a_global_sdp_address_is_never_left_for_a_stranger(now: float) -> None:
    latch = aimed(GLOBAL)
    assert send(latch, STRANGER, 100, now=now) == 0


def test_another_port_of_the_global_host_is_a_nat() -> None:
    latch = aimed(GLOBAL)
    assert send(latch, (GLOBAL[0], 50000), FIRST_PACKETS) == 1


def test_the_signalling_host_is_trusted_behind_a_global_address() -> None:
    latch = aimed(GLOBAL, signalling_host=NAT[0])
    assert send(latch, NAT, FIRST_PACKETS) == 1


def test_the_signalling_host_displaces_a_live_stranger() -> None:
    latch = aimed(signalling_host=NAT[0])
    send(latch, STRANGER, 50, now=1.0)
    assert latch.source == STRANGER
    assert send(latch, NAT, RELATCH_PACKETS, now=1.0) == 1
    assert send(latch, STRANGER, 50, first=50, now=1.0) == 0


def test_a_new_sdp_address_ends_the_latch_and_the_same_keeps_it() -> None:
    latch = aimed()
    send(latch, NAT, 5, now=1.0)
    latch.aim(PRIVATE, signalling_host=None)
    assert latch.source == NAT
    latch.aim(("192.168.1.9", 4000), signalling_host=None)
    assert latch.source == ("192.168.1.9", 4000)
    assert send(latch, NAT, 1, first=5, now=1.0) == 0


def test_other_spellings_of_an_address() -> None:
    latch = aimed(("2001:DB8:0::1", 4000))
    assert latch.source == ("2001:db8::1", 4000)
    latch.aim(("phone.example", 4000), signalling_host=None)
    assert latch.source == ("phone.example", 4000)


def test_a_flood_from_many_addresses_costs_no_memory() -> None:
    latch = aimed()
    for number in range(1000):
        send(latch, (f"10.0.{number // 250}.{number % 250}", 4000), 1)
    assert len(latch._candidates) == MAX_CANDIDATES


def test_after_the_end_nobody_is_heard() -> None:
    latch = aimed()
    latch.close()
    assert send(latch, PRIVATE, 10) == 0
