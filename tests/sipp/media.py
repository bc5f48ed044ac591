"""Makes the sound that the scenarios send: ``PYTHONPATH=. python tests/sipp/media.py`` writes the files anew.

``opening_hours.ulaw`` is five seconds of G.711 with a question at its beginning. ``*.pcap`` are key presses as they go
over the wire (:rfc:`4733`), which SIPp replays packet by packet.
"""

import asyncio
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sipagent.aio.voice import open_voice
from sipagent.realtime.local.formats import PCMU

FOLDER = Path(__file__).parent

QUESTION = "What are your opening hours?"
QUESTION_AT = 2400
"""Samples of silence before the question: the agent has begun its greeting by then."""
SILENCE = b"\xff"
LENGTH = 40_000
"""Samples, at 8000 a second."""

KEYS = "0123456789*#"
PAYLOAD_TYPE = 101
SSRC = 0x51B0_CA11
STEP = 160
"""Samples, and a packet, every 20 ms."""
PRESSED = 5
"""Packets while a key is down; three more say that it is up again."""
PAUSE = 10
"""Packets' time between two keys."""

LOOPBACK = 0x7F00_0001
LINK_ETHERNET = 1
ETHERNET = bytes(12) + b"\x08\x00"
"""A header from nobody to nobody that says IPv4 follows."""


class Packet(NamedTuple):
    """A packet of a key press."""

    tick: int
    """When it goes, in steps."""
    payload: bytes
    timestamp: int
    marker: bool


def press(key: str, tick: int) -> Iterator[Packet]:
    """Yield the packets of one key: the time at which it went down, and how long it has been down."""
    event, timestamp = KEYS.index(key), tick * STEP
    for number in range(1, PRESSED + 1):
        payload = struct.pack("!BBH", event, 10, number * STEP)
        yield Packet(tick + number, payload, timestamp, marker=number == 1)
    end = struct.pack("!BBH", event, 0x80 | 10, PRESSED * STEP)
    for _ in range(3):
        yield Packet(tick + PRESSED, end, timestamp, marker=False)


def press_all(keys: str, *, lossy: str = "") -> Iterator[tuple[int, Packet]]:
    """Yield the packets of several keys, numbered; of those in ``lossy`` only the very last one arrives."""
    sequence_number = 0
    for number, key in enumerate(keys):
        packets = list(press(key, number * (PRESSED + PAUSE)))
        sequence_number += len(packets)
        numbered = list(enumerate(packets, sequence_number - len(packets) + 1))
        yield from numbered[-1:] if key in lossy else numbered


def write_pcap(path: Path, packets: Iterable[tuple[int, Packet]]) -> None:
    """Write packets as a capture of IPv4; the addresses don't matter, SIPp puts in its own."""
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, LINK_ETHERNET)
    for sequence_number, packet in packets:
        second_byte = PAYLOAD_TYPE | (0x80 if packet.marker else 0)
        rtp = struct.pack("!BBHII", 0x80, second_byte, sequence_number, packet.timestamp, SSRC) + packet.payload
        udp = struct.pack("!HHHH", 6000, 6000, 8 + len(rtp), 0) + rtp
        ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, LOOPBACK, LOOPBACK) + udp
        frame = ETHERNET + ip
        microseconds = packet.tick * 20_000
        capture += struct.pack("<IIII", *divmod(microseconds, 1_000_000), len(frame), len(frame)) + frame
    path.write_bytes(capture)


async def speak(text: str) -> bytes:
    """Render a text by the local voice."""
    voice = await open_voice()
    try:
        return await voice.render(text, "echo", 1.0, PCMU)
    finally:
        await voice.close()


if __name__ == "__main__":
    question = SILENCE * QUESTION_AT + asyncio.run(speak(QUESTION))
    (FOLDER / "opening_hours.ulaw").write_bytes(question.ljust(LENGTH, SILENCE))
    write_pcap(FOLDER / "all_keys.pcap", press_all("1234567890*#", lossy="7"))
    write_pcap(FOLDER / "key_9.pcap", press_all("9"))
