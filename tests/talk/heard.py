"""What came to the caller, told packet by packet: which samples of which item of the model's it holds, if any.

No two pieces of what the model says are alike (see ``model``), so a packet is found by what is in it. The 5 ms that the
program fades where it stops and goes on are allowed for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from talk.caller import FRAME, SILENCE
from talk.model import Item, Place

from sipagent.audio.g711 import decode_ulaw
from sipagent.rtp.packet import parse_packet

FADE: Final = 40
"""Samples of 5 ms."""
PROBE: Final = slice(64, 112)
"""What an item is looked for by: in the middle, where nothing is faded."""
DUCKED: Final = 0.9
"""Correlation with the item above which a packet is the item's own, only softer."""
AUDIBLE_DBFS: Final = -50.0
"""The breath of the model's voice is below."""

Kind: TypeAlias = Literal["silent", "voice", "ducked", "remnant", "other"]
"""``voice`` is the model's at its full level, ``ducked`` softer, ``remnant`` the fade after a stop."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet that came."""

    at: float
    kind: Kind
    level_dbfs: float
    place: Place | None = None
    begin: int = 0
    """The first sample of the item that it holds."""
    end: int = 0

    @property
    def is_agent(self) -> bool:
        """Whether the agent, or what stands in for it, is to be heard."""
        return self.kind != "silent"


def tell(arrivals: Sequence[tuple[float, bytes]], items: Iterable[Item]) -> list[Packet]:
    """Tell of each packet of PCMU what it holds.

    :param arrivals: with their times, in order of arrival
    """
    reader = _Reader(list(items))
    parsed = ((at, parse_packet(data)) for at, data in arrivals)
    return [reader.read(at, packet.payload) for at, packet in parsed if packet is not None and packet.payload_type == 0]


class _Reader:
    def __init__(self, items: list[Item]) -> None:
        self._items = [(item.place, bytes(item.audio)) for item in items]
        self._began_at = [item.began_at for item in items]
        self._number = 0
        self._at = 0
        """Where the next packet should go on, in which item."""

    def read(self, at: float, payload: bytes) -> Packet:
        if payload == SILENCE:
            return Packet(at, "silent", -100.0)
        level = _level(payload)
        found = self._find(payload, at)
        if found is not None:
            return self._take(at, payload, level, *found)
        if payload[FADE:] == SILENCE[FADE:]:
            return Packet(at, "remnant", level)
        if self._is_ducked(payload):
            begin, self._at = self._at, self._at + FRAME
            return Packet(at, "ducked", level, self._items[self._number][0], begin, begin + FRAME)
        return Packet(at, "other", level)

    def _find(self, payload: bytes, now: float) -> tuple[int, int] | None:
        """The item and the sample of it with which this packet begins; what is said twice is taken for the latest."""
        if not self._items:
            return None
        _, audio = self._items[self._number]
        rest = audio[self._at : self._at + FRAME]
        if rest and payload.startswith(rest) and (len(rest) == FRAME or self._ends_well(payload[len(rest) :])):
            return self._number, self._at
        newest_first = [number for number in reversed(range(len(self._items))) if self._began_at[number] <= now]
        for number, start in ((self._number, self._at), *((number, 0) for number in newest_first)):
            begin = self._look(payload, number, start)
            if begin is not None:
                return number, begin
        return None

    def _look(self, payload: bytes, number: int, start: int) -> int | None:
        """Where in an item this packet is found, from a sample of it on."""
        audio = self._items[number][1]
        begin = audio.find(payload[PROBE], start + PROBE.start) - PROBE.start
        if begin < 0 or payload[FADE : len(audio) - begin] != audio[begin + FADE : begin + FRAME]:
            return None
        return begin

    def _ends_well(self, rest: bytes) -> bool:
        """Whether what follows the end of an item in its packet is silence, or the beginning of the next one."""
        following = self._items[self._number + 1][1] if self._number + 1 < len(self._items) else b""
        return rest == SILENCE[: len(rest)] or following.startswith(rest)

    def _take(self, at: float, payload: bytes, level: float, number: int, begin: int) -> Packet:
        place, audio = self._items[number]
        end = min(begin + FRAME, len(audio))
        self._number, self._at = number, end
        rest = payload[end - begin :]
        if end == len(audio) and number + 1 < len(self._items):
            begins_next = bool(rest) and rest != SILENCE[: len(rest)]
            self._number, self._at = number + 1, len(rest) if begins_next else 0
        return Packet(at, "voice", level, place, begin, end)

    def _is_ducked(self, payload: bytes) -> bool:
        expected = self._items[self._number][1][self._at : self._at + FRAME] if self._items else b""
        if len(expected) < FRAME:
            return False
        ours, theirs = (decode_ulaw(each).astype(np.float64) for each in (payload, expected))
        norm = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
        return norm > 0 and float(ours @ theirs) / norm > DUCKED


def _level(payload: bytes) -> float:
    pcm = decode_ulaw(payload).astype(np.float64)
    return float(10 * np.log10(max((pcm**2).mean() / 32_768**2, 1e-10)))
