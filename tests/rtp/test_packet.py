"""RTP headers: every layout of RFC 3550, section 5.1, and what only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.rtp.packet import MAX_PACKET, Packet, is_rtcp, pack_packet, parse_packet

NUMBERS = "0007 000000a0 00001234"
EXPECTED = Packet(8, False, 7, 160, 0x1234, b"abc")


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        pytest.param("80", b"abc", id="plain"),
        pytest.param("82", b"CSRCcsrcabc", id="two CSRCs"),
        pytest.param("90", b"\xbe\xde\x00\x01extnabc", id="extension"),
        pytest.param("90", b"\xbe\xde\x00\x00abc", id="empty extension"),
        pytest.param("a0", b"abc\x00\x00\x03", id="padding"),
        pytest.param("b1", b"CSRC\xbe\xde\x00\x01extnabc\x01", id="all of them"),
    ],
)
def test_parse(first: str, rest: bytes) -> None:
    assert parse_packet(bytes.fromhex(first + "08" + NUMBERS) + rest) == EXPECTED


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes.fromhex("8008 0007 000000a0 000012"), id="short"),
        pytest.param(bytes.fromhex("4008" + NUMBERS), id="version 1"),
        pytest.param(bytes.fromhex("0001 0000 2112a442") + bytes(12), id="STUN"),
        pytest.param(bytes.fromhex("8f08" + NUMBERS) + bytes(59), id="CSRCs past the end"),
        pytest.param(bytes.fromhex("9008" + NUMBERS) + b"\xbe\xde\x00", id="extension header cut"),
        pytest.param(bytes.fromhex("9008" + NUMBERS) + b"\xbe\xde\xff\xff", id="extension past the end"),
        pytest.param(bytes.fromhex("a008" + NUMBERS) + b"abc\x00", id="padding of none"),
        pytest.param(bytes.fromhex("a008" + NUMBERS) + b"abc\x05", id="padding before the payload"),
        pytest.param(bytes.fromhex("8008" + NUMBERS) + bytes(MAX_PACKET), id="too long"),
    ],
)
def test_not_rtp(data: bytes) -> None:
    assert parse_packet(data) is None


def test_padding_alone_is_an_empty_packet() -> None:
    packet = parse_packet(bytes.fromhex("a008" + NUMBERS) + b"\x00\x00\x03")
    assert packet is not None
    assert packet.payload == b""


@given(
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=500),
)
def test_round_trip(
    payload_type: int, marker: bool, sequence_number: int, timestamp: int, ssrc: int, payload: bytes
) -> None:
    data = pack_packet(payload_type, sequence_number, timestamp, ssrc, payload, marker=marker)
    assert parse_packet(data) == Packet(payload_type, marker, sequence_number, timestamp, ssrc, payload)


@given(st.binary(min_size=12, max_size=100), st.integers(0x80, 0xBF))
def test_a_payload_is_part_of_its_packet(data: bytes, first: int) -> None:
    packet = parse_packet(bytes([first]) + data)
    assert packet is None or packet.payload in data


@pytest.mark.parametrize(("second", "expected"), [(191, False), (192, True), (200, True), (223, True), (224, False)])
def test_shared_port(second: int, expected: bool) -> None:
    assert is_rtcp(bytes([0x81, second, 0, 0])) is expected


def test_shared_port_needs_the_version() -> None:
    assert not is_rtcp(bytes([0x01, 200, 0, 0]))
    assert not is_rtcp(b"\x80")
