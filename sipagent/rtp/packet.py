"""An RTP packet (RFC 3550, section 5.1): parsed leniently where it costs nothing, packed in the plainest form.

The parser never raises: what is not RTP is ``None``. CSRCs, a header extension and padding are skipped; none is sent.
"""

from struct import Struct
from typing import Final, NamedTuple

VERSION: Final = 2
HEADER_LENGTH: Final = 12
MAX_PACKET: Final = 2048
"""Bytes of the longest packet taken. 60 ms of G.711 are 492, an Ethernet frame carries 1,500."""

MAX_PAYLOAD_TYPE: Final = 127

PLAIN: Final = VERSION << 6
"""The first byte of a packet with neither padding, extension nor CSRCs: nearly all there are."""
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_CSRC_COUNT: Final = 0x0F
_MARKER: Final = 0x80

_RTCP_TYPES = range(192, 224)
"""Second bytes that mean RTCP on a port shared with RTP (:rfc:`5761#section-4`)."""

_HEADER = Struct("!BBHII")
_pack_header: Final = _HEADER.pack


class Packet(NamedTuple):
    """One RTP packet; ``timestamp`` counts samples of the payload type's clock, modulo 2**32."""

    payload_type: int
    marker: bool
    sequence_number: int
    timestamp: int
    ssrc: int
    payload: bytes


# fmt: off
#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |V=2|P|X|  CC   |M|     PT      |       sequence number         |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                           timestamp                           |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |           synchronization source (SSRC) identifier            |
# +=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+=+
# |            contributing source (CSRC) identifiers             |
# |                        (CC times 32 bits)                     |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |      defined by profile       |  length in words, if X is set |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                  payload, padding if P is set                 |
# fmt: on
def parse_packet(data: bytes) -> Packet | None:
    """Return the packet, or ``None`` for what is not RTP version 2 or does not fit its own lengths."""
    if not HEADER_LENGTH <= len(data) <= MAX_PACKET:
        return None
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first == PLAIN:
        payload = data[HEADER_LENGTH:]
    else:
        bounds = _payload_bounds(data)
        if bounds is None:
            return None
        payload = data[bounds[0] : bounds[1]]
    fields = second & MAX_PAYLOAD_TYPE, second >= _MARKER, sequence_number, timestamp, ssrc, payload
    return tuple.__new__(Packet, fields)  # takes half the time of Packet(*fields)


def _payload_bounds(data: bytes) -> tuple[int, int] | None:
    """Where the payload begins and ends behind CSRCs and extension and before padding; it may be empty."""
    first = data[0]
    if first >> 6 != VERSION:
        return None
    start = HEADER_LENGTH + 4 * (first & _CSRC_COUNT)
    if first & _EXTENSION:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data)
    if first & _PADDING:
        if data[-1] == 0:
            return None
        end -= data[-1]
    return (start, end) if start <= end else None


def pack_packet(
    payload_type: int, sequence_number: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False
) -> bytes:
    """Return the packet's bytes; the numbers must be in the range of their fields."""
    second = payload_type | _MARKER if marker else payload_type
    return _pack_header(PLAIN, second, sequence_number, timestamp, ssrc) + payload


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a port shared by both is RTCP and not RTP (:rfc:`5761#section-4`)."""
    return len(data) > 1 and data[0] >> 6 == VERSION and data[1] in _RTCP_TYPES
