"""From datagrams to frames: order, silence for what is lost, sources that change, and whatever else comes in."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtp.wire import FRAME, PARAMETERS, PHONE, SSRC, audio, read_pcap

from sipagent.rtp.jitter import MAX_GAP, MAX_HELD
from sipagent.rtp.packet import pack_packet
from sipagent.rtp.parameters import G711, PayloadFormat
from sipagent.rtp.patience import MAX_WAIT_S
from sipagent.rtp.receiver import LEFT_SSRC_S, Receiver
from sipagent.rtp.timeline import MAX_PIECE_S, MAX_SILENCE_S, Frame

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
    return Frame(bytes([number & 0xFF]) * FRAME, 0, number * FRAME & 0xFFFFFFFF, False, FRAME)


def lost(number: int, count: int = FRAME) -> Frame:
    return Frame(b"", 0, number * FRAME, True, count)


def silent(number: int, until: int) -> Frame:
    """The silence from one frame's time to another's."""
    return Frame(b"", 0, number * FRAME, False, (until - number) * FRAME)


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


def test_a_lost_frame_is_as_long_as_the_one_before(receiver: Receiver) -> None:
    for number in (0, 2):
        hear(receiver, pack_packet(8, number, number * 240, SSRC, bytes(240)))
    assert receiver.release_due(now=1.0)[0] == Frame(b"", 8, 240, True, 240)


def test_what_is_lost_ends_where_the_next_begins(receiver: Receiver) -> None:
    """The sender went from 20 ms to 10 with the packets that were lost."""
    hear(receiver, audio(0))
    hear(receiver, pack_packet(0, 4, 160 + 3 * 80, SSRC, bytes(80)))
    released = receiver.release_due(now=1.0)
    assert released == [lost(1), lost(2, 80), Frame(bytes(80), 0, 400, False, 80)]


def test_of_an_outage_the_widest_gap_is_lost_and_the_rest_is_silence(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    last = MAX_GAP + 50
    frames = hear(receiver, audio(last), last * 0.02)
    assert frames == [*(lost(number) for number in range(1, MAX_GAP + 1)), silent(MAX_GAP + 1, last), played(last)]
    assert receiver.window.lost == last - 1


def test_the_widest_gap_is_filled(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, audio(MAX_GAP + 1))
    released = receiver.release_due(now=1.0)
    assert released == [*(lost(number) for number in range(1, MAX_GAP + 1)), played(MAX_GAP + 1)]


def test_silence_not_sent_is_as_long_as_the_clock_says(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    data = pack_packet(0, 1, 80 * FRAME, SSRC, SILENT)
    assert hear(receiver, data, 1.9) == [silent(1, 80), Frame(SILENT, 0, 80 * FRAME, False, FRAME)]
    assert receiver.window.lost == 0


@pytest.mark.parametrize(
    ("seconds", "pieces"),
    [(MAX_PIECE_S, 1), (5, 3), (MAX_SILENCE_S, 15), (MAX_SILENCE_S + 90, 15)],
)
def test_long_silence_comes_in_pieces(receiver: Receiver, seconds: int, pieces: int) -> None:
    hear(receiver, audio(0), 0.0)
    end = FRAME + 8000 * seconds
    *silence, frame = hear(receiver, pack_packet(0, 1, end, SSRC, SILENT), seconds)
    assert sum(piece.samples for piece in silence) == 8000 * min(seconds, MAX_SILENCE_S)
    assert len(silence) == pieces
    begins = [piece.timestamp for piece in silence] + [frame.timestamp]
    assert [piece.timestamp + piece.samples for piece in silence] == begins[1:]


@pytest.mark.parametrize(
    ("pause_s", "passed_s", "is_told"),
    [
        pytest.param(5, 5.0, True, id="as long as the pause"),
        pytest.param(5, 9.0, True, id="the packet was late"),
        pytest.param(5, 4.6, True, id="the packet before was late"),
        pytest.param(5, 4.4, False, id="time that can not have passed"),
        pytest.param(3600, 0.02, False, id="hours of it"),
        pytest.param(-5, 5.0, False, id="back in time"),
    ],
)
def test_a_clock_set_anew_is_no_silence(receiver: Receiver, pause_s: int, passed_s: float, is_told: bool) -> None:
    start = 10**6
    hear(receiver, pack_packet(0, 0, start, SSRC, SILENT), 0.0)
    data = pack_packet(0, 1, start + FRAME + 8000 * pause_s, SSRC, SILENT)
    silence = sum(frame.samples for frame in hear(receiver, data, passed_s)[:-1])
    assert silence == (8000 * pause_s if is_told else 0)


def test_a_clock_that_is_too_quick_is_no_silence(receiver: Receiver) -> None:
    """Some count G.722 at 16 kHz: each timestamp skips as much as was sent."""
    silence = 0
    for number in range(1000):
        frames = hear(receiver, pack_packet(0, number, number * 2 * FRAME, SSRC, SILENT), number * 0.02)
        silence += sum(frame.samples for frame in frames if not frame.payload)
    assert silence <= 8000 * 0.5 * 1.05


def test_a_quartz_that_is_quick_for_hours_is_believed(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    now = 3 * 3600.0
    number = round(now * 50 * (1 + 200e-6))
    receiver._timeline.expected = number * FRAME
    data = pack_packet(0, 1, (number + 100) * FRAME, SSRC, SILENT)
    assert sum(frame.samples for frame in hear(receiver, data, now + 2)[:-1]) == 100 * FRAME


def test_silence_across_the_wrap_of_the_clock(receiver: Receiver) -> None:
    hear(receiver, pack_packet(0, 0, 0xFFFFFFFF - FRAME, SSRC, SILENT), 0.0)
    silence, _ = hear(receiver, pack_packet(0, 1, 799, SSRC, SILENT), 0.12)
    assert silence == Frame(b"", 0, 0xFFFFFFFF, False, 800)


def test_loss_beside_silence_not_sent_is_one_frame(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    hear(receiver, pack_packet(0, 2, 80 * FRAME, SSRC, SILENT), 1.6)
    released = receiver.release_due(now=receiver.due_at)
    assert released == [lost(1), silent(2, 80), Frame(SILENT, 0, 80 * FRAME, False, FRAME)]


def test_comfort_noise_is_silence_until_the_next_packet(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    assert hear(receiver, pack_packet(13, 1, FRAME, SSRC, bytes([64])), 0.02) == []
    assert receiver.noise_dbov == -64
    assert hear(receiver, pack_packet(13, 2, 11 * FRAME, SSRC, bytes([70, 1, 2])), 0.22) == [silent(1, 11)]
    assert hear(receiver, audio(21, first=-18), 0.42) == [silent(11, 21), played(21)]
    assert (receiver.noise_dbov, receiver.ignored, receiver.window.lost) == (-70, 0, 0)


def test_comfort_noise_of_a_payload_type_of_its_own() -> None:
    receiver = listening(comfort_noise=frozenset({98}))
    hear(receiver, audio(0), 0.0)
    assert hear(receiver, pack_packet(98, 1, 3 * FRAME, SSRC, b""), 0.06) == [silent(1, 3)]
    assert receiver.noise_dbov is None


def test_comfort_noise_before_any_audio_has_no_length(receiver: Receiver) -> None:
    assert hear(receiver, pack_packet(13, 0, 10**6, SSRC, b"@"), 0.0) == []
    assert hear(receiver, audio(1), 0.02) == [played(1)]


def test_a_lost_packet_before_comfort_noise(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    hear(receiver, pack_packet(13, 2, 2 * FRAME, SSRC, b"@"), 0.04)
    assert receiver.release_due(now=0.2) == [lost(1)]


def test_the_time_of_a_press_is_silence(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    for number in range(1, 6):
        event = bytes.fromhex("050a" if number < 5 else "058a") + (number * FRAME).to_bytes(2)
        hear(receiver, pack_packet(101, number, FRAME, SSRC, event), number * 0.02)
    assert hear(receiver, audio(6), 0.12) == [silent(1, 6), played(6)]


def test_payload_types_tell_the_length_and_the_clock() -> None:
    """One byte of this codec's is its length in units of 10 ms."""
    opus = PayloadFormat(48000, lambda payload: 480 * payload[0])
    receiver = listening(receive_payload_types={0: G711, 111: opus})
    assert hear(receiver, pack_packet(111, 0, 0, SSRC, b"\x02"), 0.0) == [Frame(b"\x02", 111, 0, False, 960)]
    assert hear(receiver, pack_packet(111, 1, 960, SSRC, b"\x06"), 0.02) == [Frame(b"\x06", 111, 960, False, 2880)]
    hear(receiver, pack_packet(111, 3, 6720, SSRC, b"\x02"), 0.14)
    assert receiver.release_due(now=0.3) == [
        Frame(b"", 111, 3840, True, 2880),
        Frame(b"\x02", 111, 6720, False, 960),
    ]
    silence, _ = hear(receiver, pack_packet(111, 4, 48000, SSRC, b"\x02"), 1.0)
    assert silence == Frame(b"", 111, 7680, False, 40320)


