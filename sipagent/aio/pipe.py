"""How we talk to the processes of the voice and the ear: MessagePack over their standard input and output.

A message has four bytes of length before it, most significant first. The child begins with :class:`Hello`, and then
answers each request with one message, in order.
"""

import os
import signal
import struct
import sys
from typing import BinaryIO, TypeVar

import msgspec

MAX_MESSAGE = 16 * 1024 * 1024
"""Two minutes of speech at 24 kHz are 6 MB; anything larger is no message of ours."""
HEADER = struct.Struct("!I")
NICENESS = 5
"""A voice may be late by a little; the packets of a call may not."""

Message = TypeVar("Message")


class Hello(msgspec.Struct, frozen=True):
    """The child is ready; ``name`` says what it works with."""

    name: str


class SpeakRequest(msgspec.Struct, frozen=True):
    """Speak ``text``; answered with bytes, mono 16-bit samples at ``rate`` Hz in the machine's byte order."""

    text: str
    voice: str
    speed: float
    rate: int


class HearRequest(msgspec.Struct, frozen=True):
    """Which of ``phrases`` is this, mono 16-bit samples at ``rate`` Hz? Answered with text, empty for none of them."""

    audio: bytes
    rate: int
    phrases: tuple[str, ...]


def pack(message: object) -> bytes:
    """A message with its length before it."""
    data = msgspec.msgpack.encode(message)
    return HEADER.pack(len(data)) + data


class ChildPipe:
    """The child's end: it owns the real stdin and stdout, so that nothing a library prints gets in between."""

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes the pipe
        os.nice(NICENESS)
        self._input: BinaryIO = sys.stdin.buffer
        self._output: BinaryIO = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def write(self, message: object) -> None:
        """Send a message to the parent."""
        self._output.write(pack(message))
        self._output.flush()

    def read(self, kind: type[Message]) -> Message | None:
        """The parent's next request; ``None`` when it is gone."""
        header = self._input.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        data = self._input.read(HEADER.unpack(header)[0])
        return msgspec.msgpack.decode(data, type=kind)
