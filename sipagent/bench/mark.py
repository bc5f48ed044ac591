"""A time stamp hidden in audio: nine μ-law samples too quiet to hear, by which a frame's way is timed from end to end.

Both ends run on one machine and read one monotonic clock. A mark is a byte that says whose frame it is and eight
hexadecimal digits of microseconds, each digit a code of the quietest segment (-49 dBFS at the most).
"""

from typing import Final

MARK_BYTES: Final = 9
"""A multiple of three, so that base64 carries a mark at the beginning of a frame as twelve characters of its own."""
MARK_CHARACTERS: Final = 12

CALLER: Final = 0xF1
"""A frame of the caller's."""
AGENT: Final = 0xF2
"""A frame of the agent's; its time means nothing."""
AGENT_BEGINS: Final = 0xF3
"""The first frame of a response."""

CYCLE: Final = 1 << 32
"""Microseconds after which the time begins anew: 71 minutes."""

_DIGITS: Final = b"0123456789abcdef"
_QUIET: Final = bytes(range(0xF0, 0x100))
_TO_QUIET: Final = bytes.maketrans(_DIGITS, _QUIET)
_TO_DIGITS: Final = bytes.maketrans(_QUIET, _DIGITS)


def make_mark(kind: int, at: float) -> bytes:
    """Return a mark of the time ``at``, in seconds."""
    return b"%c%s" % (kind, (b"%08x" % (int(at * 1e6) % CYCLE)).translate(_TO_QUIET))


def read_age(mark: bytes, now: float) -> float:
    """Return how many seconds ago a mark was made.

    :raises ValueError: when it is none.
    """
    made_at = int(mark[1:MARK_BYTES].translate(_TO_DIGITS), 16)
    return (int(now * 1e6) - made_at) % CYCLE / 1e6
