"""The limit: what the kernel alone takes for a call-second, by a bare loop of the system calls that none can spare.

Fifty packets received and fifty sent, fifty messages of the length of an append written to a TCP connection, and five
audio deltas read from it; two packets at a time, once a millisecond, because a program that sleeps in between finds
nothing in the processor's caches. Measured in the same minute as a load, it makes of the load's figure a ratio that
holds on any machine, however busy.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from select import select
from time import monotonic, process_time
from typing import NamedTuple

from sipagent.bench.plan import HOST, PACKETS_PER_S

PACKET = bytes(172)
"""20 ms of G.711 and its RTP header."""
APPEND = bytes(271)
"""The same in base64 and JSON, in a masked WebSocket frame."""
DELTA = bytes(2300)
"""200 ms of G.711 in base64 and JSON, in a WebSocket frame."""
BEAT_S = 0.001
PACKETS_PER_BEAT = 2
BEATS_PER_DELTA = 5
MAX_PACKET = 2048


class Wires(NamedTuple):
    """Our sockets, and those of the other side."""

    media: socket.socket
    phone: socket.socket
    stream: socket.socket
    model: socket.socket


def measure_limit(seconds: float) -> float:
    """Return microseconds of CPU a call-second, measured for so long."""
    beats = round(seconds / BEAT_S)
    others = 0.0
    with _open() as wires:
        began, began_at = process_time(), monotonic()
        for beat in range(beats):
            select((), (), (), max(0.0, began_at + beat * BEAT_S - monotonic()))
            deltas = 1 if beat % BEATS_PER_DELTA == 0 else 0
            others -= process_time()
            _fill(wires, deltas)
            others += process_time()
            _work(wires, deltas)
            others -= process_time()
            _drain(wires)
            others += process_time()
        spent = process_time() - began - others
    return spent / (beats * PACKETS_PER_BEAT / PACKETS_PER_S) * 1e6


def _work(wires: Wires, deltas: int) -> None:
    """What is measured."""
    media, stream, phone = wires.media, wires.stream, wires.phone.getsockname()
    for _ in range(PACKETS_PER_BEAT):
        media.recvfrom(MAX_PACKET)
        stream.send(APPEND)
        media.sendto(PACKET, phone)
    for _ in range(deltas):
        stream.recv(len(DELTA), socket.MSG_WAITALL)


def _fill(wires: Wires, deltas: int) -> None:
    """The other side sends."""
    for _ in range(PACKETS_PER_BEAT):
        wires.phone.sendto(PACKET, wires.media.getsockname())
    for _ in range(deltas):
        wires.model.sendall(DELTA)


def _drain(wires: Wires) -> None:
    """The other side reads."""
    for _ in range(PACKETS_PER_BEAT):
        wires.phone.recv(MAX_PACKET)
        wires.model.recv(len(APPEND), socket.MSG_WAITALL)


@contextmanager
def _open() -> Iterator[Wires]:
    with ExitStack() as stack:
        media, phone = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        for each in (media, phone):
            each.bind((HOST, 0))
        listener = stack.enter_context(socket.create_server((HOST, 0)))
        stream = stack.enter_context(socket.create_connection(listener.getsockname()))
        model = stack.enter_context(listener.accept()[0])
        for each in (stream, model):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Wires(media, phone, stream, model)
