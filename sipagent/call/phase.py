"""Where a call stands."""

from enum import Enum


class Phase(Enum):
    """From its INVITE to its end, in this order; a call may end from any of them."""

    NEW = "new"
    RINGING = "ringing"
    """A call that came in, or one of ours that is not dialled yet, waits for the model."""
    DIALLED = "dialled"
    UP = "up"
    ENDING = "ending"
    """What is being said, or the goodbye, is heard to its end."""
    ENDED = "ended"
