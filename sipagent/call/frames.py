"""The measure of a call's audio in time."""

from typing import Final

FRAME_MS: Final = 20
"""How much audio a packet of ours holds, unless the peer wants it otherwise."""
