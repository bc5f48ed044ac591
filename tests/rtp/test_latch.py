"""Whose packets are heard: the address of the SDP, a NAT's, a rebind's, never a stranger's."""

from typing import NamedTuple

import pytest
from rtp.wire import FRAME, SSRC, audio

from sipagent.rtp.latch import LAST_RESORT, MAX_CANDIDATES, MAX_REBIND_STEP, NAT, PORT, Address, Latch
from sipagent.rtp.packet import Packet, pack_packet
from sipagent.rtp.parameters import G711, RtpParameters
from sipagent.rtp.receiver import Receiver
from sipagent.rtp.srtp import SrtpParameters

PRIVATE = ("192.168.1.2", 4000)
GLOBAL = ("8.8.8.8", 4000)
NATTED = ("9.9.9.9", 50000)
KEYS = SrtpParameters("AES_CM_128_HMAC_SHA1_80", bytes(30), bytes(30))
STRANGER = ("1.2.3.4", 6000)
NEIGHBOUR = ("192.168.1.3", 6000)


class Spray(NamedTuple):
    """Packets of one stream, 20 ms apart."""

    begin_s: float
    source: Address
    count: int
    first: int = 0
    """Their sequence and time begin there."""
    ssrc: int = SSRC


def listening(signalled: Address, signalling_host: str | None = None, *, is_authenticated: bool = False) -> Receiver:
    receiver = Receiver()
    receiver.configure(
        RtpParameters(
            payload_type=0,
            receive_payload_types={0: G711},
            remote=signalled,
            signalling_host=signalling_host,
            srtp=KEYS if is_authenticated else None,
        )
    )
    return receiver


def hear(receiver: Receiver, *sprays: Spray) -> dict[Address, int]:
    """Let packets come in the order of their times; return how many frames were heard of each address."""
    arrivals = sorted(
        (spray.begin_s + number * 0.02, spray.source, audio(spray.first + number, ssrc=spray.ssrc))
        for spray in sprays
        for number in range(spray.count)
    )
    heard = dict.fromkeys((spray.source for spray in sprays), 0)
    for at, source, data in arrivals:
        frames = [*(receiver.receive_packet(data, source, now=at) or ()), *receiver.release_due(now=at)]
        heard[source] += sum(bool(frame.payload) for frame in frames)
    heard[source] += sum(bool(frame.payload) for frame in receiver.release_due(now=receiver.due_at))
    return heard


def another_port(address: Address) -> Address:
    return address[0], address[1] + 2


FIRST_PACKET = [
    # SDP, signalling host, who sends for ten seconds, his first packet to be heard
    pytest.param(PRIVATE, PRIVATE[0], PRIVATE, 0, id="the SDP's address"),
    pytest.param(PRIVATE, PRIVATE[0], another_port(PRIVATE), 150, id="another port and no NAT"),
    pytest.param(PRIVATE, PRIVATE[0], NEIGHBOUR, None, id="a neighbour and no NAT"),
    pytest.param(PRIVATE, PRIVATE[0], STRANGER, None, id="a stranger and no NAT"),
    pytest.param(PRIVATE, NATTED[0], PRIVATE, 0, id="the SDP's address behind what looked like a NAT"),
    pytest.param(PRIVATE, NATTED[0], NATTED, 1, id="the NAT"),
    pytest.param(PRIVATE, NATTED[0], another_port(PRIVATE), 150, id="another port behind a NAT"),
    pytest.param(PRIVATE, NATTED[0], STRANGER, 150, id="a NAT, or a stranger, when a proxy signals"),
    pytest.param(GLOBAL, GLOBAL[0], GLOBAL, 0, id="the SDP's global address"),
    pytest.param(GLOBAL, GLOBAL[0], another_port(GLOBAL), 10, id="a NAT's other port"),
    pytest.param(GLOBAL, GLOBAL[0], STRANGER, None, id="a stranger, the SDP's address being global"),
    pytest.param(GLOBAL, NATTED[0], GLOBAL, 0, id="media elsewhere than signalling"),
    pytest.param(GLOBAL, NATTED[0], NATTED, 10, id="media from where the signalling is"),
    pytest.param(GLOBAL, NATTED[0], another_port(GLOBAL), 10, id="a NAT's other port, signalling elsewhere"),
    pytest.param(GLOBAL, NATTED[0], STRANGER, None, id="a stranger, signalling elsewhere"),
    pytest.param(PRIVATE, None, STRANGER, 150, id="a stranger, where the signalling comes from not being known"),
]


