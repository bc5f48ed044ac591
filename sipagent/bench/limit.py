"""The limit: what the kernel alone takes for a call-second, by a program of the system calls that none can spare.

It is ``limit.c``, for as many calls as the load that it is compared with, on the processor that is the program's, with
telephones and model on another. Where it can't be built there is the same for one call in Python, which is dearer by
what the interpreter takes. Measured in the same minutes as a load, it makes of the load's figure a ratio that holds on
any machine, however busy.
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from select import select
from statistics import fmean
from time import monotonic, process_time
from typing import Any, NamedTuple

from sipagent.bench.bars import TOLERANCE
from sipagent.bench.plan import HOST, PACKETS_PER_S, Processors
from sipagent.errors import SipagentError

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
PATIENCE_S = 20.0
"""For the program to end, beyond the time that it measures."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Several measurements together."""

    us: float
    """Microseconds a call-second."""
    spread_us: float
    """Half of what lies between the least and the most."""
    count: int

    @classmethod
    def of(cls, measured: Sequence[float]) -> "Limit":
        """Bring them together."""
        return cls(fmean(measured), (max(measured) - min(measured)) / 2, len(measured))


def measure_limit(calls: int, seconds: float, *, processors: Processors, program: Path | None) -> float:
    """Return microseconds of CPU a call-second.

    :param program: ``limit.c``, built; ``None``: in Python, of one call.
    :raises SipagentError: when it could not be measured.
    """
    if program is None:
        return _measure_here(seconds, processors)
    sizes = (len(PACKET), len(APPEND), len(DELTA))
    ours, others = min(processors.program), min(processors.others)
    command = [str(program), *map(str, (calls, seconds, ours, others, processors.priority or 0, *sizes))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + PATIENCE_S, check=True)
    except subprocess.CalledProcessError as error:
        raise SipagentError(f"the limit failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise SipagentError("the limit did not end") from error
    return judge_limit(json.loads(done.stdout), calls * seconds)


def judge_limit(counts: dict[str, Any], call_seconds: float) -> float:
    """Return what counts come to.

    :raises SipagentError: when they are not those of the load that was to be.
    """
    for name in ("packets", "sent", "appends"):
        if abs(counts[name] / call_seconds / PACKETS_PER_S - 1) > TOLERANCE:
            raise SipagentError(f"the limit says nothing: {name} {counts[name] / call_seconds:.1f} a call-second")
    spent: float = counts["user_us"] + counts["system_us"]
    return spent / call_seconds


class Wires(NamedTuple):
    """Our sockets, and those of the other side."""

    media: socket.socket
    phone: socket.socket
    stream: socket.socket
    model: socket.socket


def _measure_here(seconds: float, processors: Processors) -> float:
    """In Python, on the processor that is the program's; two packets at a time, as a program that sleeps in between."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors.program)
    try:
        return _play(seconds)
    finally:
        os.sched_setaffinity(0, usual)


def _play(seconds: float) -> float:
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
