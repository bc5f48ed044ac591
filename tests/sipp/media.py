"""Makes the sound that the scenarios send: ``PYTHONPATH=. python tests/sipp/media.py`` writes the files anew.

``opening_hours.ulaw`` is five seconds of G.711 with a question at its beginning. ``*.pcap`` are key presses as they go
over the wire (:rfc:`4733`), or a second of silence in packets of some length, which SIPp replays packet by packet.
"""

import asyncio
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sipagent.aio.voice import open_voice
from sipagent.realtime.local import formats

FOLDER = Path(__file__).parent

QUESTION = "What are your opening hours?"
QUESTION_AT = 2400
"""Samples of silence before the question: the agent has begun its greeting by then."""
SILENCE = b"\xff"
LENGTH = 40_000
"""Samples, at 8000 a second."""

KEYS = "0123456789*#"
EVENTS = 101
PCMU = 0
"""Payload types."""
SSRC = 0x51B0_CA11
SAMPLES_A_MS = 8
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
    """A packet of a key press, or of sound."""

    sample: int
    """When it goes, in samples."""
    payload: bytes
    timestamp: int
    marker: bool


def press(key: str, tick: int) -> Iterator[Packet]:
    """Yield the packets of one key: the time at which it went down, and how long it has been down."""
    event, timestamp = KEYS.index(key), tick * STEP
    for number in range(1, PRESSED + 1):
        payload = struct.pack("!BBH", event, 10, number * STEP)
        yield Packet(timestamp + number * STEP, payload, timestamp, marker=number == 1)
    end = struct.pack("!BBH", event, 0x80 | 10, PRESSED * STEP)
    for _ in range(3):
        yield Packet(timestamp + PRESSED * STEP, end, timestamp, marker=False)


def press_all(keys: str, *, lossy: str = "") -> Iterator[tuple[int, Packet]]:
    """Yield the packets of several keys, numbered; of those in ``lossy`` only the very last one arrives."""
    sequence_number = 0
    for number, key in enumerate(keys):
        packets = list(press(key, number * (PRESSED + PAUSE)))
        sequence_number += len(packets)
        numbered = list(enumerate(packets, sequence_number - len(packets) + 1))
        yield from numbered[-1:] if key in lossy else numbered


def be_silent(packet_ms: int) -> Iterator[tuple[int, Packet]]:
    """Yield a second of packets of that length, numbered."""
    samples = packet_ms * SAMPLES_A_MS
    for number in range(1000 // packet_ms):
        yield number + 1, Packet(number * samples, SILENCE * samples, number * samples, marker=number == 0)


def write_pcap(path: Path, packets: Iterable[tuple[int, Packet]], payload_type: int = EVENTS) -> None:
    """Write packets as a capture of IPv4; the addresses don't matter, SIPp puts in its own."""
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, LINK_ETHERNET)
    for sequence_number, packet in packets:
        second_byte = payload_type | (0x80 if packet.marker else 0)
        rtp = struct.pack("!BBHII", 0x80, second_byte, sequence_number, packet.timestamp, SSRC) + packet.payload
        udp = struct.pack("!HHHH", 6000, 6000, 8 + len(rtp), 0) + rtp
        ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, LOOPBACK, LOOPBACK) + udp
        frame = ETHERNET + ip
        microseconds = packet.sample * 1000 // SAMPLES_A_MS
        capture += struct.pack("<IIII", *divmod(microseconds, 1_000_000), len(frame), len(frame)) + frame
    path.write_bytes(capture)


async def speak(text: str) -> bytes:
    """Render a text by the local voice."""
    voice = await open_voice()
    try:
        return await voice.render(text, "echo", 1.0, formats.PCMU)
    finally:
        await voice.close()


if __name__ == "__main__":
    question = SILENCE * QUESTION_AT + asyncio.run(speak(QUESTION))
    (FOLDER / "opening_hours.ulaw").write_bytes(question.ljust(LENGTH, SILENCE))
    write_pcap(FOLDER / "all_keys.pcap", press_all("1234567890*#", lossy="7"))
    write_pcap(FOLDER / "key_9.pcap", press_all("9"))
    for number in (96, 126):
        write_pcap(FOLDER / f"key_1_at_{number}.pcap", press_all("1"), payload_type=number)
    for length in (10, 40):
        write_pcap(FOLDER / f"packets_of_{length}_ms.pcap", be_silent(length), payload_type=PCMU)