@pytest.mark.parametrize(("signalled", "signalling_host", "source", "first"), FIRST_PACKET)
def test_before_the_first_packet(
    signalled: Address, signalling_host: str | None, source: Address, first: int | None
) -> None:
    receiver = listening(signalled, signalling_host)
    heard = hear(receiver, Spray(1.0, source, 500))
    assert heard[source] == (0 if first is None else 500 - first)
    assert receiver.latch.source == (signalled if first is None else source)


@pytest.mark.parametrize(("signalled", "signalling_host", "source", "first"), FIRST_PACKET)
def test_with_srtp_who_has_the_key_is_heard_at_once(
    signalled: Address, signalling_host: str | None, source: Address, first: int | None
) -> None:
    """Packets that could not be opened never get here."""
    receiver = listening(signalled, signalling_host, is_authenticated=True)
    assert hear(receiver, Spray(1.0, source, 500)) == {source: 500}
    assert receiver.latch.source == source


SPRAYED = [
    # SDP, signalling host, where the caller is, and a stranger who sprays
    pytest.param(PRIVATE, PRIVATE[0], PRIVATE, STRANGER, id="a stranger"),
    pytest.param(PRIVATE, PRIVATE[0], PRIVATE, NEIGHBOUR, id="a neighbour"),
    pytest.param(PRIVATE, PRIVATE[0], PRIVATE, another_port(PRIVATE), id="a program on the phone's host"),
    pytest.param(PRIVATE, NATTED[0], NATTED, STRANGER, id="a stranger, the caller behind a NAT"),
    pytest.param(PRIVATE, NATTED[0], NATTED, NEIGHBOUR, id="a neighbour, the caller behind a NAT"),
    pytest.param(GLOBAL, GLOBAL[0], GLOBAL, STRANGER, id="a stranger, the caller anywhere"),
    pytest.param(GLOBAL, NATTED[0], GLOBAL, STRANGER, id="a stranger, the caller of a proxy's"),
    pytest.param(
        GLOBAL, GLOBAL[0], another_port(GLOBAL), STRANGER, id="a stranger, the caller behind a NAT that counts"
    ),
]


@pytest.mark.parametrize("is_of_the_callers_ssrc", [False, True])
@pytest.mark.parametrize(("signalled", "signalling_host", "caller", "stranger"), SPRAYED)
def test_a_stranger_before_the_call_and_in_it(
    signalled: Address, signalling_host: str, caller: Address, stranger: Address, is_of_the_callers_ssrc: bool
) -> None:
    """He begins two seconds before the caller, and sprays in the call and in its pauses."""
    receiver = listening(signalled, signalling_host)
    ssrc = SSRC if is_of_the_callers_ssrc else 7
    spray = Spray(1.0, stranger, 1000, first=40_000, ssrc=ssrc)
    talk = [Spray(3.001, caller, 200), Spray(10.001, caller, 300, first=200)]
    heard = hear(receiver, spray, *talk)
    assert heard[stranger] == 0
    assert heard[caller] >= 500 - PORT.packets
    assert receiver.latch.source == caller
    assert receiver.from_strangers >= 1000


def test_a_last_resort_gives_way_to_the_nat() -> None:
    receiver = listening(PRIVATE, NATTED[0])
    heard = hear(receiver, Spray(0.0, STRANGER, 500, ssrc=7), Spray(5.001, NATTED, 100))
    assert heard == {STRANGER: 500 - 150 - (500 - 250 - NAT.packets), NATTED: 100 - NAT.packets + 1}
    assert receiver.latch.source == NATTED


def test_a_last_resort_gives_way_to_the_sdp_address() -> None:
    receiver = listening(PRIVATE, PRIVATE[0])
    hear(receiver, Spray(0.0, another_port(PRIVATE), 500, ssrc=7), Spray(5.001, PRIVATE, 1))
    assert receiver.latch.source == PRIVATE


