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


def read_pcap(path: Path) -> Iterator[Datagram]:
    """The UDP datagrams over IPv4 in a classic pcap file."""
    data = path.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    link = LINK_HEADERS[unpack_from(order + "I", data, 20)[0]]
    at = 24
    while at + 16 <= len(data):
        seconds, microseconds, captured, _ = unpack_from(order + "IIII", data, at)
        ip = data[at + 16 + link : at + 16 + captured]
        at += 16 + captured
        if ip[0] >> 4 == 4 and ip[9] == 17:
            udp = ip[4 * (ip[0] & 15) :]
            source_port, destination_port, length, _ = unpack_from("!HHHH", udp)
            hosts = [".".join(map(str, ip[place : place + 4])) for place in (12, 16)]
            yield Datagram(
                seconds + microseconds / 1e6, (hosts[0], source_port), (hosts[1], destination_port), udp[8:length]
            )
