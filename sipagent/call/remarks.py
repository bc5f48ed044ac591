"""What the agent is to say besides its answers: at somebody's command, or because the call soon ends.

A remark waits for a pause: it never cuts off a sentence, the agent's or the caller's.
"""

from dataclasses import dataclass

from sipagent.errors import LocalProtocolError

MAX_WAITING = 16
"""Who wants more said at once has to wait for some of it."""

SAY = "Say the following to the caller now, in your own words: {text}"

ENDS_IN = (
    "Tell the caller in one short, friendly sentence that this call has to end in about {seconds:.0f} seconds. "
    "Say nothing else."
)
ENDS_SOON = "Tell the caller in one short, friendly sentence that this call has to end soon. Say nothing else."


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to be said."""

    instructions: str
    is_interruptible: bool = True
    """Whether the caller may stop it."""


class Remarks:
    """Those of one call, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: list[Remark] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, remark: Remark) -> None:
        """Have something said.

        :raises LocalProtocolError: when too much waits already.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise LocalProtocolError(f"{MAX_WAITING} remarks wait to be said already")
        self._waiting.append(remark)

    def take(self) -> Remark:
        """Take what is to be said next."""
        return self._waiting.pop(0)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
