"""From datagrams to frames: order, silence for what is lost, sources that change, and whatever else comes in."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtp.wire import FRAME, PARAMETERS, PHONE, SSRC, audio, read_pcap

from sipagent.rtp.jitter import MAX_GAP, MAX_WAIT_S
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.receiver import LEFT_SSRC_S, Frame, Receiver

STRANGER = ("6.6.6.6", 6666)
SILENT = b"\xff" * FRAME


def listening(**changes: Any) -> Receiver:
    receiver = Receiver()
    receiver.configure(replace(PARAMETERS, **changes))
    return receiver


@pytest.fixture
def receiver() -> Receiver:
    return listening()


def hear(receiver: Receiver, data: bytes, now: float = 0.0, source: tuple[str, int] = PHONE) -> list[Frame]:
    frames = receiver.receive_packet(data, source, now=now)
    assert frames is not None
    return list(frames)


def played(number: int) -> Frame:
    return Frame(bytes([number & 0xFF]) * FRAME, 0, number * FRAME & 0xFFFFFFFF, False)


def lost(number: int) -> Frame:
    return Frame(SILENT, 0, number * FRAME, True)


def test_in_order_at_once(receiver: Receiver) -> None:
    assert [hear(receiver, audio(number)) for number in range(5)] == [[played(number)] for number in range(5)]


def test_through_the_wrap_of_both_numbers(receiver: Receiver) -> None:
    first = 0xFFFFFFFF // FRAME - 3
    heard = [hear(receiver, audio(number, first=0xFFFB - first)) for number in range(first, first + 10)]
    assert heard == [[played(number)] for number in range(first, first + 10)]


def test_a_swap_is_put_right(receiver: Receiver) -> None:
    heard = [hear(receiver, audio(number)) for number in (0, 2, 1, 3)]
    assert heard == [[played(0)], [], [played(1), played(2)], [played(3)]]


def test_loss_becomes_silence_after_its_time(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    assert hear(receiver, audio(3), 0.06) == []
    assert receiver.due_at == 0.06 + MAX_WAIT_S
    assert receiver.release_due(now=receiver.due_at) == [lost(1), lost(2), played(3)]
    assert hear(receiver, audio(1), 0.2) == []
    assert (receiver.window.lost, receiver.window.late) == (2, 1)


def test_silence_is_that_of_the_law_that_comes() -> None:
    receiver = listening()
    hear(receiver, audio(0, payload_type=8), 0.0)
    hear(receiver, audio(2, payload_type=8), 0.0)
    assert receiver.release_due(now=1.0)[0] == Frame(b"\xd5" * FRAME, 8, FRAME, True)


def test_silence_is_as_long_as_the_frames(receiver: Receiver) -> None:
    for number in (0, 2):
        hear(receiver, pack_packet(0, number, number * 240, SSRC, bytes(240)))
    assert receiver.release_due(now=1.0)[0] == Frame(b"\xff" * 240, 0, 240, True)


def test_an_outage_is_not_filled(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, audio(MAX_GAP + 2)) == [played(MAX_GAP + 2)]
    assert receiver.window.lost == MAX_GAP + 1


def test_the_widest_gap_is_filled(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, audio(MAX_GAP + 1))
    released = receiver.release_due(now=1.0)
    assert released == [*(lost(number) for number in range(1, MAX_GAP + 1)), played(MAX_GAP + 1)]


def test_silence_not_sent_is_not_lost(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, pack_packet(0, 1, 500 * FRAME, SSRC, SILENT)) == [Frame(SILENT, 0, 500 * FRAME, False)]
    assert receiver.window.lost == 0


def test_loss_beside_silence_not_sent_is_one_frame(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, pack_packet(0, 2, 500 * FRAME, SSRC, SILENT))
    assert receiver.release_due(now=1.0) == [lost(1), Frame(SILENT, 0, 500 * FRAME, False)]


def test_loss_within_a_press_is_not_filled(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, pack_packet(101, 3, FRAME, SSRC, bytes.fromhex("050a01e0")))
    assert receiver.release_due(now=1.0) == []
    assert receiver.window.lost == 2


def test_a_timestamp_that_falls_back_is_played_without_filling(receiver: Receiver) -> None:
    hear(receiver, audio(50))
    hear(receiver, pack_packet(0, 52, 7, SSRC, SILENT))
    assert receiver.release_due(now=1.0) == [Frame(SILENT, 0, 7, False)]


def test_a_new_ssrc_is_played_at_once(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    hear(receiver, audio(2), 0.0)
    assert hear(receiver, audio(9, ssrc=7, first=4000), 0.02) == [lost(1), played(2), played(9)]
    assert hear(receiver, audio(10, ssrc=7, first=4000), 0.04) == [played(10)]


def test_nothing_of_the_old_source_is_carried_into_the_new(receiver: Receiver) -> None:
    press = bytes.fromhex("058a0320")
    hear(receiver, audio(0))
    hear(receiver, pack_packet(101, 1, FRAME, SSRC, press))
    hear(receiver, pack_packet(101, 0, FRAME, 7, press))
    hear(receiver, audio(2, ssrc=7))
    assert receiver.release_due(now=1.0) == [played(2)]
    assert [press.digit for press in receiver.digits_received] == ["5", "5"]


def test_the_ssrc_just_left_returns_only_after_the_new_one(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    hear(receiver, audio(0, ssrc=7), 0.02)
    assert hear(receiver, audio(1), 0.03) == []
    assert receiver.stale == 1
    assert hear(receiver, audio(1, ssrc=7), 0.04) == [played(1)]
    assert hear(receiver, audio(2), 0.04 + LEFT_SSRC_S) == [played(2)]


def test_a_sender_that_begins_anew_is_played_from_its_second_packet(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert [hear(receiver, audio(number, first=30000)) for number in (1, 2, 3)] == [[], [played(2)], [played(3)]]
    assert receiver.window.lost == 0


@pytest.mark.parametrize("payload_type", [13, 77, 97])
def test_other_payload_types_leave_no_gap(receiver: Receiver, payload_type: int) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, pack_packet(payload_type, 1, 160, SSRC, b"?")) == []
    assert hear(receiver, audio(2)) == [played(2)]
    assert (receiver.ignored, receiver.window.lost) == (1, 0)


def test_loss_before_an_unknown_payload_type_is_not_filled_by_its_clock(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, pack_packet(97, 2, 10**6, SSRC, b"?"))
    assert receiver.release_due(now=1.0) == []
    assert hear(receiver, audio(3), 1.0) == [played(3)]


def test_an_empty_packet_keeps_the_sequence(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, pack_packet(0, 1, 160, SSRC, b"")) == []
    assert hear(receiver, audio(2)) == [played(2)]


def test_rtcp_on_the_same_port_is_handed_back(receiver: Receiver) -> None:
    assert receiver.receive_packet(bytes.fromhex("80c9000100000007"), PHONE, now=0.0) is None
    assert receiver.receive_packet(bytes.fromhex("81c90007") + bytes(28), PHONE, now=0.0) is None


def test_strangers_and_nonsense_are_counted(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, audio(1, ssrc=9), source=STRANGER) == []
    assert hear(receiver, b"nonsense", source=STRANGER) == []
    assert hear(receiver, b"nonsense") == []
    assert (receiver.from_strangers, receiver.malformed) == (2, 1)


def test_a_stranger_with_an_unknown_payload_type_does_not_latch(receiver: Receiver) -> None:
    for number in range(10):
        assert hear(receiver, audio(number, payload_type=99), source=STRANGER) == []
    assert receiver.latch.source == PHONE


def test_audio_and_digits_share_the_sequence(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    for number in range(1, 6):
        payload = bytes.fromhex("050a") + (number * FRAME).to_bytes(2)
        hear(receiver, pack_packet(101, number, FRAME, SSRC, payload))
    hear(receiver, pack_packet(101, 6, FRAME, SSRC, bytes.fromhex("058a03c0")))
    assert [press.digit for press in receiver.digits_received] == ["5"]
    assert hear(receiver, audio(7)) == [played(7)]


def test_a_key_down_when_the_source_changes_is_reported(receiver: Receiver) -> None:
    hear(receiver, pack_packet(101, 0, 0, SSRC, bytes.fromhex("070a0320")))
    hear(receiver, audio(0, ssrc=9))
    assert [press.digit for press in receiver.digits_received] == ["7"]


def test_a_key_without_an_end_is_reported_in_time(receiver: Receiver) -> None:
    hear(receiver, pack_packet(101, 0, 0, SSRC, bytes.fromhex("070a0320")))
    assert receiver.release_due(now=receiver.due_at) == []
    assert [press.digit for press in receiver.digits_received] == ["7"]


def test_after_the_end_nothing_is_heard(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, audio(2))
    receiver.close()
    assert hear(receiver, audio(3)) == []
    assert receiver.release_due(now=9.0) == []


arrivals = st.lists(st.tuples(st.integers(0, 60), st.floats(0, 0.05)), max_size=120)
"""Numbers of packets in any order, any of them missing or repeated, each so long after the one before."""


@given(arrivals, st.integers(0, 0xFFFF))
def test_frames_come_in_order_and_once(arrivals: list[tuple[int, float]], first: int) -> None:
    receiver, now, frames = listening(), 0.0, []
    for number, pause in arrivals:
        now += pause
        if receiver.due_at <= now:
            frames += receiver.release_due(now=receiver.due_at)
        frames += hear(receiver, audio(number, first=first), now)
    frames += receiver.release_due(now=now + 10)
    timestamps = [frame.timestamp for frame in frames]
    assert timestamps == sorted(set(timestamps))
    assert all(frame.lost or frame == played(frame.timestamp // FRAME) for frame in frames)
    assert {frame.timestamp // FRAME for frame in frames if not frame.lost} <= {number for number, _ in arrivals}


@given(st.lists(st.integers(0, 4), max_size=50))
def test_slight_disorder_loses_nothing(delays: list[int]) -> None:
    """Packets late by fewer places than are held come out as they were sent."""
    order = sorted(range(len(delays)), key=lambda number: (number + delays[number] * (number > 0), number))
    receiver = listening()
    frames = [frame for number in order for frame in hear(receiver, audio(number))]
    assert frames == [played(number) for number in range(len(delays))]


datagrams = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda first, rest: bytes([first]) + rest, st.integers(0x80, 0xBF), st.binary(max_size=60)),
    st.builds(
        pack_packet,
        st.sampled_from([0, 8, 13, 72, 101]),
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFFFFFF),
        st.sampled_from([1, 2]),
        st.binary(max_size=8),
        marker=st.booleans(),
    ),
)


@given(st.lists(st.tuples(datagrams, st.sampled_from([PHONE, STRANGER]), st.floats(0, 0.3)), max_size=40))
def test_anything_may_come(arrivals: list[tuple[bytes, tuple[str, int], float]]) -> None:
    receiver, now = listening(), 0.0
    for data, source, pause in arrivals:
        now += pause
        receiver.receive_packet(data, source, now=now)
        receiver.release_due(now=now)
        assert receiver.due_at > now
    assert len(receiver.window._held) < 6


@pytest.mark.parametrize("digit", [*"0123456789", "star", "pound"])
def test_captured_digits(corpora: Path, digit: str) -> None:
    datagrams = list(read_pcap(corpora / "pcap" / f"dtmf_2833_{digit}.pcap"))
    receiver = listening(remote=datagrams[0].source)
    for _, source, _, data in datagrams:
        hear(receiver, data, source=source)
    assert [press.digit for press in receiver.digits_received] == [{"star": "*", "pound": "#"}.get(digit, digit)]
    assert receiver.window.duplicate == 2


def test_captured_digits_in_one_call(corpora: Path) -> None:
    """They were captured in one call; the last was pressed first, in a sequence that jumps thousands."""
    receiver = listening(remote=("192.168.0.3", 49176))
    for name in ("1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound", "0"):
        for at, source, _, data in read_pcap(corpora / "pcap" / f"dtmf_2833_{name}.pcap"):
            hear(receiver, data, at, source)
    assert "".join(press.digit for press in receiver.digits_received) == "123456789*#0"


def test_capture_with_dynamic_payload_type(corpora: Path) -> None:
    datagrams = list(read_pcap(corpora / "pcap" / "ssrc2.pcap"))
    receiver = listening(remote=datagrams[0].source, receive_payload_types=frozenset({116}))
    frames = [frame for at, source, _, data in datagrams for frame in hear(receiver, data, at, source)]
    assert [frame.timestamp for frame in frames] == [3166486012, 3166486332]


@pytest.mark.parametrize(
    ("name", "samples", "frames", "digits"),
    [
        ("crash-27382", 160, 274, ""),
        ("40msalaw", 320, 826, ""),
        ("ulaw-2013785496", 160, 854, "2013785496"),
        ("milliwatt.pcmu.rtp", 160, 232, ""),
    ],
)
def test_captured_audio(corpora: Path, name: str, samples: int, frames: int, digits: str) -> None:
    datagrams = list(read_pcap(corpora / "pcap" / f"{name}.pcap"))
    phone = datagrams[0].source
    receiver = listening(remote=phone)
    heard = [
        frame for at, source, _, data in datagrams if source == phone for frame in hear(receiver, data, at, source)
    ]
    assert [len(frame.payload) for frame in heard] == [samples] * frames
    assert not any(frame.lost for frame in heard)
    assert "".join(press.digit for press in receiver.digits_received) == digits


def test_fuzz_seeds(corpora: Path) -> None:
    """Each is a payload type and packets' tails; read here at every offset as a datagram of its own."""
    receiver = listening(receive_payload_types=frozenset(range(128)))
    with ZipFile(corpora / "fuzz_seeds" / "fuzz-rtp_seed_corpus.zip") as seeds:
        for name in seeds.namelist():
            data = seeds.read(name)
            for start in range(len(data)):
                receiver.receive_packet(data[start:], PHONE, now=start / 50)
                receiver.release_due(now=start / 50)
    assert receiver.packets > 0
    assert receiver.malformed > 0
