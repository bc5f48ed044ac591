from math import inf
from random import Random

import pytest
from call.stage import CALLER, EVENT, QUIET, SPEECH, Caller, describe, make_leg

from sipagent.audio.g711 import ALAW_TO_ULAW, ULAW_TO_ALAW
from sipagent.audio.vad import level_dbfs
from sipagent.call.events import SendRtcp
from sipagent.call.sip_leg import SipLeg
from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.formats import PCMU
from sipagent.rtp.packet import Packet, parse_packet


@pytest.fixture
def caller() -> Caller:
    return Caller()


def send(leg: SipLeg, frame: bytes, *, marker: bool = False) -> Packet | None:
    data = leg.send_frame(frame, marker=marker, now=0.0)
    return None if data is None else parse_packet(data)


def test_before_the_offer_nothing_can_be_sent() -> None:
    leg = make_leg()
    assert not leg.is_agreed
    assert leg.remote is None
    assert send(leg, SPEECH) is None
    assert leg.due_at == inf
    assert leg.poll() is None


@pytest.mark.parametrize(
    ("offered", "ours", "codec"),
    [((0, 8), ("PCMU", "PCMA"), "PCMU"), ((8, 0), ("PCMU", "PCMA"), "PCMA"), ((0, 8), ("PCMA",), "PCMA")],
)
def test_the_first_agreement_settles_the_codec(offered: tuple[int, ...], ours: tuple[str, ...], codec: str) -> None:
    leg = make_leg(codecs=ours)
    leg.receive_offer(describe(offered), now=0.0)
    assert leg.audio_format.codec == codec
    assert leg.is_agreed
    packet = send(leg, SPEECH)
    assert packet is not None
    assert packet.payload_type == {"PCMU": 0, "PCMA": 8}[codec]
    assert packet.payload == SPEECH


def test_who_can_not_wait_for_the_answer_settles_the_codec_with_the_offer() -> None:
    leg = make_leg()
    leg.offer(settles_format=True)
    assert leg.awaits_answer
    leg.receive_answer(describe((8,)), now=0.0)
    assert not leg.awaits_answer
    assert leg.audio_format is PCMU
    packet = send(leg, SPEECH)
    assert packet is not None
    assert (packet.payload_type, packet.payload) == (8, SPEECH.translate(ULAW_TO_ALAW))


def test_a_bad_offer_leaves_everything_as_it_was(caller: Caller) -> None:
    leg = make_leg()
    leg.receive_offer(describe((0,)), now=0.0)
    for offer in (b"", b"nonsense", describe((18,), version=2)):
        with pytest.raises(RemoteProtocolError):
            leg.receive_offer(offer, now=0.0)
    assert [frame.payload for frame in leg.receive_packet(caller.say(SPEECH), CALLER, now=0.0)] == [SPEECH]


def test_frames_of_the_other_law_are_translated(caller: Caller) -> None:
    leg = make_leg()
    leg.receive_offer(describe((0,)), now=0.0)
    leg.receive_offer(describe((8,), version=2), now=0.0)
    assert leg.audio_format is PCMU
    (frame,) = leg.receive_packet(caller.say(SPEECH, "PCMA"), CALLER, now=0.0)
    assert frame.payload == SPEECH.translate(ALAW_TO_ULAW)
    packet = send(leg, QUIET["PCMU"])
    assert packet is not None
    assert packet.payload == QUIET["PCMA"]


def test_a_frame_lost_in_the_other_law_sounds_on_in_ours(caller: Caller) -> None:
    leg = make_leg()
    leg.receive_offer(describe((0,)), now=0.0)
    leg.receive_offer(describe((8,), version=2), now=0.0)
    leg.receive_packet(caller.say(SPEECH, "PCMA"), CALLER, now=0.0)
    caller.say(SPEECH, "PCMA")
    assert list(leg.receive_packet(caller.say(SPEECH, "PCMA"), CALLER, now=0.04)) == []
    due_at = leg.due_at
    assert due_at is not None
    leg.handle_timer(now=due_at)
    lost, heard = leg.take_released()
    assert lost.lost
    assert level_dbfs(lost.payload, PCMU) > -20
    assert heard.payload == SPEECH.translate(ALAW_TO_ULAW)
    assert list(leg.take_released()) == []


