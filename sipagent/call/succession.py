"""Another agent goes on with the call: from somebody's wish to the model's word that it is that agent now.

The session stays, and with it all that was said; so does the voice, which a server will not change once it was heard.
What the agent is told, its tools, its transfers and its manners are the other's from the moment in which the model has
confirmed them. Until then, or if it does not, everything is as it was, and the audio goes on all the while.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sipagent.call import events
from sipagent.call.conversation import Conversation
from sipagent.call.conversation_settings import ConversationSettings
from sipagent.call.staffing import AgentChanged, AgentKept
from sipagent.call.transfer import Transfer, TransferSettings
from sipagent.realtime.events import SessionUpdated

TAKEN_OVER = "You have taken over this call from the agent {before}. You know what was said; don't ask for it again."

GO_ON = "Say in a few words who you are now, and go on with what the caller wants."

DONE = "It is done: you are the agent {agent} now."

NOT_DONE = "The call could not be handed over to {agent}; you are still with the caller. Say so, and go on yourself."

BUSY = "The call is being handed over already."


@dataclass(frozen=True, slots=True)
class AgentChange:
    """What another agent brings."""

    agent: str
    before: str
    """Whom it follows."""
    conversation: ConversationSettings
    transfer: TransferSettings | None = None
    reason: str = ""
    function_call_id: str = ""
    """Of the call of a tool that wanted it; without one, nothing is said of it."""


class Succession:
    """One at a time.

    :param emit: takes facts.
    """

    def __init__(self, *, emit: Callable[[events.Output], None], transfer: Transfer) -> None:
        self._emit = emit
        self._transfer = transfer
        self._change: AgentChange | None = None

    def begin(self, change: AgentChange, conversation: Conversation, *, now: float) -> None:
        """Ask the model to be another agent."""
        if self._change is not None:
            self._emit(AgentKept(change.agent, BUSY))
            conversation.tool_finished(change.function_call_id, BUSY, now=now)
            return
        self._change = change
        conversation.seat.offer(change.conversation, now=now)

    def follow(self, conversation: Conversation, *, now: float) -> None:
        """Act on the model's word."""
        outcome, conversation.seat.outcome = conversation.seat.outcome, None
        change, self._change = self._change, None
        if change is None or outcome is None:
            return
        if not isinstance(outcome, SessionUpdated):
            self._emit(AgentKept(change.agent, outcome.message))
            conversation.tool_finished(change.function_call_id, NOT_DONE.format(agent=change.agent), now=now)
            return
        self._transfer.change(change.transfer)
        may_transfer = change.transfer is not None and change.transfer.is_tool
        conversation.seat.take(change.conversation, may_transfer=may_transfer)
        self._emit(AgentChanged(change.before, change.agent, change.reason))
        if change.function_call_id:
            begins_with = change.conversation.greeting or GO_ON
            conversation.seat.begin_with(f"{TAKEN_OVER.format(before=change.before)}\n\n{begins_with}")
            conversation.tool_finished(change.function_call_id, DONE.format(agent=change.agent), now=now)
