"""The agent's seat in a conversation: what another one who takes it brings, and what becomes of that."""

from collections.abc import Callable

from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.floor import Floor
from sipagent.call.model_link import ModelLink
from sipagent.call.tool_calls import ToolCalls
from sipagent.realtime.events import SessionUpdated, UpdateRefused


class Seat:
    """One a conversation.

    :param drain: has what the session says carried out.
    """

    def __init__(self, session: ModelLink, floor: Floor, tools: ToolCalls, *, drain: Callable[[float], None]) -> None:
        self._session = session
        self._floor = floor
        self._tools = tools
        self._drain = drain
        self._opening: str | None = None
        self.outcome: SessionUpdated | UpdateRefused | None = None
        """What became of a change; to be taken by whoever asked for it."""

    def close(self) -> None:
        """The call is over: let go of whoever was asked."""
        self._drain = _ignore

    def offer(self, settings: ConversationSettings, *, now: float) -> None:
        """Ask the model to be another; :attr:`outcome` tells what became of it."""
        self._session.update(settings.session, now=now)
        self._drain(now)

    def settle(self, outcome: SessionUpdated | UpdateRefused) -> None:
        """Take the model's word."""
        self.outcome = outcome
        self._session.settle(is_taken=isinstance(outcome, SessionUpdated))

    def take(self, settings: ConversationSettings, *, may_transfer: bool) -> None:
        """Listen, and let be interrupted, as another agent does; what is heard beside the agent stays."""
        self._floor.change(settings.barge_in, settings.listener)
        self._tools.change(key_tools=settings.key_tools, call_tools=settings.call_tools, may_transfer=may_transfer)

    def begin_with(self, words: str) -> None:
        """Have the next response follow these instructions."""
        self._opening = words

    def take_opening(self, otherwise: str | None) -> str | None:
        """Return what the next response is to follow, and then no other."""
        opening, self._opening = self._opening, None
        return opening or otherwise


def _ignore(_now: float) -> None:
    """Nobody is asked any more."""
