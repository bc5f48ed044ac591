"""The model behind GPT-Live, which thinks and calls tools: what it asks of us, and when it may be told to go on.

Its events are those of the Responses API, each in a ``response.event`` that names the delegation. It goes on when told,
and it cannot be told while it still speaks of the calls it made.
"""

from collections import deque
from dataclasses import dataclass
from math import inf

from sipagent.realtime.protocol import Event, identifier, mapping, text

OVER = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled", "error"})
"""How a response of the model behind ends, in one way or another."""

LIMIT_S = 30.0
"""So long without a word of it, and it is thought to be over."""

MAX_CALLS = 64
"""How many function call ids are remembered, so that a repeated event runs no tool twice."""

MAX_RUNNING = 16
"""How many of its responses are followed at a time; no conversation has more things looked up at once."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """The model behind wants a function called."""

    function_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Failure:
    """It could not do what it was to do."""

    error: Event


class LiveBackend:
    """Follows the responses of the model behind."""

    def __init__(self) -> None:
        self._running: dict[str, None] = {}
        self._calls: deque[str] = deque(maxlen=MAX_CALLS)
        self.due_at = inf
        """When it has been silent for too long."""
        self.owes_word = False
        """Whether outputs of tools wait for it to be told to go on."""
        self.wants_word = False
        """Whether it is to be told so, as soon as it can be."""

    @property
    def is_busy(self) -> bool:
        """Whether a response of it goes on."""
        return bool(self._running)

    @property
    def may_go_on(self) -> bool:
        """Whether it is to be told now to go on."""
        return self.wants_word and not self.is_busy

    def has_called(self, function_call_id: str) -> bool:
        """Whether this function call is one of its."""
        return function_call_id in self._calls

    def receive(self, event: Event, delegation_id: str, *, now: float) -> FunctionCall | Failure | None:
        """Take one of its events."""
        kind = text(event, "type")
        if kind in OVER:
            self._running.pop(delegation_id, None)
            self.due_at = now + LIMIT_S if self._running else inf
            response = mapping(event, "response")
            failed = kind in ("response.failed", "error")
            return Failure(mapping(response, "error") or mapping(event, "error") or event) if failed else None
        if delegation_id in self._running or len(self._running) < MAX_RUNNING:
            self._running[delegation_id] = None
        self.due_at = now + LIMIT_S
        return self._call(mapping(event, "item")) if kind == "response.output_item.done" else None

    def handle_timer(self, *, now: float) -> None:
        """Give up on what is silent for too long."""
        if now >= self.due_at:
            self._running.clear()
            self.due_at = inf

    def go_on(self) -> None:
        """Take note that it was told to."""
        self.owes_word = self.wants_word = False

    def _call(self, item: Event) -> FunctionCall | None:
        if item.get("type") != "function_call" or (item.get("status") or "completed") != "completed":
            return None
        call = FunctionCall(identifier(item, "call_id"), identifier(item, "name"), text(item, "arguments"))
        if not call.function_call_id or not call.name or call.function_call_id in self._calls:
            return None
        self._calls.append(call.function_call_id)
        return call
