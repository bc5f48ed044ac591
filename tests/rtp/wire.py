"""What the RTP tests share: packets by number, and a reader of packet captures."""

from collections.abc import Iterator
from pathlib import Path
from struct import unpack_from
from typing import NamedTuple

from sipagent.rtp.packet import pack_packet
from sipagent.rtp.session import G711, RtpParameters

PHONE = ("192.168.1.2", 4000)
SSRC = 0x1234
FRAME = 160

PARAMETERS = RtpParameters(
    payload_type=0,
    receive_payload_types={0: G711, 8: G711},
    telephone_event={101: 8000},
    remote=PHONE,
    remote_rtcp=(PHONE[0], 4001),
    send_telephone_event=96,
)


def audio(number: int, *, ssrc: int = SSRC, payload_type: int = 0, first: int = 0) -> bytes:
    """The packet of frame ``number`` of a stream that numbers its packets from ``first``."""
    payload = bytes([number & 0xFF]) * FRAME
    return pack_packet(payload_type, (first + number) & 0xFFFF, (number * FRAME) & 0xFFFFFFFF, ssrc, payload)


class Datagram(NamedTuple):
    """One UDP datagram of a capture."""

    at: float
    source: tuple[str, int]
    destination: tuple[str, int]
    data: bytes


LINK_HEADERS = {1: 14, 113: 16}
"""Bytes before the IP header: Ethernet, Linux cooked."""
PCAPNG = b"\x0a\x0d\x0d\x0a"
INTERFACE, PACKET = 1, 6
"""Blocks of pcapng."""


def read_pcap(path: Path) -> Iterator[Datagram]:
    """The UDP datagrams over IPv4 in a capture, pcap or pcapng."""
    data = path.read_bytes()
    for at, link, packet in _pcapng_packets(data) if data.startswith(PCAPNG) else _pcap_packets(data):
        ip = packet[LINK_HEADERS[link] :]
        if ip[0] >> 4 == 4 and ip[9] == 17:
            udp = ip[4 * (ip[0] & 15) :]
            source_port, destination_port, length, _ = unpack_from("!HHHH", udp)
            hosts = [".".join(map(str, ip[place : place + 4])) for place in (12, 16)]
            yield Datagram(at, (hosts[0], source_port), (hosts[1], destination_port), udp[8:length])


def _pcap_packets(data: bytes) -> Iterator[tuple[float, int, bytes]]:
    """Yield when each packet came, its link type, its bytes."""
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    link = unpack_from(order + "I", data, 20)[0]
    at = 24
    while at + 16 <= len(data):
        seconds, microseconds, captured, _ = unpack_from(order + "IIII", data, at)
        yield seconds + microseconds / 1e6, link, data[at + 16 : at + 16 + captured]
        at += 16 + captured


def _pcapng_packets(data: bytes) -> Iterator[tuple[float, int, bytes]]:
    """The same of a little-endian pcapng file of one interface, whose times are microseconds, the default."""
    link = at = 0
    while at + 12 <= len(data):
        kind, size = unpack_from("<II", data, at)
        if kind == INTERFACE:
            link = unpack_from("<H", data, at + 8)[0]
        elif kind == PACKET:
            high, low, captured = unpack_from("<III", data, at + 12)
            yield (high << 32 | low) / 1e6, link, data[at + 28 : at + 28 + captured]
        at += size
