"""Whether packets may go to the address in a caller's description, before anybody has shown to be there.

A phone hears us from the 200 on. But until its ACK or its own packets come, whoever wrote the INVITE may have written a
victim's address in it.
"""

from typing import Final

UNACKNOWLEDGED_S: Final = 2.0
"""How long we talk to somebody who has not acknowledged our answer: the ACK of a phone comes sooner."""


class Credit:
    """One call's."""

    def __init__(self) -> None:
        self._until = 0.0
        self.is_earned = False
        """Whether the caller acknowledged our answer, or it is we who called."""

    def give(self, *, now: float) -> None:
        """Trust whom we answered, for a while."""
        self._until = now + UNACKNOWLEDGED_S

    def lasts(self, *, heard_at: float, now: float) -> bool:
        """Whether packets may go, as long as it is not earned.

        :param heard_at: when something came from the caller last; 0 when nothing ever did.
        """
        return heard_at > 0.0 or now < self._until