REBINDS = [
    # SDP, signalling host, where the caller was, where he is now
    pytest.param(PRIVATE, PRIVATE[0], PRIVATE, another_port(PRIVATE), id="another port"),
    pytest.param(PRIVATE, NATTED[0], NATTED, another_port(NATTED), id="another port of the NAT"),
    pytest.param(PRIVATE, NATTED[0], NATTED, STRANGER, id="another NAT"),
    pytest.param(GLOBAL, GLOBAL[0], GLOBAL, another_port(GLOBAL), id="another port of a global address"),
    pytest.param(GLOBAL, GLOBAL[0], GLOBAL, STRANGER, id="another host"),
]


@pytest.mark.parametrize("is_authenticated", [False, True])
@pytest.mark.parametrize("swallowed", [0, 4])
@pytest.mark.parametrize(("signalled", "signalling_host", "before", "after"), REBINDS)
def test_a_rebind_is_followed_in_time(
    signalled: Address, signalling_host: str, before: Address, after: Address, swallowed: int, is_authenticated: bool
) -> None:
    """200 ms after the last packet from the old address, and nothing of what came is lost."""
    receiver = listening(signalled, signalling_host, is_authenticated=is_authenticated)
    hear(receiver, Spray(0.0, before, 100))
    first = 100 + swallowed
    heard = hear(receiver, Spray(first * 0.02, after, 10 - swallowed, first=first))
    assert receiver.latch.source == after
    assert heard[after] == 10 - swallowed
    assert receiver.window.lost == swallowed


def test_a_rebind_of_long_packets_is_followed_in_time() -> None:
    receiver = listening(PRIVATE, PRIVATE[0])
    for number in range(53):
        source = PRIVATE if number < 50 else STRANGER
        receiver.receive_packet(pack_packet(0, number, number * 480, SSRC, bytes(480)), source, now=number * 0.06)
    assert receiver.latch.source == STRANGER
    assert 52 * 0.06 - 49 * 0.06 < 0.2


@pytest.mark.parametrize(
    "impostor",
    [
        pytest.param(Spray(2.0, STRANGER, 100, first=100, ssrc=7), id="who does not know the SSRC"),
        pytest.param(Spray(2.0, STRANGER, 50, first=40), id="whose numbers have passed"),
        pytest.param(Spray(2.0, STRANGER, 100, first=100 + MAX_REBIND_STEP), id="whose numbers are far ahead"),
        pytest.param(Spray(2.0, STRANGER, 2, first=100), id="who sends too little"),
    ],
)
def test_who_does_not_continue_the_stream_is_no_rebind(impostor: Spray) -> None:
    receiver = listening(PRIVATE, PRIVATE[0])
    hear(receiver, Spray(0.0, PRIVATE, 100))
    assert hear(receiver, impostor)[STRANGER] == 0
    assert receiver.latch.source == PRIVATE


def test_whose_time_is_not_the_streams_is_no_rebind() -> None:
    receiver = listening(PRIVATE, PRIVATE[0])
    hear(receiver, Spray(0.0, PRIVATE, 100))
    for number in range(100, 140):
        data = pack_packet(0, number, number * FRAME + 10**6, SSRC, bytes(FRAME))
        assert not receiver.receive_packet(data, STRANGER, now=number * 0.02)


def test_a_stream_that_comes_twice_is_heard_from_where_it_was() -> None:
    """A network that doubles packets is no rebind, whichever copy is the first."""
    receiver = listening(PRIVATE, PRIVATE[0])
    heard = hear(receiver, Spray(0.0, PRIVATE, 500), Spray(-0.001, STRANGER, 500))
    assert heard == {PRIVATE: 500, STRANGER: 0}


def test_a_late_packet_from_before_a_rebind_does_not_undo_it() -> None:
    receiver = listening(PRIVATE, PRIVATE[0])
    hear(receiver, Spray(0.0, PRIVATE, 99))
    hear(receiver, Spray(2.0, STRANGER, 10, first=100))
    assert hear(receiver, Spray(2.25, PRIVATE, 1, first=99))[PRIVATE] == 0
    assert receiver.latch.source == STRANGER
    assert hear(receiver, Spray(2.26, PRIVATE, 1, first=110))[PRIVATE] == 1
    assert receiver.latch.source == PRIVATE


