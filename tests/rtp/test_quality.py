"""What a session says of how it sounds, and what its peer says."""

from random import Random

import pytest
from rtp.wire import PARAMETERS, PHONE, SSRC, audio

from sipagent.rtp.packet import parse_packet
from sipagent.rtp.rtcp import ExtendedReport, ReceiverReport, ReportBlock, RtcpPacket, build_compound, parse_compound
from sipagent.rtp.session import RtpSession, SendRtcp
from sipagent.rtp.xr import VoipMetrics

RTCP = (PHONE[0], PHONE[1] + 1)
VOICE = bytes(160)


@pytest.fixture
def session() -> RtpSession:
    return RtpSession(random=Random(1), cname="agent@host", parameters=PARAMETERS)


def hear(session: RtpSession, pattern: str) -> None:
    """``.`` a packet that comes, ``x`` one that doesn't, ``l`` one that comes when it was given up."""
    late = []
    for number, letter in enumerate(pattern):
        now = number * 0.02
        if letter == ".":
            session.receive_packet(audio(number), PHONE, now=now)
        elif letter == "l":
            late.append((now + 0.2, number))
        while late and late[0][0] <= now:
            session.receive_packet(audio(late.pop(0)[1]), PHONE, now=now)
        session.handle_timer(now=now)


def speak(session: RtpSession, count: int) -> tuple[int, int]:
    """Send packets; return our SSRC and the number of the last."""
    packets = [parse_packet(session.next_packet(VOICE, now=number * 0.02)) for number in range(count)]
    last = packets[-1]
    assert last is not None
    return last.ssrc, last.sequence_number


def reports(session: RtpSession) -> list[RtcpPacket]:
    found: list[RtcpPacket] = []
    while (output := session.poll()) is not None:
        assert isinstance(output, SendRtcp)
        found += parse_compound(output.data) or []
    return found


def report(session: RtpSession, *packets: RtcpPacket, now: float = 9.0) -> None:
    session.receive_rtcp(build_compound(packets), RTCP, now=now)


def test_a_clean_stream_is_without_a_flaw(session: RtpSession) -> None:
    hear(session, "." * 100)
    heard = session.heard
    assert (heard.loss, heard.burst_ratio, heard.delay_ms) == (0, 1, 20)
    assert heard.mos == pytest.approx(4.41, abs=0.01)
    assert session.sent is None


def test_loss_and_its_bursts_are_heard(session: RtpSession) -> None:
    hear(session, ("." * 46 + "xxxx") * 10 + "." * 20)
    heard = session.heard
    assert heard.loss == pytest.approx(40 / 520)
    assert heard.burst_ratio == pytest.approx(4 * (1 - 40 / 520))
    assert heard.mos == pytest.approx(3.4, abs=0.1)
    assert session.stats.heard == heard


def test_the_extended_report_says_so(session: RtpSession) -> None:
    hear(session, "." * 60 + "xx" + "." * 60 + "l" + "." * 60)
    session.close(now=4.0)
    (extended,) = [packet for packet in reports(session) if isinstance(packet, ExtendedReport)][-1:]
    (metrics,) = extended.metrics
    assert metrics.ssrc == SSRC
    assert (metrics.loss_rate, metrics.discard_rate) == (256 * 2 // 183, 256 * 1 // 183)
    assert (metrics.burst_density, metrics.burst_ms, metrics.gap_min) == (255, 40, 16)
    assert metrics.r_factor == round(session.heard.r_factor)
    assert metrics.mos_conversation == round(10 * session.heard.mos)
    assert metrics.buffer_limit_ms == 100


def test_nothing_is_said_at_length_of_nobody(session: RtpSession) -> None:
    speak(session, 200)
    session.handle_timer(now=4.0)
    assert not any(isinstance(packet, ExtendedReport) for packet in reports(session))


def test_how_the_peer_hears_us(session: RtpSession) -> None:
    ssrc, last = speak(session, 200)
    report(session, ReceiverReport(SSRC, (ReportBlock(ssrc, 0, 10, last, 80, 0, 0),)))
    sent = session.sent
    assert sent is not None
    assert (sent.loss, sent.jitter_ms) == (0.05, 10)
    assert sent.mos == pytest.approx(3.92, abs=0.01)


def test_what_the_peer_rated_itself_is_taken_as_it_is(session: RtpSession) -> None:
    ssrc, last = speak(session, 200)
    metrics = VoipMetrics(
        ssrc, 26, 26, 0, 0, 0, 0, round_trip_ms=80, end_system_ms=60, gap_min=16, r_factor=70, mos_conversation=36
    )
    block = ReportBlock(ssrc, 0, 10, last, 80, 0, 0)
    report(session, ReceiverReport(SSRC, (block,)), ExtendedReport(SSRC, (metrics,)))
    sent = session.sent
    assert sent is not None
    assert (sent.r_factor, sent.mos, sent.loss, sent.delay_ms) == (70, 3.6, 52 / 256, 80)


@pytest.mark.parametrize(("r_factor", "mos"), [(127, 127), (101, 9), (255, 0), (126, 51)])
def test_what_is_no_rating_is_ignored(session: RtpSession, r_factor: int, mos: int) -> None:
    ssrc, last = speak(session, 200)
    block = ReportBlock(ssrc, 0, 0, last, 0, 0, 0)
    report(session, ReceiverReport(SSRC, (block,)))
    own = session.sent
    metrics = VoipMetrics(ssrc, 0, 0, 0, 0, 0, 0, 0, 0, 16, r_factor=r_factor, mos_conversation=mos)
    report(session, ReceiverReport(SSRC, (block,)), ExtendedReport(SSRC, (metrics,)))
    assert own is not None
    assert session.sent == own


def test_metrics_of_other_streams_are_nothing_to_us(session: RtpSession) -> None:
    ssrc, last = speak(session, 200)
    metrics = VoipMetrics(ssrc + 1, 26, 26, 0, 0, 0, 0, 80, 60, 16, r_factor=70)
    block = ReportBlock(ssrc, 0, 0, last, 0, 0, 0)
    report(session, ReceiverReport(SSRC, (block,)), ExtendedReport(SSRC, (metrics,)))
    assert session.sent is not None
    assert session.sent.loss == 0


@pytest.mark.parametrize("highest", [0, 0xFFFFFFFF])
def test_a_report_of_packets_that_were_never_sent(session: RtpSession, highest: int) -> None:
    ssrc, _ = speak(session, 200)
    report(session, ReceiverReport(SSRC, (ReportBlock(ssrc, 0, 0x7FFFFF, highest, 0, 0, 0),)))
    assert session.sent is not None
    assert session.sent.loss == 1
