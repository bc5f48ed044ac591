"""The ear of the caller: packets with the time they came, in; what was heard, out.

It is a plain receiver: each packet is played 60 ms after the first would have been, and what is late or lost is silent.
"""

from collections.abc import Sequence

import numpy as np

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, decode_ulaw
from sipagent.rtp.packet import parse_packet

DELAY_S = 0.060


def listen(arrivals: Sequence[tuple[float, bytes]]) -> Pcm:
    """Return what is heard of some packets, which are in order of arrival."""
    pieces: list[tuple[int, Pcm]] = []
    first: tuple[float, int] | None = None
    for at, data in arrivals:
        packet = parse_packet(data)
        if packet is None or packet.payload_type != 0:
            continue
        first = first or (at, packet.timestamp)
        offset = ((packet.timestamp - first[1] + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
        if offset >= 0 and at <= first[0] + offset / SAMPLE_RATE + DELAY_S:
            pieces.append((offset, decode_ulaw(packet.payload)))
    heard: Pcm = np.zeros(max((offset + len(piece) for offset, piece in pieces), default=0), np.int16)
    for offset, piece in pieces:
        heard[offset : offset + len(piece)] = piece
    return heard
