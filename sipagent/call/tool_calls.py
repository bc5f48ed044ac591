"""The model's calls of tools: which are done by the call itself, which are run elsewhere, and what is owed for them.

The call itself ends (``hang_up``), is handed on (``transfer``), presses keys and waits for keys. Everything else is an
output, and its result comes back by :meth:`ToolCalls.finish`. When nothing runs any more the model owes a response.
"""

from collections.abc import Callable

from sipagent.agent.builtin import COLLECT_DIGITS, TRANSFER, hang_up
from sipagent.call import events
from sipagent.call.collecting import Collecting, Press
from sipagent.call.keypad import Keypad
from sipagent.realtime.events import FunctionCallRequested
from sipagent.realtime.session import RealtimeSession


class ToolCalls:
    """Those of one conversation.

    :param key_tools: which of the built-in tools for keys the model has.
    :param keypad: holds keys that the caller pressed in expectation of the question.
    """

    def __init__(
        self,
        *,
        session: RealtimeSession,
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
        self._running: dict[str, str] = {}
        self._collecting = Collecting(key_tools, press=press)
        self.wish: tuple[str, str] | None = None
        """That the call be handed on: function-call id and arguments; to be taken away by whoever fulfils it."""
        self.owes_response = False
        """Whether the outputs are in and the model has not been asked to speak of them; cleared by whoever asks it."""

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        return self._collecting.due_at

    @property
    def is_pending(self) -> bool:
        """Whether the output of a tool, or the number that one waits for, is still to come."""
        return bool(self._running) or self.owes_response

    @property
    def is_running(self) -> bool:
        """Whether the caller waits for a tool, and not a tool for the caller."""
        return any(name != COLLECT_DIGITS.name for name in self._running.values())

    def begin(self, call: FunctionCallRequested, *, queued_ms: int, now: float) -> bool:
        """Take a call of the model's; say whether it is the one that ends the conversation.

        :param queued_ms: how long the agent will still be heard.
        """
        self._emit(events.ToolCalled(call.name, call.arguments))
        if call.name == hang_up.name:
            self._session.send_tool_output(call.function_call_id, hang_up())
            return True
        self._running[call.function_call_id] = call.name
        if call.name == TRANSFER and self._may_transfer and self.wish is None:
            self.wish = (call.function_call_id, call.arguments)
        elif self._collecting.has(call.name):
            self._begin_keys(call, queued_ms, now)
        else:
            self._emit(events.RunTool(call.function_call_id, call.name, call.arguments))
        return False

    def finish(self, function_call_id: str, output: str) -> None:
        """Take a tool's output; once the last one is in, a response is owed."""
        name = self._running.pop(function_call_id, None)
        if name is None:
            return
        self._emit(events.ToolReturned(name, output))
        self._session.send_tool_output(function_call_id, output)
        self.owes_response |= not self._running

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