def test_between_payload_types_of_different_clocks_nothing_is_filled() -> None:
    receiver = listening(receive_payload_types={0: G711, 111: PayloadFormat(48000)})
    hear(receiver, audio(0), 0.0)
    assert hear(receiver, pack_packet(111, 1, 960, SSRC, bytes(960)), 1.0) == [Frame(bytes(960), 111, 960, False, 960)]
    assert hear(receiver, audio(2), 1.02) == [played(2)]
    assert hear(receiver, audio(4, first=-1), 1.06) == [silent(3, 4), played(4)]


def test_a_payload_without_audio_takes_no_time() -> None:
    receiver = listening(receive_payload_types={111: PayloadFormat(48000, lambda payload: 0)})
    hear(receiver, pack_packet(111, 0, 0, SSRC, b"?"), 0.0)
    hear(receiver, pack_packet(111, 2, 960, SSRC, b"?"), 0.04)
    assert receiver.release_due(now=0.2) == [Frame(b"", 111, 0, False, 960), Frame(b"?", 111, 960, False, 0)]


def test_a_new_agreement_fills_nothing(receiver: Receiver) -> None:
    hear(receiver, audio(0), 0.0)
    receiver.configure(PARAMETERS)
    assert hear(receiver, audio(100, first=-99), 2.0) == [played(100)]


