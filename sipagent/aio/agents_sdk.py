"""An agent of the OpenAI Agents SDK as one of ours: its words and its tools are the model's, and the SDK runs them.

A tool that is a plain function the SDK runs in a thread of the loop's own pool, which all calls share and which our
exit waits for: one that may hang is better a coroutine function.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Any, Final

import msgspec
from agents import FunctionTool, Handoff, RunContextWrapper
from agents import Tool as SdkTool
from agents.realtime import RealtimeAgent, realtime_handoff

from sipagent.agent.agent import Agent
from sipagent.agent.tools import DEFAULT_TIMEOUT_S, NAME, CallInfo, Tool, ToolError
from sipagent.aio.call_handle import CallHandle
from sipagent.aio.driver import Driver
from sipagent.aio.line import Line
from sipagent.aio.sdk_desk import Desk, function_tools
from sipagent.call import events
from sipagent.call.commands import Commands
from sipagent.call.succession import AgentChange
from sipagent.errors import SipagentError

NOT_THERE: Final = "The tool can't be run in this call."


class PassedOn:
    """Arguments that the SDK reads itself."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.injected_name: str | None = "call"

    def convert(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return them as they came."""
        return {"arguments": msgspec.json.encode(values).decode()}


class SdkAgent:
    """One agent of the configuration, with all those to whom it hands over.

    :raises SipagentError: when it has what can't be in a call.
    """

    def __init__(self, name: str, agent: object) -> None:
        if not isinstance(agent, RealtimeAgent):
            raise SipagentError(f"agent {name}: expected a RealtimeAgent of the Agents SDK, not {type(agent).__name__}")
        if agent.prompt is not None or agent.mcp_servers:
            raise SipagentError(f"agent {name}: a prompt or mcp_servers can't be in a call; mcp of the file can")
        if iscoroutinefunction(agent.instructions):
            raise SipagentError(f"agent {name}: who begins has instructions that are a text or a plain function")
        self._agent = agent
        self._desks: dict[str, Desk] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            tools = self._make_tools(_enabled(agent.tools), _handoffs_of(agent))
        except SipagentError as error:
            raise SipagentError(f"agent {name}: {error}") from error
        self.agent = Agent(name=name, instructions=self._instruct, tools=tools)
        """As if it were written for us."""

    def follow(
        self,
        commands: Commands,
        driver: Driver[events.Output],
        *,
        info: CallInfo,
        line: Line,
        hire: Callable[[Line], AgentChange],
        report: Callable[[str, BaseException], None],
    ) -> CallHandle:
        """Take part in a call; as :class:`~sipagent.aio.line.Companion` says."""
        coming: list[Line] = []
        own = tuple(tool for tool in line.tools if not isinstance(tool.arguments, PassedOn))

        def prepare(name: str, words: str, tools: Sequence[SdkTool], handoffs: Sequence[Handoff[Any, Any]]) -> None:
            coming[:] = [become(line, name, words, own, self._make_tools(tools, handoffs))]

        def begin(handle: CallHandle) -> None:
            desk = Desk(self._agent, handle, info=info, prepare=prepare, report=report)
            self._desks[info.call_id] = desk
            task = asyncio.get_running_loop().create_task(
                self._run(info.call_id, desk, report), name=f"agents sdk of call {info.call_id}"
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return CallHandle(commands, driver, info=info, find=lambda _: hire(coming.pop()), answered=begin)

    async def _run(self, call_id: str, desk: Desk, report: Callable[[str, BaseException], None]) -> None:
        try:
            await desk.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the call goes on
            report("agents sdk", error)
        finally:
            del self._desks[call_id]

    async def _use(self, name: str, *, call: CallInfo, arguments: str) -> str:
        desk = self._desks.get(call.call_id)
        if desk is None:
            raise ToolError(NOT_THERE)
        return await desk.use(name, arguments)

    def _instruct(self, call: CallInfo) -> str:
        words: str | Awaitable[str] | None = (
            self._agent.instructions(RunContextWrapper(call), self._agent)
            if callable(self._agent.instructions)
            else self._agent.instructions
        )
        if isawaitable(words):
            if iscoroutine(words):
                words.close()
            raise SipagentError("who begins has instructions that are a text or a plain function")
        return words or ""

    def _make_tools(self, tools: Sequence[SdkTool], handoffs: Sequence[Handoff[Any, Any]]) -> list[Tool]:
        made = [
            self._make_tool(
                tool.name,
                tool.description,
                tool.params_json_schema,
                timeout_s=tool.timeout_seconds or DEFAULT_TIMEOUT_S,
                needs_approval=tool.needs_approval is not False,
            )
            for tool in function_tools(tools)
        ]
        return made + [
            self._make_tool(handoff.tool_name, handoff.tool_description, handoff.input_json_schema)
            for handoff in handoffs
        ]

    def _make_tool(
        self,
        name: str,
        description: str,
        schema: dict[str, Any],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        needs_approval: bool = False,
    ) -> Tool:
        if not NAME.fullmatch(name):
            raise SipagentError(f"tool {name!r}: a name has 1 to 64 letters, digits, _ or -")
        function: Callable[..., Coroutine[Any, Any, str]] = partial(self._use, name)
        return Tool(name, description, function, PassedOn(schema), timeout_s, needs_approval)


def become(line: Line, name: str, words: str, own: Sequence[Tool], tools: Sequence[Tool]) -> Line:
    """Return the line with another agent of the SDK; what the file says of the first one holds for it as well."""
    names = {tool.name for tool in own}
    all_tools = (*own, *(tool for tool in tools if tool.name not in names))
    session = line.call.conversation.session
    hosted = [each for each in session.tools if each.get("type") != "function"]
    session = replace(session, tools=(*(tool.definition for tool in all_tools), *hosted))
    return replace(
        line,
        agent=name,
        tools=all_tools,
        call=replace(line.call, conversation=replace(line.call.conversation, session=session)),
        profile=None if line.profile is None else replace(line.profile, instructions=lambda _: words, greeting=None),
    )


def _enabled(tools: Sequence[SdkTool]) -> list[SdkTool]:
    """Those that are not switched off for good; whether the others may be used is asked when they are."""
    return [tool for tool in tools if not (isinstance(tool, FunctionTool) and tool.is_enabled is False)]


def _handoffs_of(agent: RealtimeAgent[Any]) -> list[Handoff[Any, RealtimeAgent[Any]]]:
    made = [each if isinstance(each, Handoff) else realtime_handoff(each) for each in agent.handoffs]
    return [handoff for handoff in made if handoff.is_enabled is not False]
