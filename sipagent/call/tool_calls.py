"""The model's calls of tools: which are done by the call itself, which are run elsewhere, and what is owed for them.

The call itself ends (``hang_up``), is handed on (``transfer``), presses keys and waits for keys. Everything else is an
output, and its result comes back by :meth:`ToolCalls.finish`. The calls of one response are a batch: when its response
is over and all its results are in, the model owes one response. Where the caller interrupted that response it owes
none: the results become part of the conversation, and are spoken of when the caller asks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from sipagent.agent.builtin import COLLECT_DIGITS, TRANSFER, hang_up
from sipagent.call import events
from sipagent.call.collecting import Collecting, Press
from sipagent.call.keypad import Keypad
from sipagent.call.model_link import ModelLink
from sipagent.realtime.events import FunctionCallRequested


@dataclass(slots=True)
class _Batch:
    """The calls of one response."""

    running: dict[str, str] = field(default_factory=dict)
    """The names of the tools whose results are awaited, by function-call id."""
    is_over: bool = False
    """Whether the response is: no call will be added."""
    is_interrupted: bool = False

    @property
    def is_asking(self) -> bool:
        """Whether it waits for the caller, who can't interrupt what he is about to answer."""
        return COLLECT_DIGITS.name in self.running.values()


class ToolCalls:
    """Those of one conversation.

    :param key_tools: which of the built-in tools for keys the model has.
    :param keypad: holds keys that the caller pressed in expectation of the question.
    """

    def __init__(
        self,
        *,
        session: ModelLink,
        emit: Callable[[events.Output], None],
        keypad: Keypad,
        press: Press,
        key_tools: frozenset[str],
        may_transfer: bool,
    ) -> None:
        self._session = session
        self._emit = emit
        self._keypad = keypad
        self._may_transfer = may_transfer
        self._batches: dict[str, _Batch] = {}
        self._withholds = False
        self._collecting = Collecting(key_tools, press=press)
        self.wish: tuple[str, str] | None = None
        """That the call be handed on: function-call id and arguments; to be taken away by whoever fulfils it."""
        self.owes_response = False
        """Whether results are in that the model has not been asked to speak of; :meth:`asked` clears it."""

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        return self._collecting.due_at

    @property
    def is_pending(self) -> bool:
        """Whether the output of a tool, or the number that one waits for, is still to come."""
        return any(batch.running for batch in self._batches.values()) or self.owes_response

    @property
    def is_running(self) -> bool:
        """Whether the caller waits for a tool, and not a tool for the caller."""
        return any(name != COLLECT_DIGITS.name for batch in self._batches.values() for name in batch.running.values())

    def change(self, *, key_tools: frozenset[str], may_transfer: bool) -> None:
        """From now on, the model has other tools; what runs is not stopped."""
        self._collecting.names = key_tools
        self._may_transfer = may_transfer

    def begin(self, call: FunctionCallRequested, *, queued_ms: int, now: float) -> bool:
        """Take a call of the live response's; say whether it is the one that ends the conversation.

        :param queued_ms: how long the agent will still be heard.
        """
        self._emit(events.ToolCalled(call.name, call.arguments))
        if call.name == hang_up.name:
            self._session.send_tool_output(call.function_call_id, hang_up())
            return True
        batch = self._batches.setdefault(call.response_id, _Batch())
        batch.running[call.function_call_id] = call.name
        if call.name == TRANSFER and self._may_transfer and self.wish is None:
            self.wish = (call.function_call_id, call.arguments)
        elif self._collecting.has(call.name):
            self._begin_keys(call, queued_ms, now)
        else:
            self._emit(events.RunTool(call.function_call_id, call.name, call.arguments))
        return False

    def finish(self, function_call_id: str, output: str) -> None:
        """Take a tool's output; it goes to the model at once, whatever has become of the response that wanted it."""
        found = next((each for each in self._batches.items() if function_call_id in each[1].running), None)
        if found is None:
            return
        response_id, batch = found
        self._emit(events.ToolReturned(batch.running.pop(function_call_id), output))
        self._session.send_tool_output(function_call_id, output)
        self._settle(response_id, batch)

    def response_over(self, response_id: str) -> None:
        """Take note that a response is over, and with it the list of its calls."""
        batch = self._batches.get(response_id)
        if batch is not None:
            batch.is_over = True
            self._settle(response_id, batch)

    def interrupt(self, response_id: str) -> None:
        """Take note that the caller interrupted a response: nobody asked for words about what its tools come to."""
        batch = self._batches.get(response_id)
        if batch is not None and not batch.is_asking:
            batch.is_interrupted = True

    def forgive(self) -> None:
        """Take note that the caller said nothing after all: what he interrupted is still wanted."""
        for batch in self._batches.values():
            batch.is_interrupted = False
        self.owes_response |= self._withholds

    def asked(self) -> None:
        """Take note that the model is asked for a response, which may speak of everything that is in."""
        self.owes_response = self._withholds = False

    def take_digit(self, digit: str, *, now: float) -> bool:
        """Take a key of the caller's, if a tool waits for it; say whether one does."""
        return self._collecting.take(digit, now=now)

    def handle_timer(self, *, queued_ms: int, now: float) -> None:
        """Hand over a number that is complete."""
        collected = self._collecting.handle_timer(queued_ms=queued_ms, now=now)
        if collected is not None:
            self.finish(*collected)

    def _begin_keys(self, call: FunctionCallRequested, queued_ms: int, now: float) -> None:
        pressed = self._keypad.take() if call.name == COLLECT_DIGITS.name else ""
        output = self._collecting.start(
            call.function_call_id, call.name, call.arguments, pressed=pressed, queued_ms=queued_ms, now=now
        )
        if output is not None:
            self.finish(call.function_call_id, output)

    def _settle(self, response_id: str, batch: _Batch) -> None:
        if batch.running or not batch.is_over:
            return
        del self._batches[response_id]
        if batch.is_interrupted:
            self._withholds = True
        else:
            self.owes_response = True