def test_an_authentic_packet_that_is_late_is_heard_and_leads_nowhere() -> None:
    receiver = listening(PRIVATE, PRIVATE[0], is_authenticated=True)
    rebind, late = Spray(2.0, STRANGER, 1, first=100), Spray(2.01, PRIVATE, 1, first=99)
    assert hear(receiver, Spray(0.0, PRIVATE, 99), rebind, late) == {PRIVATE: 101, STRANGER: 0}
    assert receiver.latch.source == STRANGER
    assert receiver.window.lost == 0


def test_a_new_stream_of_the_host_is_followed_after_a_pause() -> None:
    receiver = listening(GLOBAL, GLOBAL[0])
    hear(receiver, Spray(0.0, GLOBAL, 100))
    spray = Spray(2.0, another_port(GLOBAL), 100, first=9000, ssrc=9)
    assert hear(receiver, spray)[another_port(GLOBAL)] == 100 - round((PORT.again_s - 0.02) / 0.02)


def test_nobody_continues_a_stream_from_before_the_sdp_changed() -> None:
    """The party that was transferred away goes on sending; the agent's voice is not for it."""
    receiver = listening(PRIVATE, PRIVATE[0])
    hear(receiver, Spray(0.0, PRIVATE, 100))
    receiver.configure(RtpParameters(0, {0: G711}, remote=GLOBAL, signalling_host=GLOBAL[0]))
    assert hear(receiver, Spray(2.0, PRIVATE, 500, first=100))[PRIVATE] == 0
    assert receiver.latch.source == GLOBAL


def admit(latch: Latch, source: Address, number: int, *, now: float = 0.0) -> bool:
    packet = Packet(0, False, number, number * FRAME, SSRC, b"x")
    return bool(latch.admit(source, packet, step=None, now=now))


def test_nobody_is_heard_before_the_sdp() -> None:
    latch = Latch()
    assert not any(admit(latch, STRANGER, number, now=number) for number in range(100))


def test_stray_packets_do_not_latch() -> None:
    latch = Latch()
    latch.aim(PRIVATE, signalling_host=NATTED[0])
    assert not any(admit(latch, NATTED, number) for number in range(0, 100, 2))


def test_a_new_sdp_address_ends_the_latch_and_the_same_keeps_it() -> None:
    latch = Latch()
    latch.aim(PRIVATE, signalling_host=NATTED[0])
    assert [admit(latch, NATTED, number) for number in (1, 2)] == [False, True]
    assert latch.is_latched
    latch.aim(PRIVATE, signalling_host=NATTED[0])
    assert latch.source == NATTED
    latch.aim(NEIGHBOUR, signalling_host=None)
    assert latch.source == NEIGHBOUR
    assert not latch.is_latched


def test_other_spellings_of_an_address() -> None:
    latch = Latch()
    latch.aim(("2001:DB8:0::1", 4000), signalling_host=None)
    assert latch.source == ("2001:db8::1", 4000)
    latch.aim(("phone.example", 4000), signalling_host=None)
    assert latch.source == ("phone.example", 4000)


def test_a_flood_from_many_addresses_costs_no_memory_and_hides_nobody() -> None:
    latch = Latch()
    latch.aim(PRIVATE, signalling_host=NATTED[0])
    flood = [(f"10.0.{number // 250}.{number % 250}", 4000) for number in range(1000)]
    assert not any(admit(latch, address, 1) for address in flood[:500])
    assert not admit(latch, NATTED, 1)
    assert not any(admit(latch, address, 1) for address in flood[500:])
    assert len(latch._candidates) == MAX_CANDIDATES
    assert admit(latch, NATTED, 2)


def test_a_flood_from_the_nat_itself_leaves_no_room_for_others() -> None:
    latch = Latch()
    latch.aim(PRIVATE, signalling_host=NATTED[0])
    for port in range(MAX_CANDIDATES):
        admit(latch, (NATTED[0], 1000 + port), 1)
    assert not any(admit(latch, STRANGER, number, now=LAST_RESORT.first_s * number) for number in range(20))


def test_after_the_end_nobody_is_heard() -> None:
    latch = Latch()
    latch.aim(PRIVATE, signalling_host=None)
    latch.close()
    assert not admit(latch, PRIVATE, 1)
