"""The model's calls of tools: which are done by the call itself, which are run elsewhere, and what is owed for them.

The call itself ends (``hang_up``), is handed on (``transfer``), has the caller wait (``hold``), notes something,
presses keys and waits for keys. Everything else is an output, and its result comes back by :meth:`ToolCalls.finish`.
The calls of one response are a batch: when the response is over and all results are in, the model owes one response.
Where the caller interrupted that response it owes none: the results become part of the conversation, and are spoken of
when the caller asks.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from sipagent.agent.approval import Approval
from sipagent.agent.builtin import COLLECT_DIGITS, HOLD, MESSAGE_KEPT, NOTE, NOTED, TAKE_MESSAGE, TRANSFER, hang_up
from sipagent.agent.tools import ToolArgumentError
from sipagent.call import events
from sipagent.call.collecting import Collecting, Press
from sipagent.call.keypad import Keypad
from sipagent.call.model_link import ModelLink
from sipagent.call.waiting import End, Waiting
from sipagent.realtime.events import ApprovalRequested, FunctionCallRequested, HostedCallAnswered, HostedCallDone
from sipagent.realtime.hosted import HostedOutput

NOT_RUN = "The tool was not run, for the caller interrupted you."

ASKING = frozenset({COLLECT_DIGITS.name, HOLD.name})
"""The tools that wait for the caller, and not he for them."""


@dataclass(slots=True)
class _Batch:
    """The calls of one response."""

    running: dict[str, str] = field(default_factory=dict)
    """The names of the tools whose results are awaited, by function-call id."""
    called: list[FunctionCallRequested] = field(default_factory=list)
    """What is not begun yet."""
    messages: dict[str, str] = field(default_factory=dict)
    """The arguments of ``take_message`` that are not kept yet."""
    needs_words: bool = False
    """Whether something was called that the caller is to hear of."""
    is_silent: bool = False
    """Whether something was called of which he need not hear."""
    has_spoken: bool = False
    """Whether the response said something."""
    ends_in_hosted: bool = False
    """Whether the model has called a tool of another server's, and said nothing since."""
    is_over: bool = False
    """Whether the response is: no call will be added."""
    is_interrupted: bool = False

    @property
    def is_asking(self) -> bool:
        """Whether it waits for the caller, who can't interrupt what he is about to answer."""
        return not ASKING.isdisjoint(self.running.values())


