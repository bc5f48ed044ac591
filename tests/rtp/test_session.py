"""The session as the call drives it: packets, digits, reports, the end."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtp.wire import FRAME, PARAMETERS, PHONE, SSRC, audio

from sipagent.errors import LocalProtocolError
from sipagent.rtp.packet import pack_packet, parse_packet
from sipagent.rtp.rtcp import Goodbye, ReceiverReport, SenderReport, SourceDescription, build_compound, parse_compound
from sipagent.rtp.session import Address, DigitReceived, Frame, RtpParameters, RtpSession, SendRtcp
from sipagent.rtp.srtp import Protector, SrtpParameters

NAT = ("9.9.9.9", 50000)
RTCP = (PHONE[0], PHONE[1] + 1)
VOICE = bytes(FRAME)


def report_of(ssrc: int) -> bytes:
    return build_compound([ReceiverReport(ssrc), SourceDescription(ssrc, "phone")])


REPORT = report_of(SSRC)


def session_with(parameters: RtpParameters | None = PARAMETERS) -> RtpSession:
    return RtpSession(random=Random(1), cname="agent@host", parameters=parameters, wall_offset=1.7e9)


@pytest.fixture
def session() -> RtpSession:
    return session_with()


def next_report(session: RtpSession) -> SendRtcp:
    """Run the timer until a report comes out."""
    for _ in range(10):
        due_at = session.get_timer()
        assert due_at is not None
        session.handle_timer(now=due_at)
        output = session.poll()
        if output is not None:
            assert isinstance(output, SendRtcp)
            return output
    raise AssertionError("no report")


def test_before_the_agreement_nothing_is_sent_or_heard() -> None:
    session = session_with(None)
    assert session.remote is None
    assert session.get_timer() is None
    assert session.receive_packet(audio(0), PHONE, now=0.0) == ()
    with pytest.raises(LocalProtocolError):
        session.next_packet(VOICE, now=0.0)
    session.configure(PARAMETERS)
    assert session.remote == PHONE
    assert len(session.receive_packet(audio(0), PHONE, now=0.0)) == 1


def test_frames_released_by_the_timer_are_taken_once(session: RtpSession) -> None:
    session.receive_packet(audio(0), PHONE, now=0.0)
    assert session.receive_packet(audio(2), PHONE, now=0.02) == []
    due_at = session.get_timer()
    assert due_at is not None
    session.handle_timer(now=due_at)
    assert [(frame.timestamp, frame.lost) for frame in session.take_released()] == [(160, True), (320, False)]
    assert session.take_released() == []


def test_digits_come_by_poll(session: RtpSession) -> None:
    session.receive_packet(pack_packet(101, 0, 0, SSRC, bytes.fromhex("058a0320")), PHONE, now=0.0)
    assert session.poll() == DigitReceived("5", 100)
    assert session.poll() is None


def test_digits_are_sent(session: RtpSession) -> None:
    session.send_digit("5")
    packet = parse_packet(session.next_packet(VOICE, now=0.0))
    assert packet is not None
    assert (packet.payload_type, packet.payload[0]) == (96, 5)


def test_media_goes_where_it_comes_from(session: RtpSession) -> None:
    session.configure(replace(PARAMETERS, signalling_host=NAT[0]))
    for number in range(3):
        session.receive_packet(audio(number), NAT, now=number / 50)
    assert session.remote == NAT
    session.receive_packet(audio(3), PHONE, now=0.06)
    assert session.remote == PHONE


def test_another_remote_ends_the_latch_and_keeps_the_numbers(session: RtpSession) -> None:
    session.configure(replace(PARAMETERS, signalling_host=NAT[0]))
    first = parse_packet(session.next_packet(VOICE, now=0.0))
    for number in range(3):
        session.receive_packet(audio(number), NAT, now=number / 50)
    session.configure(replace(PARAMETERS, payload_type=8, remote=("192.168.1.3", 5000)))
    assert session.remote == ("192.168.1.3", 5000)
    second = parse_packet(session.next_packet(VOICE, now=0.02))
    assert first is not None
    assert second is not None
    assert (second.ssrc, second.payload_type) == (first.ssrc, 8)
    assert second.sequence_number == (first.sequence_number + 1) & 0xFFFF


def test_hold_by_no_address_sends_nowhere_but_hears(session: RtpSession) -> None:
    session.receive_packet(audio(0), PHONE, now=0.0)
    session.configure(replace(PARAMETERS, remote=None))
    assert session.remote is None
    assert len(session.receive_packet(audio(1), PHONE, now=0.02)) == 1
    session.configure(PARAMETERS)
    assert session.remote == PHONE


def test_reports_begin_with_the_first_packet(session: RtpSession) -> None:
    assert session.get_timer() is None
    session.next_packet(VOICE, now=100.0)
    report = next_report(session)
    assert (report.destination, report.mux) == (RTCP, False)
    packets = parse_compound(report.data)
    assert packets is not None
    assert [type(packet) for packet in packets] == [SenderReport, SourceDescription]
    assert next_report(session).data != report.data


def test_reports_of_who_only_hears(session: RtpSession) -> None:
    session.receive_packet(audio(0), PHONE, now=5.0)
    packets = parse_compound(next_report(session).data)
    assert packets is not None
    assert isinstance(packets[0], ReceiverReport)
    assert packets[0].blocks[0].ssrc == SSRC


@pytest.mark.parametrize(
    ("changes", "destination", "mux"),
    [
        ({}, RTCP, False),
        ({"remote_rtcp": None}, RTCP, False),
        ({"remote_rtcp": ("192.168.1.7", 9)}, ("192.168.1.7", 9), False),
        ({"rtcp_mux": True}, PHONE, True),
    ],
)
def test_where_reports_go(changes: dict[str, Any], destination: tuple[str, int], mux: bool) -> None:
    session = session_with(replace(PARAMETERS, **changes))
    session.next_packet(VOICE, now=0.0)
    report = next_report(session)
    assert (report.destination, report.mux) == (destination, mux)


def test_reports_go_where_reports_come_from(session: RtpSession) -> None:
    session.next_packet(VOICE, now=0.0)
    session.receive_packet(audio(0), PHONE, now=0.0)
    session.receive_rtcp(report_of(SSRC), (PHONE[0], 55555), now=0.0)
    assert next_report(session).destination == (PHONE[0], 55555)
    session.configure(replace(PARAMETERS, remote=("192.168.1.3", 5000), remote_rtcp=None))
    assert next_report(session).destination == ("192.168.1.3", 5001)


@pytest.mark.parametrize(
    ("source", "ssrc", "is_heard"),
    [
        pytest.param((PHONE[0], 4001), 7, True, id="the port said"),
        pytest.param(PHONE, 7, True, id="the port of RTP"),
        pytest.param((PHONE[0], 55555), SSRC, True, id="another port, the stream's SSRC"),
        pytest.param((PHONE[0], 55555), 7, False, id="another port, another SSRC"),
        pytest.param(NAT, SSRC, False, id="another host"),
    ],
)
def test_whose_reports_are_heard(session: RtpSession, source: Address, ssrc: int, is_heard: bool) -> None:
    session.receive_packet(audio(0), PHONE, now=0.0)
    session.receive_rtcp(report_of(ssrc), source, now=1.0)
    assert session.rtcp_heard_at == (1.0 if is_heard else None)
    assert next_report(session).destination == (source if is_heard else (PHONE[0], 4001))
    assert session.stats.from_strangers == (not is_heard)


def test_with_srtp_reports_are_the_peers_wherever_from(session: RtpSession) -> None:
    suite, ours, theirs = "AES_CM_128_HMAC_SHA1_80", bytes(range(30)), bytes(range(30, 60))
    session.configure(replace(PARAMETERS, srtp=SrtpParameters(suite, ours, theirs)))
    session.receive_rtcp(report_of(7), NAT, now=0.5)
    assert session.rtcp_heard_at is None, "anybody could have written it"
    peer = Protector(SrtpParameters(suite, theirs, ours))
    session.receive_rtcp(peer.protect_rtcp(report_of(7)), NAT, now=1.0)
    assert session.rtcp_heard_at == 1.0


def test_reports_to_nowhere_are_not_sent() -> None:
    session = session_with(replace(PARAMETERS, remote=None, remote_rtcp=None))
    session.next_packet(VOICE, now=0.0)
    due_at = session.get_timer()
    assert due_at is not None
    session.handle_timer(now=due_at)
    assert session.poll() is None
    assert session.get_timer() != due_at


def test_rtcp_on_the_port_of_rtp(session: RtpSession) -> None:
    assert session.receive_packet(REPORT, PHONE, now=3.0) == ()
    assert session.rtcp_heard_at == 3.0


def test_rtcp_of_strangers_and_nonsense(session: RtpSession) -> None:
    session.receive_rtcp(REPORT, NAT, now=0.0)
    session.receive_rtcp(b"nonsense", RTCP, now=0.0)
    assert session.rtcp_heard_at is None
    assert (session.stats.from_strangers, session.stats.malformed) == (1, 1)


def test_close_says_goodbye_once_and_hears_no_more(session: RtpSession) -> None:
    session.next_packet(VOICE, now=0.0)
    session.receive_packet(audio(0), PHONE, now=0.0)
    session.close(now=1.0)
    session.close(now=2.0)
    goodbye = session.poll()
    assert isinstance(goodbye, SendRtcp)
    packets = parse_compound(goodbye.data)
    assert packets is not None
    assert isinstance(packets[-1], Goodbye)
    assert session.poll() is None
    assert session.get_timer() is None
    session.configure(replace(PARAMETERS, remote=NAT))
    assert session.receive_packet(audio(1), PHONE, now=1.0) == ()
    assert session.receive_packet(audio(1), NAT, now=1.0) == ()
    session.receive_rtcp(REPORT, RTCP, now=1.0)
    assert session.rtcp_heard_at is None
    with pytest.raises(LocalProtocolError):
        session.next_packet(VOICE, now=1.0)


def test_who_never_spoke_says_no_goodbye(session: RtpSession) -> None:
    session.close(now=1.0)
    assert session.poll() is None


def test_a_timer_value_never_comes_twice(session: RtpSession) -> None:
    session.receive_packet(audio(0), PHONE, now=0.0)
    session.receive_packet(audio(2), PHONE, now=0.0)
    session.receive_packet(pack_packet(101, 3, 480, SSRC, bytes.fromhex("050a0320")), PHONE, now=0.0)
    seen = []
    for _ in range(6):
        due_at = session.get_timer()
        assert due_at is not None
        seen.append(due_at)
        session.handle_timer(now=due_at)
    assert seen == sorted(set(seen))


def test_stats(session: RtpSession) -> None:
    assert session.heard_at is None
    for number in (0, 1, 1, 3, 4):
        session.receive_packet(audio(number), PHONE, now=1 + number / 50)
    session.handle_timer(now=1.2)
    session.receive_packet(audio(2), PHONE, now=1.2)
    session.receive_packet(pack_packet(97, 5, 800, SSRC, b"\x20"), PHONE, now=1.3)
    for number in range(2):
        session.next_packet(VOICE, now=number / 50)
    stats = session.stats
    assert (stats.packets_received, stats.bytes_received) == (7, 6 * FRAME + 1)
    assert (stats.lost, stats.late, stats.duplicate, stats.ignored) == (1, 1, 1, 1)
    assert (stats.packets_sent, stats.bytes_sent) == (2, 2 * FRAME)
    assert stats.round_trip_ms is None
    assert stats.jitter_ms > 0
    assert session.heard_at == 1.3


def test_what_the_peer_says_of_us(session: RtpSession) -> None:
    session.next_packet(VOICE, now=0.0)
    peer = RtpSession(random=Random(9), cname="phone", parameters=replace(PARAMETERS, remote=("192.168.1.1", 1)))
    peer.receive_packet(session.next_packet(VOICE, now=0.02), ("192.168.1.1", 1), now=0.03)
    ours = next_report(session)
    peer.receive_rtcp(ours.data, ("192.168.1.1", 2), now=0.5)
    session.receive_rtcp(next_report(peer).data, RTCP, now=4.0)
    assert session.stats.peer_fraction_lost == 0
    assert session.stats.peer_jitter_ms == 0
    assert session.stats.round_trip_ms is not None


def run(seed: int) -> list[object]:
    """A call of chance; the same seed must give the same outputs."""
    random, session, outputs = Random(seed), session_with(), list[object]()
    for tick in range(500):
        now = tick / 50
        if random.random() > 0.1:
            outputs += session.receive_packet(audio(tick), PHONE, now=now)
        due_at = session.get_timer()
        if due_at is not None and due_at <= now:
            session.handle_timer(now=now)
            outputs += session.take_released()
        outputs += [session.next_packet(VOICE, now=now), session.poll()]
    return outputs


def test_the_same_seed_gives_the_same_call() -> None:
    first = run(3)
    assert first == run(3)
    frames = [output for output in first if isinstance(output, Frame)]
    assert [frame.timestamp for frame in frames] == [number * FRAME for number in range(len(frames))]
    assert 0.05 < sum(frame.lost for frame in frames) / len(frames) < 0.15


@given(st.lists(st.tuples(st.binary(max_size=80), st.sampled_from([PHONE, RTCP, NAT]), st.booleans()), max_size=20))
def test_anything_may_come(arrivals: list[tuple[bytes, tuple[str, int], bool]]) -> None:
    session = session_with()
    for number, (data, source, is_rtcp) in enumerate(arrivals):
        if is_rtcp:
            session.receive_rtcp(b"\x81" + data, source, now=number / 10)
        else:
            session.receive_packet(b"\x80" + data, source, now=number / 10)
    stats = session.stats
    assert stats.from_strangers + stats.malformed + stats.packets_received <= len(arrivals)


def test_the_last_port_has_no_reports_port_above_it() -> None:
    session = session_with(replace(PARAMETERS, remote=(PHONE[0], 65_535), remote_rtcp=None))
    session.next_packet(VOICE, now=0.0)
    session.handle_timer(now=session.due_at)
    assert session.poll() is None
