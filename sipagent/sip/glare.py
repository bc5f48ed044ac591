"""When to try again what collided with a request of the peer's (:rfc:`3261#section-14.1`, :rfc:`3311#section-5.1`)."""

from random import Random

from sipagent.sip.headers import read_seconds
from sipagent.sip.message import Response

GLARES_MAX = 8
"""Tries that collide before the request is given up: chance delays of seconds rarely collide even twice."""

OWNER_STEPS = (210, 400)
PEER_STEPS = (0, 200)
"""How many times 10 ms whoever made the Call-ID waits before the next try, and how many the other."""

RETRY_AFTER_MAX_S = 10
"""The longest wait that a 500 may ask for and still means an overlap (:rfc:`3261#section-14.2`)."""


class Glare:
    """The collisions of one request."""

    def __init__(self, random: Random, *, is_call_id_ours: bool) -> None:
        self._random = random
        self._steps = OWNER_STEPS if is_call_id_ours else PEER_STEPS
        self._glares = 0

    def delay_s(self, response: Response) -> float | None:
        """Return how long to wait before the next try; ``None`` when the refusal is no collision, or one too many."""
        asked_s = read_seconds(response.headers, "Retry-After")
        is_overlap = response.status == 500 and asked_s is not None and asked_s <= RETRY_AFTER_MAX_S
        if self._glares == GLARES_MAX or not (response.status == 491 or is_overlap):
            return None
        self._glares += 1
        return max(self.pause_s(), float(asked_s or 0) if is_overlap else 0.0)

    def pause_s(self) -> float:
        """Return a chance delay that differs from the peer's."""
        return self._random.randint(*self._steps) / 100