def test_loss_within_a_press_is_not_filled(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, pack_packet(101, 3, FRAME, SSRC, bytes.fromhex("050a01e0")))
    assert receiver.release_due(now=1.0) == []
    assert receiver.window.lost == 2


def test_a_timestamp_that_falls_back_is_played_without_filling(receiver: Receiver) -> None:
    hear(receiver, audio(50))
    hear(receiver, pack_packet(0, 52, 7, SSRC, SILENT))
    assert receiver.release_due(now=1.0) == [Frame(SILENT, 0, 7, False, FRAME)]


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
    heard = [hear(receiver, audio(number, first=30000)) for number in (1, 2, 3)]
    assert heard == [[], [silent(1, 2), played(2)], [played(3)]]
    assert receiver.window.lost == 0


@pytest.mark.parametrize("payload_type", [77, 97])
def test_the_time_of_other_payload_types_is_silence(receiver: Receiver, payload_type: int) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, pack_packet(payload_type, 1, 160, SSRC, b"?")) == []
    assert hear(receiver, audio(2)) == [silent(1, 2), played(2)]
    assert (receiver.ignored, receiver.window.lost) == (1, 0)


def test_loss_before_an_unknown_payload_type_is_not_filled_by_its_clock(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    hear(receiver, pack_packet(97, 2, 10**6, SSRC, b"?"))
    assert receiver.release_due(now=1.0) == []
    assert hear(receiver, audio(3), 1.0) == [silent(1, 3), played(3)]


def test_an_empty_packet_keeps_the_sequence(receiver: Receiver) -> None:
    hear(receiver, audio(0))
    assert hear(receiver, pack_packet(0, 1, 160, SSRC, b"")) == []
    assert hear(receiver, audio(2)) == [silent(1, 2), played(2)]


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
    assert hear(receiver, audio(7)) == [silent(1, 7), played(7)]


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
    ends = [frame.timestamp + frame.samples for frame in frames]
    assert all(end <= begin for end, begin in zip(ends, timestamps[1:], strict=False))
    heard = [frame for frame in frames if frame.payload]
    assert all(frame == played(frame.timestamp // FRAME) for frame in heard)
    assert {frame.timestamp // FRAME for frame in heard} <= {number for number, _ in arrivals}


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
    assert len(receiver.window._held) < MAX_HELD


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
    receiver = listening(
        remote=datagrams[0].source, receive_payload_types={116: PayloadFormat(16000, lambda payload: 320)}
    )
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
    assert [len(frame.payload) for frame in heard if frame.payload] == [samples] * frames
    assert not any(frame.lost for frame in heard)
    assert "".join(press.digit for press in receiver.digits_received) == digits


def test_fuzz_seeds(corpora: Path) -> None:
    """Each is a payload type and packets' tails; read here at every offset as a datagram of its own."""
    receiver = listening(receive_payload_types=dict.fromkeys(range(128), G711))
    with ZipFile(corpora / "fuzz_seeds" / "fuzz-rtp_seed_corpus.zip") as seeds:
        for name in seeds.namelist():
            data = seeds.read(name)
            for start in range(len(data)):
                receiver.receive_packet(data[start:], PHONE, now=start / 50)
                receiver.release_due(now=start / 50)
    assert receiver.packets > 0
    assert receiver.malformed > 0