@pytest.mark.parametrize(
    ("direction", "is_held"), [("sendrecv", False), ("recvonly", False), ("sendonly", True), ("inactive", True)]
)
def test_hold(direction: str, is_held: bool) -> None:
    leg = make_leg()
    leg.receive_offer(describe(direction=direction), now=0.0)
    assert leg.is_held is is_held
    assert (send(leg, SPEECH) is None) is is_held


def test_old_phones_hold_by_address() -> None:
    leg = make_leg()
    leg.receive_offer(describe(host="0.0.0.0"), now=0.0)
    assert leg.is_held


def test_time_goes_on_where_nothing_is_sent() -> None:
    leg = make_leg()
    leg.receive_offer(describe(), now=0.0)
    before = send(leg, SPEECH)
    leg.receive_offer(describe(direction="sendonly", version=2), now=0.0)
    assert [send(leg, SPEECH) for _ in range(5)] == [None] * 5
    leg.receive_offer(describe(version=3), now=0.0)
    after = send(leg, SPEECH, marker=True)
    assert before is not None
    assert after is not None
    assert after.marker
    assert after.sequence_number == (before.sequence_number + 1) % 2**16
    assert after.timestamp == (before.timestamp + 6 * 160) % 2**32


def test_the_hosts_of_media_and_signalling_are_trusted(caller: Caller) -> None:
    """A phone behind a NAT says its inner address; its packets come from where its SIP does."""
    leg = SipLeg(
        address="192.0.2.1",
        port=10_000,
        codecs=("PCMU",),
        cname="test",
        random=Random(1),
        signalling_host="198.51.100.4",
    )
    leg.receive_offer(describe(host="10.0.0.5"), now=0.0)
    heard = [leg.receive_packet(caller.say(SPEECH), ("198.51.100.4", 30_000), now=0.0) for _ in range(5)]
    assert heard[-1]
    assert leg.remote == ("198.51.100.4", 30_000)


def test_keys_come_as_digits(caller: Caller) -> None:
    leg = make_leg()
    leg.receive_offer(describe(), now=0.0)
    for data in caller.press("#"):
        assert list(leg.receive_packet(data, CALLER, now=0.0)) == []
    assert leg.poll() == ("#", 60)
    assert leg.poll() is None


def test_keys_can_be_pressed() -> None:
    leg = make_leg()
    leg.receive_offer(describe(), now=0.0)
    assert leg.press("5")
    packets = [send(leg, SPEECH) for _ in range(12)]
    types = [packet.payload_type for packet in packets if packet]
    assert types[0] == EVENT
    assert types[-1] == 0
    with pytest.raises(LocalProtocolError):
        leg.press("x")


def test_keys_that_are_to_go_another_way_do() -> None:
    leg = make_leg(keys_in_rtp=False)
    leg.receive_offer(describe(), now=0.0)
    assert not leg.press("5")
    packet = send(leg, SPEECH)
    assert packet is not None
    assert packet.payload == SPEECH


def test_a_peer_that_takes_no_keys_gets_none() -> None:
    leg = make_leg()
    keys = b"a=rtpmap:101 telephone-event/8000\r\n"
    leg.receive_offer(describe().replace(b" 101\r\n", b"\r\n").replace(keys, b""), now=0.0)
    assert not leg.press("5")
    packet = send(leg, SPEECH)
    assert packet is not None
    assert packet.payload == SPEECH


def test_the_goodbye() -> None:
    leg = make_leg()
    leg.receive_offer(describe(), now=0.0)
    send(leg, SPEECH)
    assert leg.due_at < inf
    leg.close(now=1.0)
    farewell = leg.poll()
    assert isinstance(farewell, SendRtcp)
    assert farewell.destination == (CALLER[0], CALLER[1] + 1)
    assert not farewell.mux
    assert leg.poll() is None
    assert leg.due_at == inf
    assert leg.stats.packets_sent == 1
