"""Keys that are told twice: some PBXs send each in RTP and in an INFO as well, and the caller pressed it once."""

from collections import deque

DOUBLE_S = 1.0
"""The second telling comes within this: an INFO that was lost is sent again after half a second."""

KEPT_MAX = 32
"""Keys remembered: more than anybody presses in a second."""


class Doubles:
    """Remembers by which way each key came first; the same key by the other way is that one."""

    def __init__(self) -> None:
        self._told: deque[tuple[str, str, float]] = deque(maxlen=KEPT_MAX)

    def is_double(self, digit: str, way: str, *, now: float) -> bool:
        """Whether a key was told by another way just now; one telling makes up for one."""
        while self._told and now > self._told[0][2] + DOUBLE_S:
            self._told.popleft()
        for told in self._told:
            if told[0] == digit and told[1] != way:
                self._told.remove(told)
                return True
        self._told.append((digit, way, now))
        return False
