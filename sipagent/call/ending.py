"""How a call comes to its end: what is being said is heard to its last word, and a little silence behind it.

Nothing that the model does or leaves out keeps the call up for longer than :data:`ENDING_S` after what was there to be
said already.
"""

from sipagent.call.conversation import Conversation
from sipagent.timers import Timers

TIMER = "ending"

ENDING_S = 20.0
"""A goodbye that has not come to its end by then is cut."""

TAIL_MS = 200
"""Silence between the last word and what ends the caller's stream from us, for its jitter buffer to be played."""

MAX_SENTENCE_S = 60.0
"""How long what is being said may take."""


class Ending:
    """One call's: begun once.

    :param timers: the call's; ours is :data:`TIMER`.
    """

    def __init__(self, timers: Timers[str]) -> None:
        self._timers = timers
        self._tail_ms = 0
        self.reason = ""
        """Why the call ends."""

    def begin(self, reason: str, conversation: Conversation, *, says_goodbye: bool, now: float) -> None:
        """Let what is being said come to its end; have a goodbye said first where the agent owes one."""
        self.reason = reason
        sentence_s = min(conversation.queued_ms / 1000, MAX_SENTENCE_S)
        self._timers.set(TIMER, now + sentence_s + ENDING_S)
        conversation.end(now=now, says_goodbye=says_goodbye)

    def is_over(self, ms: int) -> bool:
        """Take note of a tick of silence after the last word; say whether there were enough of them."""
        self._tail_ms += ms
        return self._tail_ms > TAIL_MS
