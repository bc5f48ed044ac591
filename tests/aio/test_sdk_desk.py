"""The SDK's own session beside a call that is not there: what it is given, and what it wants of the call."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, cast

import pytest

pytest.importorskip("agents", reason="the extra agents")

from agents import GuardrailFunctionOutput, RunContextWrapper, function_tool, output_guardrail
from agents.realtime import RealtimeAgent
from loopback import until

from sipagent.agent.tools import CallInfo, ToolError
from sipagent.aio.call_handle import CallHandle
from sipagent.aio.sdk_desk import AMEND, FAILED, NOT_HANDED_OVER, Desk
from sipagent.call.events import AgentChanged, AgentKept, AgentSaid, AgentWrote
from sipagent.call.feed import CallEvent

STORY = "Once upon a time, in a small town by the sea, "


@function_tool
def whose(context: RunContextWrapper[CallInfo]) -> str:
    """Tell whose call it is."""
    return context.context.caller


@function_tool(needs_approval=True)
def cancel() -> str:
    """Cancel an order."""
    return "cancelled"


@function_tool(failure_error_function=None)
def break_down() -> str:
    """Fail."""
    raise ValueError("a bug of the user's")


@function_tool
async def wait() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return ""


@output_guardrail
async def no_stories(context: Any, agent: Any, output: str) -> GuardrailFunctionOutput:
    return GuardrailFunctionOutput(output_info=None, tripwire_triggered="Once upon" in output)


@function_tool
def balance() -> str:
    """Tell what is owed."""
    return "80 euros"


billing = RealtimeAgent(name="Billing", instructions="You are billing.", tools=[balance])
triage = RealtimeAgent(
    name="Triage",
    instructions="You are the reception.",
    tools=[whose, cancel, break_down, wait],
    handoffs=[billing],
    output_guardrails=[no_stories],
)


class FakeHandle:
    """A call of which it is noted what is wanted of it."""

    def __init__(self) -> None:
        self.facts: asyncio.Queue[object] = asyncio.Queue()
        self.wanted: list[Any] = []
        self.problem: str | None = ""
        """Why no other agent may come; ``None`` lets the question stand."""

    async def events(self) -> AsyncIterator[CallEvent]:
        while (fact := await self.facts.get()) is not None:
            yield CallEvent("call", 0.0, cast(Any, fact))

    async def interrupt(self) -> None:
        self.wanted.append("interrupt")

    async def send_event(self, event: Any) -> None:
        self.wanted.append(event)

    async def prompt(self, instructions: str) -> None:
        self.wanted.append(instructions)

    async def update_agent(self, agent: str) -> None:
        self.wanted.append(f"be {agent}")
        if self.problem is not None:
            fact = AgentKept(agent, self.problem) if self.problem else AgentChanged("Triage", agent)
            self.facts.put_nowait(fact)


class World:
    """A desk, its call, and what it reported."""

    def __init__(self) -> None:
        self.handle = FakeHandle()
        self.prepared: list[tuple[str, str, list[str]]] = []
        self.reports: list[BaseException] = []
        self.desk = Desk(
            triage,
            cast(CallHandle, self.handle),
            info=CallInfo("call", caller="sip:alice@example.com"),
            prepare=self._prepare,
            report=lambda _, error: self.reports.append(error),
        )

    async def outcome_of(self, tool: str) -> str:
        try:
            return await self.desk.use(tool, "{}")
        except ToolError as error:
            return str(error)

    def _prepare(self, name: str, words: str, tools: Sequence[Any], handoffs: Sequence[Any]) -> None:
        self.prepared.append((name, words, [tool.name for tool in tools]))


def run(scene: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """Play a scene, and end the call."""

    async def main() -> World:
        world = World()
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(world.desk.run())
            try:
                await scene(world)
            finally:
                world.handle.facts.put_nowait(None)
        return world

    return asyncio.run(main())


def test_a_tool_runs_in_the_context_of_its_call() -> None:
    async def scene(world: World) -> None:
        assert await world.desk.use("whose", "{}") == "sip:alice@example.com"
        assert await world.desk.use("cancel", "{}") == "cancelled", "it was approved before it came here"
        assert await world.desk.use("nobody", "{}") == "Tool nobody not found"

    world = run(scene)
    assert [str(error) for error in world.reports] == ["{'message': 'Tool nobody not found'}"]


def test_a_hand_off_is_done_when_the_model_has_confirmed_it() -> None:
    async def scene(world: World) -> None:
        world.handle.problem = None
        async with asyncio.TaskGroup() as group:
            handing = group.create_task(world.desk.use("transfer_to_billing", "{}"))
            await until(lambda: world.handle.wanted)
            assert not handing.done()
            world.handle.facts.put_nowait(AgentChanged("Triage", "Billing"))
        assert handing.result() == '{"assistant": "Billing"}'
        assert await world.desk.use("balance", "{}") == "80 euros"
        assert await world.desk.use("whose", "{}") == "Tool whose not found"

    world = run(scene)
    assert world.prepared == [("Billing", "You are billing.", ["balance"])]
    assert world.handle.wanted == ["be Billing"]


def test_who_is_not_let_go_stays() -> None:
    async def scene(world: World) -> None:
        world.handle.problem = "no"
        with pytest.raises(ToolError, match=NOT_HANDED_OVER):
            await world.desk.use("transfer_to_billing", "{}")
        assert await world.desk.use("whose", "{}") == "sip:alice@example.com"
        world.handle.problem = ""
        assert await world.desk.use("transfer_to_billing", "{}") == '{"assistant": "Billing"}', "it may be tried again"

    run(scene)


TOOLS = ("wait", "break_down")


def test_a_bug_of_a_tool_costs_what_runs_and_no_more() -> None:
    async def scene(world: World) -> None:
        results = await asyncio.gather(*(world.desk.use(name, "{}") for name in TOOLS), return_exceptions=True)
        assert [str(each) for each in results] == [FAILED, FAILED]
        assert all(isinstance(each, ToolError) for each in results)
        assert await world.desk.use("whose", "{}") == "sip:alice@example.com"

    world = run(scene)
    assert any("a bug of the user's" in str(error) for error in world.reports)


def test_a_guardrail_stops_the_agent_and_says_why() -> None:
    async def scene(world: World) -> None:
        world.handle.facts.put_nowait(AgentWrote("item_1", STORY[:25]))
        world.handle.facts.put_nowait(AgentWrote("item_1", STORY[25:]))
        await until(lambda: AMEND in world.handle.wanted)
        world.handle.facts.put_nowait(AgentWrote("item_1", STORY))
        assert await world.desk.use("whose", "{}"), "the SDK has had its turn"

    world = run(scene)
    content = [{"type": "input_text", "text": "guardrail triggered: no_stories"}]
    item = {"type": "message", "role": "user", "content": content}
    assert world.handle.wanted == ["interrupt", {"type": "conversation.item.create", "item": item}, AMEND]


def test_what_was_heard_to_its_end_is_not_cut() -> None:
    async def scene(world: World) -> None:
        for fact in (AgentWrote("item_1", STORY), AgentSaid(STORY, 3000, False, "item_1")):
            world.handle.facts.put_nowait(fact)
        await until(lambda: AMEND in world.handle.wanted)

    assert "interrupt" not in run(scene).handle.wanted


def test_the_end_of_the_call_ends_what_runs() -> None:
    async def scene(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(world.outcome_of("wait"))
            await world.desk.use("whose", "{}")
            world.handle.facts.put_nowait(None)
        assert waiting.result() == "The call is over."

    run(scene)


def test_an_agent_of_ours_takes_the_call() -> None:
    async def scene(world: World) -> None:
        world.handle.facts.put_nowait(AgentChanged("Triage", "ours"))
        world.handle.facts.put_nowait(AgentWrote("item_1", STORY))
        with pytest.raises(ToolError):
            await world.desk.use("transfer_to_billing", "{}")

    assert run(scene).handle.wanted == []
