"""RTCP compounds: what is built is parsed, and what is cut, lying or unknown does no harm."""

from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtp.wire import read_pcap

from sipagent.rtp.rtcp import (
    MAX_TEXT,
    ExtendedReport,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
    parse_compound,
)

words = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(ReportBlock, words, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), words, words, words, words),
    max_size=3,
).map(tuple)
packets = st.one_of(
    st.builds(SenderReport, words, st.integers(0, 2**64 - 1), words, words, words, blocks),
    st.builds(ReceiverReport, words, blocks),
    st.builds(SourceDescription, words, st.text("abc@.\xe4", max_size=40)),
    st.builds(Goodbye, st.lists(words, min_size=1, max_size=5).map(tuple)),
)


@given(st.lists(packets, min_size=1, max_size=5))
def test_round_trip(compound: list[RtcpPacket]) -> None:
    data = build_compound(compound)
    assert len(data) % 4 == 0
    assert parse_compound(data) == compound


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_cut_anywhere(compound: list[RtcpPacket], data: st.DataObject) -> None:
    whole = build_compound(compound)
    parsed = parse_compound(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert parsed is None or parsed == compound[: len(parsed)]


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    parsed = parse_compound(b"\x81" + data)
    assert parsed is None or all(isinstance(packet, RtcpPacket) for packet in parsed)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param("81cb0001 00000007", [Goodbye((7,))], id="no report first"),
        pytest.param("81cb0002 00000007 03627965", [Goodbye((7,))], id="a reason"),
        pytest.param("80cc0002 00000007 6e616d65 80c90001 00000007", [ReceiverReport(7)], id="unknown type skipped"),
        pytest.param("a0c90002 00000007 00000004", [ReceiverReport(7)], id="padding"),
        pytest.param("81ca0003 00000007 02026869 01016100", [SourceDescription(7, "a")], id="other SDES items"),
        pytest.param("81ca0002 00000007 00000000", [], id="SDES without items"),
        pytest.param("81ca0001 00000007", [], id="SDES without its final zero"),
        pytest.param("80cf0001 00000007", [ExtendedReport(7)], id="XR without blocks"),
        pytest.param("80cf0003 00000007 04000001 00000000", [ExtendedReport(7)], id="other XR blocks"),
        pytest.param("80cf0000", None, id="XR without its source"),
        pytest.param("80cf0002 00000007 04000001", None, id="XR block past the end"),
        pytest.param("80cf0003 00000007 07000001 00000000", None, id="XR metrics too short"),
        pytest.param("", None, id="empty"),
        pytest.param("80c900", None, id="header cut"),
        pytest.param("40c90001 00000007", None, id="version 1"),
        pytest.param("80c90002 00000007", None, id="length past the end"),
        pytest.param("81c90001 00000007", None, id="block missing"),
        pytest.param("80c80001 00000007", None, id="SR too short"),
        pytest.param("a0c90001 00000000", None, id="padding of none"),
        pytest.param("a0c90001 00000009", None, id="padding past the start"),
        pytest.param("a0c90000", None, id="padding without room"),
        pytest.param("82cb0001 00000007", None, id="BYE short of a source"),
        pytest.param("81ca0002 00000007 01ff6161", None, id="SDES text past the end"),
        pytest.param("82ca0001 00000007", None, id="SDES chunk missing"),
        pytest.param("81ca0002 00000007 01036161", None, id="SDES text one past the end"),
    ],
)
def test_parse(data: str, expected: list[RtcpPacket] | None) -> None:
    assert parse_compound(bytes.fromhex(data)) == expected


def test_long_names_are_cut() -> None:
    assert parse_compound(build_compound([SourceDescription(1, "n" * 300)])) == [SourceDescription(1, "n" * MAX_TEXT)]


def test_reports_that_crashed_others(corpora: Path) -> None:
    """The second has fewer report blocks than the first, for the same stream."""
    datagrams = read_pcap(corpora / "pcap" / "crash-27382.pcap")
    found = [datagram.data for datagram in datagrams if datagram.source[1] == 10195]
    (first, first_again, name), (second, second_again, _) = [parse_compound(data) or [] for data in found]
    assert name == SourceDescription(0x6A1B26D7, "nr")
    assert isinstance(first, SenderReport)
    assert isinstance(second, SenderReport)
    assert (first.packet_count, second.packet_count) == (121, 274)
    assert first_again == ReceiverReport(0x6A1B26D7, first.blocks)
    assert second_again == ReceiverReport(0x6A1B26D7)


def test_fuzz_seeds(corpora: Path) -> None:
    known = {"1.rtcp": SenderReport, "2.rtcp": ReceiverReport, "3.rtcp": SourceDescription, "4.rtcp": Goodbye}
    with ZipFile(corpora / "fuzz_seeds" / "fuzz-rtcp_seed_corpus.zip") as seeds:
        for name in seeds.namelist():
            data = seeds.read(name)
            parsed = [parse_compound(data[:end]) for end in range(len(data) + 1)]
            expected = known.get(Path(name).name)
            if expected is not None:
                assert [type(packet) for packet in parsed[-1] or ()] == [expected]
