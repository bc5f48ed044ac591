"""One call's session of the OpenAI Agents SDK. For the SDK this is the model; the audio never comes here.

The SDK runs tools, hand-offs and guardrails (realtime-api.md, section 6.5). What our model calls is given to it, and so
are the words of our agent; what it sends comes back: outputs of tools, another agent's settings, an interruption. A
session that fails costs what it was running, and another one takes its place; the call goes on.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Protocol

from agents import FunctionTool, Handoff, Tool
from agents.realtime import (
    RealtimeAgent,
    RealtimeError,
    RealtimeHandoffEvent,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeModelListener,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolApprovalRequired,
)
from agents.realtime.config import RealtimeSessionModelSettings
from agents.realtime.model_events import (
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from agents.realtime.model_inputs import RealtimeModelSendEvent, RealtimeModelUserInput

from sipagent.agent.tools import CallInfo, ToolError
from sipagent.aio.call_handle import CallHandle
from sipagent.call.events import AgentChanged, AgentKept, AgentSaid, AgentWrote
from sipagent.errors import LocalProtocolError, SipagentError

REST_S: Final = 0.02
"""Before another session takes the place of one that failed; twice as long each time."""

MAX_REST_S: Final = 5.0
"""A call is never without its guardrails for longer."""

MAX_UNHEARD: Final = 64
"""Items whose words are known and that may still be played; a response has one or two."""

MAX_UNJUDGED: Final = 1_000
"""Pieces of what the agent says while there is no session; a minute has some two hundred."""

GUARDED_CHARACTERS: Final = 40
"""After so many more, the guardrails judge again what was said: three seconds of speech. The SDK's own 100 are more
than most sentences on a telephone have, and what is left of an item below that is never judged."""

RUN: Final[RealtimeRunConfig] = {
    "tracing_disabled": True,
    "guardrails_settings": {"debounce_text_length": GUARDED_CHARACTERS},
}

FAILED: Final = "The tool failed."

NOT_HANDED_OVER: Final = "The call could not be handed over; you are still with the caller. Say so, and go on yourself."

AMEND: Final = (
    "A check has cut off what you were saying, and told you why. Don't say it again: tell the caller in one short "
    "sentence that you can't speak of that, and go on with what he wants."
)


class RefusedError(SipagentError):
    """The call stays with the agent that has it."""


class BecomeAgent(Protocol):
    """Makes another agent of the SDK ready to take the call over."""

    def __call__(self, name: str, words: str, tools: Sequence[Tool], handoffs: Sequence[Handoff[Any, Any]]) -> None:
        """Have it be the one that :meth:`CallHandle.update_agent` means next.

        :raises SipagentError: when it has something that can't be in a call.
        """


class Desk(RealtimeModel):
    """One a call.

    :param agent: who begins.
    :param prepare: makes the next agent ready.
    :param report: is told what failed, and what it raised.
    """

    def __init__(
        self,
        agent: RealtimeAgent[Any],
        handle: CallHandle,
        *,
        info: CallInfo,
        prepare: BecomeAgent,
        report: Callable[[str, BaseException], None],
    ) -> None:
        self._handle = handle
        self._info = info
        self._prepare = prepare
        self._report = report
        self._known: dict[str, RealtimeAgent[Any]] = {agent.name: agent}
        self._seat = agent.name
        """Who has the call, as the model has confirmed it."""
        self._listener: RealtimeModelListener | None = None
        self._ready = asyncio.Event()
        self._is_closed = False
        self._handoffs: dict[str, str] = {}
        """The tools that hand over, and to whom."""
        self._numbers = count(1)
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._handing = asyncio.Lock()
        self._next: str | None = None
        """Whom a hand-off that runs is to."""
        self._coming = ""
        """Whom the model is being asked to be."""
        self._outcome: asyncio.Future[str] | None = None
        """What becomes of a hand-off: nothing wrong, or what is."""
        self._item = ""
        self._unheard: dict[str, None] = {}
        self._unjudged: deque[AgentWrote] = deque(maxlen=MAX_UNJUDGED)
        self._is_away = False
        """Whether a program of the user's gave the call to an agent of ours."""

    # The call's side

    async def run(self) -> None:
        """Take part in the call, from its answer to its end."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve())
            try:
                async for event in self._handle.events():
                    await self._take(event.fact)
            finally:
                self._is_closed = True
                serving.cancel()
                self._fail("The call is over.")

    async def use(self, name: str, arguments: str) -> str:
        """Have the SDK run a tool, or hand over; return what is told to the model.

        :param arguments: JSON.
        :raises ToolError: when nothing comes of it.
        """
        await self._ready.wait()
        if name not in self._handoffs:
            return await self._ask(name, arguments)
        async with self._handing:
            self._next = self._handoffs.get(name)
            try:
                return await self._ask(name, arguments)
            finally:
                self._next = None

    async def _ask(self, name: str, arguments: str) -> str:
        await self._ready.wait()
        function_call_id = f"call_{next(self._numbers)}"
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[function_call_id] = answer
        try:
            if self._is_closed:
                raise ToolError(FAILED)
            await self._tell(RealtimeModelToolCallEvent(name=name, call_id=function_call_id, arguments=arguments))
            return await answer
        finally:
            del self._waiting[function_call_id]

    async def _take(self, fact: object) -> None:
        match fact:
            case AgentWrote() if not self._is_away:
                self._unjudged.append(fact)
                self._await_end(fact.item_id)
                await self._judge()
            case AgentSaid():
                self._unheard.pop(fact.item_id, None)
            case AgentChanged(_, agent):
                self._is_away = agent != self._coming or not self._settle("")
            case AgentKept(agent, problem) if agent == self._coming:
                self._settle(problem or NOT_HANDED_OVER)

    def _await_end(self, item_id: str) -> None:
        """Take note that something is being said, until it was heard."""
        self._unheard[item_id] = None
        while len(self._unheard) > MAX_UNHEARD:
            del self._unheard[next(iter(self._unheard))]

    async def _judge(self) -> None:
        """Tell the guardrails what they have not heard, if there are any now."""
        while self._unjudged and self._ready.is_set():
            words = self._unjudged.popleft()
            await self._hear(words.item_id, words.text)

    async def _hear(self, item_id: str, text: str) -> None:
        """Let the guardrails judge; an item stands for its response, for it is what can be cut."""
        if item_id != self._item:
            if self._item:
                await self._tell(RealtimeModelTurnEndedEvent(response_id=self._item))
            self._item = item_id
            await self._tell(RealtimeModelTurnStartedEvent(response_id=item_id))
        await self._tell(RealtimeModelTranscriptDeltaEvent(item_id=item_id, delta=text, response_id=item_id))

    def _settle(self, problem: str) -> bool:
        """Take note of what became of a hand-off; say whether there is one."""
        outcome = self._outcome
        if outcome is None or outcome.done():
            return False
        outcome.set_result(problem)
        return True

    def _fail(self, sentence: str) -> None:
        """Nothing comes any more of what is running."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ToolError(sentence))
        self._settle(sentence)
        if self._is_closed:
            self._ready.set()

    async def _tell(self, event: RealtimeModelEvent) -> None:
        if self._listener is not None:
            await self._listener.on_event(event)

    # The SDK's session

    async def _serve(self) -> None:
        rest_s = REST_S
        while True:
            try:
                await self._hold_session()
            except RefusedError as error:
                self._report("hand-off", error)
                self._fail(NOT_HANDED_OVER)
            except Exception as error:  # noqa: BLE001 - whatever the user's agent does, the call goes on
                self._report("agents sdk", error)
                self._fail(FAILED)
            await asyncio.sleep(rest_s)
            rest_s = min(2 * rest_s, MAX_REST_S)

    async def _hold_session(self) -> None:
        runner = RealtimeRunner(self._known[self._seat], model=self, config=RUN)
        async with await runner.run(context=self._info) as session:
            await self._judge()
            async for event in session:
                await self._follow(session, event)

    async def _follow(self, session: RealtimeSession, event: RealtimeSessionEvent) -> None:
        match event:
            case RealtimeHandoffEvent():
                self._known[event.to_agent.name] = event.to_agent
            case RealtimeToolApprovalRequired():  # our own policy was asked before, and said yes
                await session.approve_tool_call(event.call_id)
            case RealtimeError():
                self._report("agents sdk", SipagentError(str(event.error)))

    # What the SDK has of its model

    async def connect(self, options: RealtimeModelConfig) -> None:
        """Be ready."""
        settings = options.get("initial_model_settings") or {}
        self._handoffs = _names_of_handoffs(settings)
        self._item = ""
        self._ready.set()

    def add_listener(self, listener: RealtimeModelListener) -> None:
        """Tell this one; a session is the only one there is."""
        self._listener = listener

    def remove_listener(self, listener: RealtimeModelListener) -> None:
        """Tell this one no more."""
        if self._listener is listener:
            self._listener = None

    async def close(self) -> None:
        """Be no model any more: the session is over."""
        self._ready.clear()

    async def send_event_if(self, event: RealtimeModelSendEvent, send_if: Callable[[], bool]) -> bool:
        """Send it if it is still wanted: nothing happens between the question and the call's taking of it."""
        if not send_if():
            return False
        await self.send_event(event)
        return True

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        """Carry out what the SDK wants of the model.

        :raises SipagentError: when it can't be.
        """
        match event:
            case RealtimeModelSendToolOutput():
                answer = self._waiting.get(event.tool_call.call_id)
                if answer is not None and not answer.done():
                    answer.set_result(event.output)
            case RealtimeModelSendSessionUpdate():
                await self._hand_over(event.session_settings)
            case RealtimeModelSendInterrupt():
                await self._interrupt(event)
            case RealtimeModelSendUserInput():
                await self._amend(event.user_input)
            case RealtimeModelSendRawMessage():
                await self._handle.send_event({"type": event.message["type"], **event.message.get("other_data", {})})
            case RealtimeModelSendAudio():
                raise LocalProtocolError("audio comes by the telephone, and not through the Agents SDK")

    async def _hand_over(self, settings: RealtimeSessionModelSettings) -> None:
        """Have the model be the next agent; return when it has confirmed that it is."""
        try:
            await self._become(settings)
        except SipagentError as error:
            refused = RefusedError(str(error))
            await self._tell(RealtimeModelExceptionEvent(refused))  # the session holds the next one for the present one
            raise refused from error

    async def _become(self, settings: RealtimeSessionModelSettings) -> None:
        name = self._next
        if name is None or self._is_away:
            raise RefusedError("nobody waits for this hand-off any more")
        self._prepare(name, settings.get("instructions", ""), settings.get("tools", []), settings.get("handoffs", []))
        self._coming, self._outcome = name, asyncio.get_running_loop().create_future()
        await self._handle.update_agent(name)
        problem = await self._outcome
        if problem:
            raise RefusedError(problem)
        self._seat = name
        self._handoffs = _names_of_handoffs(settings)

    async def _interrupt(self, event: RealtimeModelSendInterrupt) -> None:
        """Silence the agent, unless what is meant was heard to its end already, and something else is being said."""
        if event.cancel_response_only or (event.response_id is not None and event.response_id not in self._unheard):
            return
        await self._handle.interrupt()

    async def _amend(self, words: RealtimeModelUserInput) -> None:
        """Tell the model why a guardrail stopped it, and let it speak."""
        content = [{"type": "input_text", "text": words}] if isinstance(words, str) else words["content"]
        item = {"type": "message", "role": "user", "content": content}
        await self._handle.send_event({"type": "conversation.item.create", "item": item})
        await self._handle.prompt(AMEND)


def function_tools(tools: Sequence[Tool]) -> list[FunctionTool]:
    """Return the tools, all of which must be functions.

    :raises SipagentError: when one is of another kind.
    """
    found = [tool for tool in tools if isinstance(tool, FunctionTool)]
    if len(found) < len(tools):
        other = next(tool for tool in tools if not isinstance(tool, FunctionTool))
        raise SipagentError(f"{other.name}: in a call, the Agents SDK runs function tools only")
    return found


def _names_of_handoffs(settings: RealtimeSessionModelSettings) -> dict[str, str]:
    return {handoff.tool_name: handoff.agent_name for handoff in settings.get("handoffs", [])}
