"""The metrics of VoIP on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.rtp.rtcp import ExtendedReport, build_compound, parse_compound
from sipagent.rtp.xr import UNKNOWN, VoipMetrics

METRICS = VoipMetrics(
    ssrc=0x01020304,
    loss_rate=0x11,
    discard_rate=0x12,
    burst_density=0x13,
    gap_density=0x14,
    burst_ms=0x2122,
    gap_ms=0x2324,
    round_trip_ms=0x2526,
    end_system_ms=0x2728,
    gap_min=16,
    r_factor=88,
    mos_listening=43,
    mos_conversation=41,
    buffer_ms=20,
    buffer_max_ms=60,
    buffer_limit_ms=100,
)

WIRE = bytes.fromhex(
    "80cf000a 00000007 07000008 01020304 11121314 21222324 25262728 7f7f7f10 587f2b29 b0000014 003c0064"
)


def test_every_field_is_in_its_place() -> None:
    assert build_compound([ExtendedReport(7, (METRICS,))]) == WIRE
    assert parse_compound(WIRE) == [ExtendedReport(7, (METRICS,))]


def test_metrics_among_other_blocks() -> None:
    """A receiver's reference time goes before them."""
    body = bytes.fromhex("00000007 04000002 0000000000000000") + WIRE[8:]
    data = bytes.fromhex("80cf") + (len(body) // 4).to_bytes(2) + body
    assert parse_compound(data) == [ExtendedReport(7, (METRICS,))]


@pytest.mark.parametrize("end", range(1, len(WIRE)))
def test_a_report_that_is_cut_is_none(end: int) -> None:
    assert parse_compound(WIRE[:end]) is None


def test_more_than_a_field_holds_is_its_most() -> None:
    metrics = VoipMetrics(1, 256, 256, 256, 256, 70_000, 70_000, 70_000, 70_000, 16)
    (report,) = parse_compound(build_compound([ExtendedReport(7, (metrics,))])) or []
    assert isinstance(report, ExtendedReport)
    (read,) = report.metrics
    assert (read.loss_rate, read.burst_ms, read.round_trip_ms, read.r_factor) == (255, 65_535, 65_535, UNKNOWN)


octet, word = st.integers(0, 255), st.integers(0, 0xFFFF)


@given(
    st.builds(
        VoipMetrics,
        st.integers(0, 0xFFFFFFFF),
        *[octet] * 4,
        *[word] * 4,
        *[octet] * 4,
        *[word] * 3,
        *[octet] * 5,
    )
)
def test_what_is_built_reads_back(metrics: VoipMetrics) -> None:
    assert parse_compound(build_compound([ExtendedReport(7, (metrics,))])) == [ExtendedReport(7, (metrics,))]
