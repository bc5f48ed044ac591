"""Keys told more than once: some PBXs send each in RTP, in an INFO and in the audio, and it was pressed once."""

from dataclasses import dataclass

from sipagent.recent import remember

DOUBLE_S = 1.0
"""The other telling comes within this: an INFO that was lost is sent again after half a second."""

KEPT_MAX = 32
"""Keys remembered: more than anybody presses in a second."""


@dataclass(slots=True)
class _Told:
    digit: str
    at: float
    """When it was told last."""
    ways: set[str]


class Doubles:
    """Remembers by which ways each key came; the same key by another way is that one."""

    def __init__(self) -> None:
        self._told: list[_Told] = []

    def is_double(self, digit: str, way: str, *, now: float, held_s: float = 0.0) -> bool:
        """Whether a key was told by another way just now; a telling by each way makes up for one.

        :param held_s: how long it was pressed, where that is known: one way may tell of its beginning, and this one of
            its end.
        """
        for told in self._told:
            if told.digit == digit and way not in told.ways and now - told.at <= DOUBLE_S + held_s:
                told.ways.add(way)
                told.at = now
                return True
        remember(self._told, _Told(digit, now, {way}), KEPT_MAX)
        return False
