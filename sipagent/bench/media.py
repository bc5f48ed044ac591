"""The callers' media as the generator sees it: ports, what was agreed on, frames out and in, and what was counted.

Either all in C, by a thread that needs no interpreter, or a :class:`~sipagent.bench.caller.Caller` each.
"""

import ctypes
import os
from array import array
from ctypes import POINTER, c_char_p, c_double, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from random import Random
from typing import Any, Protocol

from sipagent.aio.ticker import Ticker
from sipagent.bench.caller import PAUSED_S, STOPPED_S, Caller, CallerFigures, Script, make_script
from sipagent.errors import RemoteProtocolError, SipagentError
from sipagent.sdp.negotiation import Negotiation

SLOTS = 20
"""The callers' packets are spread over the 20 ms, a slot each: telephones don't keep step."""


class Media(Protocol):
    """Callers by number, from 0 on."""

    def open(self, number: int) -> bytes:
        """Open a caller's ports; return its offer."""

    def talk(self, number: int, answer: bytes) -> None:
        """Take the answer, and talk.

        :raises RemoteProtocolError: when it is none.
        """

    def begin(self) -> None:
        """Count from now on."""

    def take(self, number: int) -> CallerFigures:
        """What was counted of one; it counts anew."""

    def close(self, number: int) -> None:
        """Talk no more."""

    def stop(self) -> None:
        """The end of it all."""


def open_media(library: Path | None, *, capacity: int, host: str, marked: bool, random: Random) -> Media:
    """Make the callers.

    :param library: the C; ``None``: in Python.
    :param host: an address of ours that the other side reaches.
    :param marked: whether the agent's frames bear marks; else it is heard by how loud they are.
    """
    script = make_script()
    if library is None:
        return PythonMedia(script, capacity=capacity, host=host, marked=marked, random=random)
    return NativeMedia(library, script, capacity=capacity, host=host, marked=marked, random=random)


class PythonMedia:
    """Every caller has its turn on the event loop."""

    def __init__(self, script: Script, *, capacity: int, host: str, marked: bool, random: Random) -> None:
        self._script, self._capacity, self._host, self._marked, self._random = script, capacity, host, marked, random
        self._ticker = Ticker(slots=SLOTS)
        self._callers: dict[int, Caller] = {}

    def open(self, number: int) -> bytes:
        """Open a caller's ports; return its offer."""
        first = first_frame(self._script, number, self._capacity)
        caller = Caller(self._script, first_frame=first, host=self._host, is_marked=self._marked, random=self._random)
        self._callers[number] = caller
        return caller.wire.offer()

    def talk(self, number: int, answer: bytes) -> None:
        """Take the answer, and talk."""
        caller = self._callers[number]
        caller.wire.receive_answer(answer)
        self._ticker.add(caller.on_beat)

    def begin(self) -> None:
        """Count from now on."""
        for caller in self._callers.values():
            caller.begin()

    def take(self, number: int) -> CallerFigures:
        """What was counted of one; it counts anew."""
        return self._callers[number].end()

    def close(self, number: int) -> None:
        """Talk no more."""
        caller = self._callers.pop(number)
        self._ticker.remove(caller.on_beat)
        caller.wire.close()

    def stop(self) -> None:
        """The end of it all."""
        for number in list(self._callers):
            self.close(number)


class _List(ctypes.Structure):
    _fields_ = (("items", c_void_p), ("count", c_size_t), ("room", c_size_t))


class _Counts(ctypes.Structure):
    """As in ``callers.c``."""

    _fields_ = (
        *((name, c_uint64) for name in ("sent", "strange", "unstopped")),
        *((name, _List) for name in ("numbers", "arrived", "first", "stops", "replies", "late")),
    )


class NativeMedia:
    """The C library; its thread beats by itself."""

    def __init__(
        self, library: Path, script: Script, *, capacity: int, host: str, marked: bool, random: Random
    ) -> None:
        self._library = _load(library)
        self._host, self._capacity, self._random, self._script = host, capacity, random, script
        self._negotiations: dict[int, Negotiation] = {}
        count, stopped_s = len(script.frames), STOPPED_S if marked else PAUSED_S
        self._callers = self._library.callers_new(
            capacity, b"".join(script.frames), count, script.onset, count - 1, marked, stopped_s
        )
        if not self._callers or self._library.callers_start(self._callers):
            raise SipagentError("the callers' thread could not be started")

    def open(self, number: int) -> bytes:
        """Open a caller's ports; return its offer."""
        ssrc = self._random.getrandbits(32)
        port = self._library.caller_open(self._callers, number, self._host.encode(), ssrc)
        if port < 0:
            raise OSError(-port, os.strerror(-port))
        negotiation = Negotiation(
            address=self._host, port=port, codecs=("PCMU",), session_id=1 + self._random.getrandbits(31)
        )
        self._negotiations[number] = negotiation
        return negotiation.offer()

    def talk(self, number: int, answer: bytes) -> None:
        """Take the answer, and talk."""
        remote = self._negotiations[number].receive_answer(answer).remote
        first = first_frame(self._script, number, self._capacity)
        if remote is None or self._library.caller_talk(self._callers, number, remote[0].encode(), remote[1], first):
            raise RemoteProtocolError("its media is at no IPv4 address")

    def begin(self) -> None:
        """Count from now on."""
        self._library.callers_begin(self._callers)

    def take(self, number: int) -> CallerFigures:
        """What was counted of one; it counts anew."""
        counts = _Counts()
        self._library.caller_take(self._callers, number, counts)
        try:
            return CallerFigures(
                sent=counts.sent,
                strange=counts.strange,
                sequence_numbers=_read("H", counts.numbers),
                arrived_at=_read("d", counts.arrived),
                first_delta=_read("d", counts.first).tolist(),
                stop=_read("d", counts.stops).tolist(),
                reply=_read("d", counts.replies).tolist(),
                unstopped=counts.unstopped,
                late=_read("d", counts.late),
            )
        finally:
            self._library.counts_free(counts)

    def close(self, number: int) -> None:
        """Talk no more."""
        self._negotiations.pop(number)
        self._library.caller_close(self._callers, number)

    def stop(self) -> None:
        """The end of it all."""
        self._library.callers_free(self._callers)


def first_frame(script: Script, number: int, capacity: int) -> int:
    """Where in the script a caller begins: they are spread over it, however many there are so far."""
    return _reverse(number, max(1, (capacity - 1).bit_length())) * len(script.frames) >> (capacity - 1).bit_length()


def _reverse(number: int, bits: int) -> int:
    return int(f"{number:0{bits}b}"[::-1], 2)


def _read(kind: str, items: _List) -> "array[Any]":
    numbers: array[Any] = array(kind)
    if items.count:
        numbers.frombytes(ctypes.string_at(items.items, items.count * numbers.itemsize))
    return numbers


def _load(path: Path) -> Any:
    library: Any = ctypes.CDLL(str(path))
    counts = POINTER(_Counts)
    for name, result, arguments in (
        ("callers_new", c_void_p, (c_int, c_char_p, c_int, c_int, c_int, c_int, c_double)),
        ("callers_start", c_int, (c_void_p,)),
        ("callers_begin", None, (c_void_p,)),
        ("callers_free", None, (c_void_p,)),
        ("caller_open", c_int, (c_void_p, c_int, c_char_p, c_uint32)),
        ("caller_talk", c_int, (c_void_p, c_int, c_char_p, c_int, c_int)),
        ("caller_take", None, (c_void_p, c_int, counts)),
        ("caller_close", None, (c_void_p, c_int)),
        ("counts_free", None, (counts,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
