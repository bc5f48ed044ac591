"""Handing the call on: from the model's wish to the peer's last word on it.

The model names a destination; the sentence that announces it is heard to its end, then the peer is asked to call
there. Until that has come to something nobody talks: neither can the caller interrupt, nor the agent go on. Who
decides where a call may go is the configuration, never the model, which the caller may have talked into anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from sipagent.agent.builtin import make_transfer
from sipagent.agent.tools import Tool, ToolArgumentError
from sipagent.call import events
from sipagent.call.conversation import Conversation
from sipagent.call.ending import MAX_SENTENCE_S, TAIL_MS
from sipagent.call.remarks import Remark
from sipagent.errors import LocalProtocolError, RemoteProtocolError
from sipagent.sip.targets import Targets
from sipagent.sip.uri import Uri
from sipagent.timers import Timers

TIMER: Final = "transfer"

ANNOUNCING_S: Final = 20.0
"""How long the model may take to say what it has not begun to say."""

NO_ANSWER: Final = 408
"""What it has come to when nobody answered in time."""

ANNOUNCE: Final = (
    "The call is being handed on to {destination}. Say so to the caller in one short sentence and nothing else."
)

SEPARATORS = str.maketrans("", "", " -.()/")
"""What people write into numbers."""

NUMBER_MAX: Final = 24
"""Characters of a number that the model may give."""

LIMIT_S: Final = 45.0
"""How long the other telephone may ring before the model is told that nobody answers."""

REASONS: Mapping[int, str] = {
    404: "there is no such number",
    408: "nobody answered",
    410: "there is no such number",
    480: "nobody is there",
    484: "there is no such number",
    486: "the line is busy",
    487: "nobody answered",
    600: "the line is busy",
    603: "the other side declined",
    604: "there is no such number",
}
"""What a status means to a caller."""


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """Where an agent may hand calls on to."""

    destinations: Mapping[str, Uri] = field(default_factory=dict)
    """By the names that the model chooses from."""
    numbers_at: Uri | None = None
    """Where numbers that the model gives are dialled, their user part being replaced; ``None`` for none at all."""
    targets: Targets | None = None
    """Which numbers; without it none."""
    limit_s: float = LIMIT_S
    is_tool: bool = True
    """Whether the model may, too, and not the program alone."""

    @property
    def tool(self) -> Tool:
        """What the model is told of it."""
        return make_transfer(self.destinations, allow_any=self.numbers_at is not None)

    def find(self, destination: str) -> Uri | None:
        """Return where a destination is, ``None`` for one that may not be called."""
        if destination in self.destinations:
            return self.destinations[destination]
        number = destination.translate(SEPARATORS)
        if self.numbers_at is None or self.targets is None or not number.lstrip("+").isdigit():
            return None
        home = self.numbers_at
        uri = Uri("sip", number, None, home.host, home.port, home.parameters)
        is_allowed = number.isascii() and len(number) <= NUMBER_MAX and self.targets.allows(uri)
        return uri if is_allowed else None

    def find_uri(self, text: str) -> Uri | None:
        """Return the SIP URI that is written, ``None`` when it is none or may not be called."""
        try:
            uri = Uri.parse(text)
        except RemoteProtocolError:
            return None
        return uri if self.targets is not None and self.targets.allows(uri) else None


class State(Enum):
    """How far it is."""

    IDLE = "idle"
    ANNOUNCED = "announced"
    """The sentence that says so is still being heard."""
    REFERRED = "referred"
    """The peer is at it."""


class Transfer:
    """At most one at a time.

    :param emit: takes facts, and the command to refer.
    :param timers: the call's; ours is :data:`TIMER`.
    """

    def __init__(
        self, settings: TransferSettings | None, *, emit: Callable[[events.Output], None], timers: Timers[str]
    ) -> None:
        self._settings = settings or TransferSettings()
        self._emit = emit
        self._timers = timers
        self._state = State.IDLE
        self.is_active = False
        """Whether the call is on its way to somebody else."""
        self._tail_ms = 0
        self._function_call_id = ""
        self._destination = ""
        self._target: Uri | None = None
        self._was_accepted = False

    def change(self, settings: TransferSettings | None) -> None:
        """From now on, other destinations hold; what is under way is not stopped."""
        self._settings = settings or TransferSettings()

    def begin(self, conversation: Conversation, *, now: float) -> None:
        """Take the model's wish, if it has one; let the sentence that announces it be heard, or ask for one."""
        wish = conversation.tools.take_wish()
        if wish is None:
            return
        function_call_id, arguments = wish
        problem = self._prepare(arguments)
        if problem is not None:
            conversation.tool_finished(function_call_id, problem, now=now)
            return
        self._function_call_id = function_call_id
        self._announce(conversation, now)

    def command(self, target: str, conversation: Conversation, *, now: float) -> None:
        """Hand the call on at a program's word.

        :param target: a destination, or a number or a SIP URI that may be called.
        :raises LocalProtocolError: when it may not, or the agent is not free to say so.
        """
        uri = self._settings.find(target) or self._settings.find_uri(target)
        if uri is None:
            raise LocalProtocolError(f"a call can't be handed on to {target}: it is not allowed")
        if conversation.is_paused:
            raise LocalProtocolError("the agent is paused, or the call is being handed on already")
        self._function_call_id = ""
        self._choose(target, uri)
        self._announce(conversation, now)

    def hand_on(self, destination: str, conversation: Conversation, *, now: float) -> bool:
        """Hand the call on without a model's having wished it; say whether there is such a destination."""
        if self.is_active or destination not in self._settings.destinations:
            return False
        self._destination, self._target = destination, self._settings.destinations[destination]
        self._tail_ms, self._was_accepted, self._function_call_id = 0, False, ""
        self._enter(State.ANNOUNCED)
        conversation.pause("", now=now)
        self._timers.set(TIMER, now + ANNOUNCING_S)
        return True

    def tick(self, conversation: Conversation, *, ms: int, now: float) -> None:
        """Once the sentence has been heard, and the caller's jitter buffer has played it, ask the peer."""
        if self._state is State.ANNOUNCED and conversation.is_silent:
            self._tail_ms += ms
            if self._tail_ms > TAIL_MS:
                self._refer(now)

    def on_timer(self, conversation: Conversation, *, now: float) -> None:
        """The sentence has no end, or the other telephone rings for too long."""
        if self._state is State.ANNOUNCED:
            self._refer(now)
        elif self._state is State.REFERRED:
            self._fail(NO_ANSWER, conversation, now)

    def progressed(self, status: int) -> None:
        """The peer agreed, or was told this by whom it calls."""
        if self._state is State.REFERRED:
            self._was_accepted = True
            self._emit(events.TransferProgressed(status))

    def finished(self, status: int | None, conversation: Conversation, *, now: float) -> bool:
        """Take what the peer's attempt came to; return whether the call is out of our hands.

        It may come when we have given it up: then the caller is gone all the same.
        """
        if status is not None and 200 <= status <= 299:
            self._emit(events.Transferred(self._destination))
            return True
        if self._state is State.REFERRED:
            self._fail(status, conversation, now)
        return False

    def leg_ended(self) -> None:
        """The peer hung up; when it had agreed to try, that is how some say that it went well."""
        if self._state is State.REFERRED and self._was_accepted:
            self._emit(events.Transferred(self._destination, is_confirmed=False))

    def _announce(self, conversation: Conversation, now: float) -> None:
        self._enter(State.ANNOUNCED)
        words = ANNOUNCE.format(destination=self._destination)
        conversation.pause(words, is_owed=bool(self._function_call_id), now=now)
        sentence_s = min(conversation.queued_ms / 1000, MAX_SENTENCE_S)
        self._timers.set(TIMER, now + sentence_s + ANNOUNCING_S)

    def _choose(self, destination: str, target: Uri) -> None:
        self._destination, self._target = destination, target
        self._tail_ms = 0
        self._was_accepted = False

    def _prepare(self, arguments: str) -> str | None:
        """Find out where to; return what is wrong, as a sentence for the model."""
        if self.is_active:
            return "The call is being handed on already."
        try:
            destination = self._settings.tool.parse_arguments(arguments)["destination"]
        except ToolArgumentError as error:
            return str(error)
        target = self._settings.find(destination)
        if target is None:
            return "The call can't be handed on to there: it is not allowed. Offer what you can do instead."
        self._choose(destination, target)
        return None

    def _refer(self, now: float) -> None:
        if self._target is not None:
            self._enter(State.REFERRED)
            self._timers.set(TIMER, now + self._settings.limit_s)
            self._emit(events.TransferStarted(self._destination, str(self._target)))
            self._emit(events.Refer(self._target))

    def _fail(self, status: int | None, conversation: Conversation, now: float) -> None:
        """The caller is still there: let the model say why, and go on."""
        self._enter(State.IDLE)
        self._timers.cancel(TIMER)
        reason = explain(self._destination, status)
        self._emit(events.TransferFailed(self._destination, status, reason))
        conversation.resume()
        if self._function_call_id:
            conversation.tool_finished(self._function_call_id, reason, now=now)
        else:
            conversation.remark(Remark(reason), now=now)

    def _enter(self, state: State) -> None:
        self._state = state
        self.is_active = state is not State.IDLE


def explain(destination: str, status: int | None) -> str:
    """Tell the model, in a sentence, why the caller is still there."""
    if status is None:
        why = "the telephone system does not say what became of it"
    else:
        why = REASONS.get(status, f"the telephone system refused, with status {status}")
    return (
        f"The call could not be handed on to {destination}: {why}. The caller is still with you: "
        "say so in one sentence, and offer what you can do instead."
    )