class ToolCalls:
    """Those of one conversation.

    :param key_tools: which of the built-in tools for keys the model has.
    :param call_tools: which of ``hold`` and ``note`` it has.
    :param keypad: holds keys that the caller pressed in expectation of the question.
    """

    def __init__(
        self,
        *,
        session: ModelLink,
        emit: Callable[[events.Output], None],
        keypad: Keypad,
        press: Press,
        waiting: Waiting,
        key_tools: frozenset[str],
        call_tools: frozenset[str] = frozenset(),
        may_transfer: bool,
    ) -> None:
        self._session = session
        self._emit = emit
        self._keypad = keypad
        self._waiting = waiting
        self._call_tools = call_tools
        self._may_transfer = may_transfer
        self._batches: dict[str, _Batch] = {}
        self._withholds = False
        self._collecting = Collecting(key_tools, press=press)
        self.press = press
        """Presses keys toward the peer."""
        self.wish: tuple[str, str] | None = None
        """That the call be handed on: function-call id and arguments; to be taken away by whoever fulfils it."""
        self.owes_response = False
        """Whether results are in that the model has not been asked to speak of; :meth:`asked` clears it."""

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        return min(self._collecting.due_at, self._waiting.due_at)

    @property
    def is_pending(self) -> bool:
        """Whether the output of a tool, or the number that one waits for, is still to come."""
        return any(batch.running for batch in self._batches.values()) or self.owes_response

    @property
    def is_running(self) -> bool:
        """Whether the caller waits for a tool, and not a tool for the caller."""
        return any(name not in ASKING for batch in self._batches.values() for name in batch.running.values())

    def change(self, *, key_tools: frozenset[str], call_tools: frozenset[str], may_transfer: bool) -> None:
        """From now on, the model has other tools; what runs is not stopped."""
        self._collecting.names = key_tools
        self._call_tools = call_tools
        self._may_transfer = may_transfer

    def receive(self, output: FunctionCallRequested | HostedOutput) -> None:
        """Take what the live response calls, or says of tools that run where the model is."""
        match output:
            case FunctionCallRequested():
                self._batches.setdefault(output.response_id, _Batch()).called.append(output)
            case HostedCallDone():
                self._note_hosted(output)
            case ApprovalRequested():
                self._judge(output)
            case HostedCallAnswered(response_id) if response_id in self._batches:
                self._batches[response_id].ends_in_hosted = False

    def run(self, *, queued_ms: int, now: float) -> bool:
        """Begin what was called; say whether it ends the conversation.

        It is not to be used while it is open whether the caller is interrupting the response: an interrupted one must
        not hang up on him.

        :param queued_ms: how long the agent will still be heard.
        """
        ends = False
        for response_id, batch in list(self._batches.items()):
            while batch.called:
                ends |= self._begin(batch.called.pop(0), batch, queued_ms, now)
            self._settle(response_id, batch)
        return ends

    def _begin(self, call: FunctionCallRequested, batch: _Batch, queued_ms: int, now: float) -> bool:
        self._emit(events.ToolCalled(call.name, call.arguments, call.function_call_id))
        if call.name == hang_up.name:
            self._session.send_tool_output(call.function_call_id, hang_up())
            return True
        batch.running[call.function_call_id] = call.name
        if call.name == NOTE.name:
            batch.is_silent = True
        else:
            batch.needs_words = True
        if call.name == TRANSFER and self._may_transfer and self.wish is None:
            self.wish = (call.function_call_id, call.arguments)
        elif self._collecting.has(call.name):
            self._begin_keys(call, queued_ms, now)
        elif call.name in self._call_tools:
            self._begin_own(call, queued_ms, now)
        else:
            if call.name == TAKE_MESSAGE:
                batch.messages[call.function_call_id] = call.arguments
            self._emit(events.RunTool(call.function_call_id, call.name, call.arguments))
        return False

    def _note_hosted(self, call: HostedCallDone) -> None:
        """Take note of a call that has its result already; the model may have nothing to say until it is asked."""
        self._emit(events.ToolCalled(f"{call.server}.{call.name}", call.arguments))
        self._emit(events.ToolReturned(f"{call.server}.{call.name}", call.output))
        self._batches.setdefault(call.response_id, _Batch()).ends_in_hosted = True

    def _judge(self, request: ApprovalRequested) -> None:
        """Have somebody asked whether the model may call such a tool."""
        batch = self._batches.setdefault(request.response_id, _Batch(needs_words=True))
        name = f"{request.server}.{request.name}"
        batch.running[request.approval_request_id] = name
        self._emit(events.JudgeTool(request.approval_request_id, name, request.arguments))

    def finish(self, function_call_id: str, output: events.ToolOutput, *, now: float) -> None:
        """Take a tool's output; it goes to the model at once, whatever has become of the response that wanted it."""
        found = next((each for each in self._batches.items() if function_call_id in each[1].running), None)
        if found is None:
            return
        response_id, batch = found
        name = batch.running.pop(function_call_id)
        if isinstance(output, Approval):
            self._session.send_approval(function_call_id, output.is_given, output.reason)
        else:
            self._emit(events.ToolReturned(name, output, function_call_id))
            self._session.send_tool_output(function_call_id, output)
        if function_call_id in batch.messages:
            self._note_message(batch.messages.pop(function_call_id), output)
        if name != HOLD.name and set(batch.running.values()) == {HOLD.name}:
            self.end_hold("result", now=now)  # it was for this that the caller waited
        self._settle(response_id, batch)

    def response_over(self, response_id: str, *, has_spoken: bool = False) -> None:
        """Take note that a response is over, and with it the list of its calls."""
        batch = self._batches.get(response_id)
        if batch is not None:
            batch.is_over = True
            batch.has_spoken = has_spoken
            self._settle(response_id, batch)

    def end_hold(self, why: End, *, now: float) -> None:
        """Take the caller back, if he is on hold."""
        waited = self._waiting.end(why, now=now)
        if waited is not None:
            self._emit(events.HoldEnded(waited.end, waited.seconds))
            self.finish(waited.function_call_id, waited.output, now=now)

    def interrupt(self, response_id: str) -> None:
        """Take note that the caller interrupted a response.

        What it called and is not begun is not run, and nobody asked for words about what the rest comes to.
        """
        batch = self._batches.get(response_id)
        if batch is None:
            return
        while batch.called:
            self._session.send_tool_output(batch.called.pop().function_call_id, NOT_RUN)
        batch.is_interrupted |= not batch.is_asking
        self._settle(response_id, batch)

    def forgive(self) -> None:
        """Take note that the caller said nothing after all: what he interrupted is still wanted."""
        for batch in self._batches.values():
            batch.is_interrupted = False
        self.owes_response |= self._withholds

    def asked(self) -> None:
        """Take note that the model is asked for a response, which may speak of everything that is in."""
        self.owes_response = self._withholds = False

    def take_wish(self) -> tuple[str, str] | None:
        """Take :attr:`wish`, which is none any more."""
        wish, self.wish = self.wish, None
        return wish

    def take_digit(self, digit: str, *, now: float) -> bool:
        """Take a key of the caller's, if a tool waits for it; say whether one does."""
        return self._collecting.take(digit, now=now)

    def handle_timer(self, *, queued_ms: int, now: float) -> None:
        """Hand over a number that is complete; take back a caller who has waited long enough."""
        if now >= self._waiting.due_at:
            self.end_hold("time", now=now)
        collected = self._collecting.handle_timer(queued_ms=queued_ms, now=now)
        if collected is not None:
            self.finish(*collected, now=now)

    def _begin_keys(self, call: FunctionCallRequested, queued_ms: int, now: float) -> None:
        pressed = self._keypad.take() if call.name == COLLECT_DIGITS.name else ""
        output = self._collecting.start(
            call.function_call_id, call.name, call.arguments, pressed=pressed, queued_ms=queued_ms, now=now
        )
        if output is not None:
            self.finish(call.function_call_id, output, now=now)

    def _begin_own(self, call: FunctionCallRequested, queued_ms: int, now: float) -> None:
        if call.name == NOTE.name:
            output: str | None = self._note(call.arguments)
        else:
            output = self._waiting.begin(call.function_call_id, call.arguments, queued_ms=queued_ms, now=now)
            if output is None:
                self._emit(events.HoldBegan())
        if output is not None:
            self.finish(call.function_call_id, output, now=now)

    def _note(self, arguments: str) -> str:
        try:
            text = NOTE.parse_arguments(arguments)["text"]
        except ToolArgumentError as error:
            return str(error)
        self._emit(events.NoteTaken(" ".join(text.split())))
        return NOTED

    def _note_message(self, arguments: str, output: events.ToolOutput) -> None:
        """Tell of a message that is kept; its arguments were read before, or it were not."""
        if output == MESSAGE_KEPT:
            given = json.loads(arguments)
            self._emit(events.MessageTaken(given["name"], given.get("number") or "", given["text"]))

    def _settle(self, response_id: str, batch: _Batch) -> None:
        if batch.called or batch.running or not batch.is_over or self._batches.pop(response_id, None) is None:
            return
        needs_words = batch.needs_words or batch.ends_in_hosted or (batch.is_silent and not batch.has_spoken)
        if needs_words and batch.is_interrupted:
            self._withholds = True
        else:
            self.owes_response |= needs_words
