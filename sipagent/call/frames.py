"""The measure of a call's audio in time."""

FRAME_MS = 20
"""How much audio a packet of ours holds, unless the peer wants it otherwise."""
