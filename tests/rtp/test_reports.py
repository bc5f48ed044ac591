"""When RTCP reports go out and what they say, and what is read from the peer's."""

from math import inf
from random import Random

import pytest
from rtp.wire import PARAMETERS

from sipagent.rtp.reports import FIRST_INTERVAL_S, INTERVAL_S, NTP_EPOCH_S, Reporter
from sipagent.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse_compound,
)
from sipagent.rtp.sender import Sender
from sipagent.rtp.source import Source

UNIX_TIME = 1_700_000_000
PEER = 77


@pytest.fixture
def sender() -> Sender:
    sender = Sender(random=Random(1))
    sender.configure(PARAMETERS)
    return sender


@pytest.fixture
def reporter(sender: Sender) -> Reporter:
    return Reporter(sender.ssrc, cname="a@b", random=Random(2), wall_offset=UNIX_TIME)


def first_of(data: bytes) -> RtcpPacket:
    packets = parse_compound(data)
    assert packets is not None
    assert isinstance(packets[1], SourceDescription)
    return packets[0]


def heard(number: int = 10) -> Source:
    source = Source(PEER, number, clock_rate=8000)
    source.receive(number)
    return source


@pytest.mark.parametrize("seed", range(20))
def test_intervals(sender: Sender, seed: int) -> None:
    reporter = Reporter(1, cname="", random=Random(seed), wall_offset=0)
    assert reporter.due_at == inf
    reporter.start(now=100.0)
    first = reporter.due_at
    assert FIRST_INTERVAL_S[0] <= first - 100 <= FIRST_INTERVAL_S[1]
    reporter.start(now=101.0)
    assert reporter.due_at == first
    reporter.report(sender, None, now=first)
    assert INTERVAL_S[0] <= reporter.due_at - first <= INTERVAL_S[1]
    reporter.stop()
    assert reporter.due_at == inf


def test_who_sends_nothing_reports_as_receiver(reporter: Reporter, sender: Sender) -> None:
    assert first_of(reporter.report(sender, None, now=0.0)) == ReceiverReport(sender.ssrc)


def test_sender_report(reporter: Reporter, sender: Sender) -> None:
    *_, last = [sender.next_packet(bytes(160), now=10 + number / 50, marker=False) for number in range(3)]
    report = first_of(reporter.report(sender, None, now=10.5))
    assert isinstance(report, SenderReport)
    assert (report.ssrc, report.packet_count, report.octet_count) == (sender.ssrc, 3, 480)
    assert report.ntp_time == (UNIX_TIME + NTP_EPOCH_S) * 2**32 + int(10.5 * 2**32)
    last_sent = int.from_bytes(last[4:8])
    assert report.rtp_timestamp == (last_sent + int((10.5 - 10.04) * 8000)) & 0xFFFFFFFF


def test_a_sender_fallen_silent_is_one_for_two_more_reports(reporter: Reporter, sender: Sender) -> None:
    sender.next_packet(bytes(160), now=0.0, marker=False)
    kinds = [type(first_of(reporter.report(sender, None, now=float(now)))) for now in range(4)]
    assert kinds == [SenderReport, SenderReport, ReceiverReport, ReceiverReport]


def test_reception(reporter: Reporter, sender: Sender) -> None:
    source = heard(10)
    source.receive(13)
    expected = ReportBlock(PEER, 128, 2, 13, 0, 0, 0)
    assert first_of(reporter.report(sender, source, now=1.0)) == ReceiverReport(sender.ssrc, (expected,))
    assert first_of(reporter.report(sender, source, now=6.0)) == ReceiverReport(sender.ssrc)


def test_last_sender_report_and_delay(reporter: Reporter, sender: Sender) -> None:
    reporter.receive([SenderReport(PEER, 0x1111222233334444, 0, 0, 0)], now=2.0)
    report = first_of(reporter.report(sender, heard(), now=3.5))
    assert isinstance(report, ReceiverReport)
    assert (report.blocks[0].last_sender_report, report.blocks[0].delay) == (0x22223333, 3 * 32768)
    assert reporter.heard_at == 2.0


def test_a_clock_that_steps_back_a_little_does_no_harm(reporter: Reporter, sender: Sender) -> None:
    """A timer may fire a moment before its time, and its ``now`` is then the later one."""
    reporter.receive([SenderReport(PEER, 0x1111222233334444, 0, 0, 0)], now=2.001)
    report = first_of(reporter.report(sender, heard(), now=2.0))
    assert isinstance(report, ReceiverReport)
    assert report.blocks[0].delay == 0


def test_a_sender_report_of_another_source_is_not_counted_from(reporter: Reporter, sender: Sender) -> None:
    reporter.receive([SenderReport(PEER + 1, 0x1111222233334444, 0, 0, 0)], now=2.0)
    report = first_of(reporter.report(sender, heard(), now=3.5))
    assert isinstance(report, ReceiverReport)
    assert report.blocks[0].last_sender_report == 0


def test_round_trip(reporter: Reporter, sender: Sender) -> None:
    sender.next_packet(bytes(160), now=0.0, marker=False)
    ours = first_of(reporter.report(sender, None, now=10.0))
    assert isinstance(ours, SenderReport)
    block = ReportBlock(sender.ssrc, 64, 5, 0, 80, ours.ntp_time >> 16 & 0xFFFFFFFF, 65536)
    reporter.receive([ReceiverReport(PEER, (block,))], now=11.25)
    assert reporter.round_trip_ms == pytest.approx(250, abs=0.1)
    assert reporter.peer_view == block


@pytest.mark.parametrize(
    "block",
    [
        pytest.param({"ssrc": 1}, id="of another's stream"),
        pytest.param({"last_sender_report": 0}, id="without a sender report"),
        pytest.param({"delay": 0xFFFFFFFF}, id="longer than all time"),
        pytest.param({"last_sender_report": 1}, id="from long ago"),
    ],
)
def test_no_round_trip(reporter: Reporter, sender: Sender, block: dict[str, int]) -> None:
    fields = {"ssrc": sender.ssrc, "last_sender_report": 0x80000000, "delay": 0} | block
    whole = ReportBlock(fraction_lost=0, cumulative_lost=0, highest_sequence_number=0, jitter=0, **fields)
    reporter.receive([ReceiverReport(PEER, (whole,))], now=1.0)
    assert reporter.round_trip_ms is None


def test_farewell(reporter: Reporter, sender: Sender) -> None:
    packets = parse_compound(reporter.farewell(sender, None, now=1.0))
    assert packets == [ReceiverReport(sender.ssrc), SourceDescription(sender.ssrc, "a@b"), Goodbye((sender.ssrc,))]
