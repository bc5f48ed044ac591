"""RTCP packets (RFC 3550, section 6): sender, receiver and extended reports, source descriptions, goodbyes, both ways.

The parser takes a whole compound datagram or nothing; packet types it doesn't know are skipped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

from sipagent.rtp.packet import MAX_PACKET, VERSION
from sipagent.rtp.xr import VoipMetrics, build_blocks, parse_blocks

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203
EXTENDED_REPORT = 207

CNAME = 1
"""The one SDES item every compound must carry (:rfc:`3550#section-6.5.1`)."""

MAX_TEXT = 255
"""Bytes of an SDES text or a reason to leave: the length is one byte."""

_HEADER = Struct("!BBH")
_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_WORD = Struct("!I")

_PADDING = 0x20
_COUNT = 0x1F


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How the reporter receives one source (:rfc:`3550#section-6.4.1`)."""

    ssrc: int
    fraction_lost: int
    """Since the report before, in 256ths."""
    cumulative_lost: int
    """-2**23 to 2**23 - 1."""
    highest_sequence_number: int
    """Extended, of 32 bits."""
    jitter: int
    """In samples."""
    last_sender_report: int
    """The middle 32 bits of the NTP time in the last sender report of that source, 0 without one."""
    delay: int
    """Since that report arrived, in 65536ths of a second."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What an active sender says."""

    ssrc: int
    ntp_time: int
    """Seconds since 1900 in 32.32 fixed point."""
    rtp_timestamp: int
    """The same moment on the media's clock."""
    packet_count: int
    octet_count: int
    """Payload bytes, without headers and padding."""
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What one who doesn't send says."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """Who a source is; only its canonical name is read and written."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Sources that leave."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """What reports have no room for (:rfc:`3611`)."""

    ssrc: int
    metrics: tuple[VoipMetrics, ...] = ()


RtcpPacket: TypeAlias = SenderReport | ReceiverReport | SourceDescription | Goodbye | ExtendedReport


def parse_compound(data: bytes) -> list[RtcpPacket] | None:
    """Return what a datagram holds, or ``None`` when a length in it is wrong (:rfc:`3550#appendix-A.2`).

    A datagram need not begin with a report: there are senders of the reduced size of RFC 5506.
    """
    if not _HEADER.size <= len(data) <= MAX_PACKET:
        return None
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(data):
        body = _packet_body(data, start)
        if body is None:
            return None
        parse = _PARSERS.get(data[start + 1])
        found = parse(body, data[start] & _COUNT) if parse else []
        if found is None:
            return None
        packets += found
        start += _HEADER.size + 4 * int.from_bytes(data[start + 2 : start + 4])
    return packets


#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|  count  |  packet type  |  length in words, minus one   |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
def _packet_body(data: bytes, start: int) -> bytes | None:
    """What follows the header of the packet at ``start``, without padding, or ``None`` when it doesn't fit."""
    if start + _HEADER.size > len(data):
        return None
    first, _, words = _HEADER.unpack_from(data, start)
    body = data[start + _HEADER.size : start + _HEADER.size + 4 * words]
    if first >> 6 != VERSION or len(body) < 4 * words:
        return None
    if not first & _PADDING:
        return body
    if not body or not 0 < body[-1] <= len(body):
        return None
    return body[: -body[-1]]


def _parse_sender_report(body: bytes, count: int) -> list[RtcpPacket] | None:
    blocks = _parse_blocks(body, _SENDER.size, count)
    if blocks is None:
        return None
    ssrc, ntp_time, rtp_timestamp, packet_count, octet_count = _SENDER.unpack_from(body)
    return [SenderReport(ssrc, ntp_time, rtp_timestamp, packet_count, octet_count, blocks)]


def _parse_receiver_report(body: bytes, count: int) -> list[RtcpPacket] | None:
    blocks = _parse_blocks(body, _WORD.size, count)
    return None if blocks is None else [ReceiverReport(_WORD.unpack_from(body)[0], blocks)]


# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                       SSRC of the source                      |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# | fraction lost |       cumulative number of packets lost       |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |           extended highest sequence number received           |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                      interarrival jitter                      |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                         last SR (LSR)                         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                   delay since last SR (DLSR)                  |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
def _parse_blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...] | None:
    if len(body) < start + count * _BLOCK.size:
        return None
    blocks = []
    for number in range(count):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, start + number * _BLOCK.size)
        cumulative = (lost & 0xFFFFFF) - ((lost & 0x800000) << 1)
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, last, delay))
    return tuple(blocks)


# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                             SSRC                              |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |     item      |    length     |  text, more items, a zero ...  to a whole word
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
def _parse_source_description(body: bytes, count: int) -> list[RtcpPacket] | None:
    found: list[RtcpPacket] = []
    start = 0
    for _ in range(count):
        if start + _WORD.size > len(body):
            return None
        (ssrc,) = _WORD.unpack_from(body, start)
        at = start + _WORD.size
        while at < len(body) and body[at]:
            end = at + 2 + body[at + 1] if at + 1 < len(body) else len(body) + 1
            if end > len(body):
                return None
            if body[at] == CNAME:
                found.append(SourceDescription(ssrc, body[at + 2 : end].decode("utf-8", "replace")))
            at = end
        start = (at // 4 + 1) * 4
    return found


def _parse_goodbye(body: bytes, count: int) -> list[RtcpPacket] | None:
    if len(body) < count * _WORD.size:
        return None
    return [Goodbye(tuple(_WORD.unpack_from(body, 4 * number)[0] for number in range(count)))]


def _parse_extended_report(body: bytes, _: int) -> list[RtcpPacket] | None:
    metrics = parse_blocks(body[_WORD.size :]) if len(body) >= _WORD.size else None
    return None if metrics is None else [ExtendedReport(_WORD.unpack_from(body)[0], metrics)]


_PARSERS: dict[int, Callable[[bytes, int], list[RtcpPacket] | None]] = {
    SENDER_REPORT: _parse_sender_report,
    RECEIVER_REPORT: _parse_receiver_report,
    SOURCE_DESCRIPTION: _parse_source_description,
    GOODBYE: _parse_goodbye,
    EXTENDED_REPORT: _parse_extended_report,
}


def build_compound(packets: Sequence[RtcpPacket]) -> bytes:
    """Return the datagram of these packets; the first should be a report (:rfc:`3550#section-6.1`)."""
    return b"".join(_build(packet) for packet in packets)


def _build(packet: RtcpPacket) -> bytes:
    match packet:
        case SenderReport(ssrc, ntp_time, rtp_timestamp, packet_count, octet_count, blocks):
            head = _SENDER.pack(ssrc, ntp_time, rtp_timestamp, packet_count & 0xFFFFFFFF, octet_count & 0xFFFFFFFF)
            return _with_header(SENDER_REPORT, len(blocks), head + _build_blocks(blocks))
        case ReceiverReport(ssrc, blocks):
            return _with_header(RECEIVER_REPORT, len(blocks), _WORD.pack(ssrc) + _build_blocks(blocks))
        case SourceDescription(ssrc, cname):
            text = cname.encode()[:MAX_TEXT]
            chunk = _WORD.pack(ssrc) + bytes((CNAME, len(text))) + text
            return _with_header(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))
        case Goodbye(ssrcs):
            return _with_header(GOODBYE, len(ssrcs), b"".join(_WORD.pack(ssrc) for ssrc in ssrcs))
        case ExtendedReport(ssrc, metrics):
            return _with_header(EXTENDED_REPORT, 0, _WORD.pack(ssrc) + build_blocks(metrics))


def _with_header(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(VERSION << 6 | count, packet_type, len(body) // 4) + body


def _build_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.cumulative_lost & 0xFFFFFF,
            block.highest_sequence_number,
            block.jitter,
            block.last_sender_report,
            block.delay,
        )
        for block in blocks
    )
