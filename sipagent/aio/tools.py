"""Runs the tools of a call: a coroutine function as a task, any other function in a thread of its own.

The model always gets an answer it can speak of. A tool that takes too long is left behind: a task is cancelled, a
thread cannot be, so it keeps its place until it returns; it is a daemon, so it keeps nothing else, not even our exit.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any

import msgspec

from sipagent.agent.approval import Approval, ApprovalPolicy, explain_refusal
from sipagent.agent.tools import CallInfo, Tool, ToolArgumentError, ToolError
from sipagent.aio.time_limit import TimeLimit

MAX_RUNNING = 64
"""Tools at once, each of which may hold a thread; for all runners that share their places."""

MAX_STARTED = 16
"""Tools of one call that run or wait for a place; a model that asks for more is out of its mind."""

MAX_OUTPUT_CHARACTERS = 16_000
"""An output is cut here: some 4,000 tokens, an eighth of the smallest model's context."""

Finished = Callable[[str], None]


def make_places(count: int = MAX_RUNNING) -> asyncio.Semaphore:
    """Places for tools to run in, to be shared by the runners of all calls: only so are hung threads bounded."""
    return asyncio.Semaphore(count)


class ToolRunner:
    """One for each call.

    :param report: is told the name of a tool that failed, and what it raised.
    :param call: what tools may know of the call.
    :param approval: who is asked about tools that need it.
    :param places: what :func:`make_places` made; without it, the runner's own.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        report: Callable[[str, BaseException], None],
        call: CallInfo | None = None,
        approval: ApprovalPolicy | None = None,
        places: asyncio.Semaphore | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._report = report
        self._call = call or CallInfo(call_id="")
        self._approval = approval or ApprovalPolicy()
        self._places = places or make_places()
        self._tasks: set[asyncio.Task[None]] = set()

    def change(self, tools: Iterable[Tool], call: CallInfo, approval: ApprovalPolicy) -> None:
        """From now on, another agent's tools are run; what runs is not stopped."""
        self._approval = approval
        self._tools = {tool.name: tool for tool in tools}
        self._call = call

    def run(self, name: str, arguments: str, finished: Finished) -> None:
        """Start a tool; ``finished`` gets what :meth:`output_of` returns, unless :meth:`cancel_all` stops it.

        It is never called before this method returns.
        """
        if len(self._tasks) >= MAX_STARTED:
            sentence = f"The tool {name} cannot run now: too many are running."
            asyncio.get_running_loop().call_soon(finished, sentence)
        else:
            self._start(name, self._run(name, arguments, finished))

    def judge(self, name: str, arguments: str, finished: Callable[[Approval], None]) -> None:
        """Ask whether a tool may run that runs elsewhere; as :meth:`run` for the rest."""
        if len(self._tasks) >= MAX_STARTED:
            asyncio.get_running_loop().call_soon(finished, Approval(False, "too many tools are running"))
        else:
            self._start(name, self._judge(name, arguments, finished))

    def cancel_all(self) -> None:
        """Stop every tool; nobody wants its output any more."""
        for task in self._tasks:
            task.cancel()

    async def output_of(self, name: str, arguments: str) -> str:
        """Run a tool on the JSON that the model wrote.

        :returns: a string as it is, anything else as JSON; where that fails, a sentence for the model. The tool's time
            is the caller's time, so it runs while the tool waits for a place.
        """
        tool = self._tools.get(name)
        if tool is None:
            return f"There is no tool {name}."
        try:
            values = tool.parse_arguments(arguments, self._call)
        except ToolArgumentError as error:
            return str(error)
        if tool.needs_approval and (refusal := await self._refusal_of(tool, values)) is not None:
            return refusal
        limit = TimeLimit(tool.timeout_s)
        try:
            async with limit:
                result = await self._in_its_place(tool, values)
            return _as_text(result)
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # the call goes on
            if _is_being_cancelled():
                raise
            self._report(name, error)
            if isinstance(error, ToolError):
                return _as_text(str(error))
            if limit.is_up:
                return f"The tool {name} took longer than {tool.timeout_s:g} seconds and was given up."
            return f"The tool {name} failed."

    async def approval_of(self, name: str, values: Mapping[str, Any]) -> Approval:
        """Ask whether a tool may run; who does not answer in time, or fails, has not said yes."""
        policy, hook = self._approval, self._approval.hook
        if hook is None:
            return policy.read(None)
        limit = TimeLimit(policy.timeout_s)
        try:
            async with limit:
                await self._places.acquire()
                if not policy.is_async:
                    return policy.read(await self._in_thread(name, partial(hook, name, values, self._call)))
                try:
                    return policy.read(await hook(name, values, self._call))
                finally:
                    self._places.release()
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # the call goes on
            if _is_being_cancelled():
                raise
            self._report(name, error)
            return Approval(False, "nobody could be asked" if not limit.is_up else "nobody answered in time")

    async def _refusal_of(self, tool: Tool, values: dict[str, Any]) -> str | None:
        shown = {key: value for key, value in values.items() if key != tool.arguments.injected_name}
        approval = await self.approval_of(tool.name, shown)
        return None if approval.is_given else explain_refusal(tool.name, approval)

    async def _judge(self, name: str, arguments: str, finished: Callable[[Approval], None]) -> None:
        try:
            values = msgspec.json.decode(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            values = None
        if isinstance(values, dict):
            finished(await self.approval_of(name, values))
        else:
            finished(Approval(False, "its arguments are no JSON object"))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"tool {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, name: str, arguments: str, finished: Finished) -> None:
        finished(await self.output_of(name, arguments))

    async def _in_its_place(self, tool: Tool, values: dict[str, Any]) -> Any:
        await self._places.acquire()
        if not tool.is_async:
            return await self._in_thread(tool.name, partial(tool.function, **values))
        try:
            return await tool.function(**values)
        finally:
            self._places.release()

    async def _in_thread(self, name: str, function: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        context = copy_context()
        outcome: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            self._places.release()
            if not outcome.done():
                outcome.set_result((result, error))

        def work() -> None:
            result, error = None, None
            try:
                result = context.run(function)
            except BaseException as raised:  # noqa: BLE001  # it is raised again where the tool is awaited
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
                loop.call_soon_threadsafe(settle, result, error)

        try:
            Thread(target=work, name=f"tool {name}", daemon=True).start()
        except RuntimeError:  # the system has no more threads
            self._places.release()
            raise
        result, error = await outcome
        if error is not None:
            raise error
        return result


def _is_being_cancelled() -> bool:
    """Whether the present task is, and not just something that a tool awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _as_text(result: Any) -> str:
    text = result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=str).decode()
    return text if len(text) <= MAX_OUTPUT_CHARACTERS else text[:MAX_OUTPUT_CHARACTERS] + " (cut)"
