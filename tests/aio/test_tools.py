import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sipagent.agent.tools import CallInfo, Tool, tool
from sipagent.aio.tools import MAX_OUTPUT_CHARACTERS, MAX_STARTED, ToolRunner, make_places

CALL = CallInfo("a1b2", caller="sip:ada@example.com")
WHERE: contextvars.ContextVar[str] = contextvars.ContextVar("where")


@dataclass(frozen=True)
class Order:
    """What a tool may return."""

    number: int


class Bench:
    """A runner and what it reported."""

    def __init__(self, *tools: Tool, places: int = 4) -> None:
        self.reports: list[tuple[str, BaseException]] = []
        self.places = make_places(places)
        self.runner = ToolRunner(tools, report=self.report, call=CALL, places=self.places)

    def report(self, name: str, error: BaseException) -> None:
        self.reports.append((name, error))


def output_of(each: Tool, arguments: str = "{}") -> tuple[str, list[tuple[str, BaseException]]]:
    """Run one tool to its end, and see that its place is free again."""

    async def main() -> tuple[str, list[tuple[str, BaseException]]]:
        bench = Bench(each, places=1)
        output = await bench.runner.output_of(each.name, arguments)
        assert not bench.places.locked()
        return output, bench.reports

    return asyncio.run(main())


def returning(value: Any) -> list[Tool]:
    """The same tool, sync and async."""

    def sync() -> Any:
        return value

    async def coroutine() -> Any:
        return value

    return [tool(name="give")(sync), tool(name="give")(coroutine)]


def raising(error: BaseException) -> list[Tool]:
    def sync() -> Any:
        raise error

    async def coroutine() -> Any:
        raise error

    return [tool(name="give")(sync), tool(name="give")(coroutine)]


@pytest.mark.parametrize(
    ("value", "output"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (None, "null"),
        (3.5, "3.5"),
        ({"a": [1, True]}, '{"a":[1,true]}'),
        (Order(7), '{"number":7}'),
        ({"odd": complex(1, 2)}, '{"odd":"(1+2j)"}'),
        ("x" * (MAX_OUTPUT_CHARACTERS + 1), "x" * MAX_OUTPUT_CHARACTERS + " (cut)"),
    ],
)
def test_the_output_is_text(value: Any, output: str) -> None:
    for each in returning(value):
        assert output_of(each) == (output, [])


@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), SystemExit(1), asyncio.CancelledError(), TimeoutError(), StopIteration(), KeyError()],
)
def test_what_a_tool_raises_makes_a_sentence_and_a_report(error: BaseException) -> None:
    for each in raising(error):
        output, reports = output_of(each)
        assert output == "The tool give failed."
        ((name, reported),) = reports
        assert name == "give"
        assert error in (reported, reported.__cause__)


def test_an_output_that_is_no_json_is_a_failure() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for each in returning(endless):
        output, reports = output_of(each)
        assert (output, len(reports)) == ("The tool give failed.", 1)


def test_arguments_reach_the_function() -> None:
    @tool
    def add(call: CallInfo, a: int, b: int = 1) -> list[Any]:
        return [call.caller, a + b]

    assert output_of(add, '{"a":"2"}') == ('["sip:ada@example.com",3]', [])


def test_bad_arguments_and_an_unknown_tool_make_a_sentence_and_no_report() -> None:
    @tool
    def add(a: int) -> int:
        return a

    async def main() -> None:
        bench = Bench(add)
        assert await bench.runner.output_of("add", "{}") == "The arguments of add are wrong: a is missing."
        assert await bench.runner.output_of("sub", "{}") == "There is no tool sub."
        assert bench.reports == []

    asyncio.run(main())


def test_a_sync_tool_runs_in_a_daemon_thread_with_the_context_of_the_call() -> None:
    @tool
    def where() -> list[Any]:
        return [threading.current_thread().name, threading.current_thread().daemon, WHERE.get()]

    async def main() -> str:
        WHERE.set("call a1b2")
        return await Bench(where).runner.output_of("where", "")

    assert asyncio.run(main()) == '["tool where",true,"call a1b2"]'


def test_an_async_tool_that_is_too_slow_is_cancelled() -> None:
    ended: list[str] = []

    @tool(timeout_s=0.01)
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    output, reports = output_of(wait)
    assert output == "The tool wait took longer than 0.01 seconds and was given up."
    assert isinstance(reports[0][1], TimeoutError)
    assert ended == ["cancelled"]


def test_a_sync_tool_that_is_too_slow_keeps_its_place_until_it_returns() -> None:
    release = threading.Event()

    @tool(timeout_s=0.01)
    def hang() -> str:
        release.wait()
        return "late"

    async def main() -> None:
        bench = Bench(hang, places=1)
        expected = "The tool hang took longer than 0.01 seconds and was given up."
        assert await bench.runner.output_of("hang", "") == expected
        assert bench.places.locked()
        assert await bench.runner.output_of("hang", "") == expected, "it waited for a place"
        release.set()
        async with asyncio.timeout(10):
            await bench.places.acquire()

    asyncio.run(main())


def test_a_thread_may_outlive_the_loop() -> None:
    release = threading.Event()
    left: list[threading.Thread] = []

    @tool(timeout_s=0.01)
    def hang() -> None:
        left.append(threading.current_thread())
        release.wait()

    assert asyncio.run(Bench(hang).runner.output_of("hang", "")).startswith("The tool hang took longer")
    release.set()
    left[0].join(10)
    assert not left[0].is_alive()


def collecting(main: Callable[[Bench, list[str]], Awaitable[None]], *tools: Tool) -> None:
    async def wrapper() -> None:
        await main(Bench(*tools), [])

    asyncio.run(wrapper())


def test_run_gives_the_output_later() -> None:
    async def main(bench: Bench, outputs: list[str]) -> None:
        output: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        bench.runner.run("give", "{}", output.set_result)
        assert not output.done()
        async with asyncio.timeout(10):
            assert await output == "here"

    for each in returning("here"):
        collecting(main, each)


def test_cancel_all_stops_what_runs_and_gives_nothing() -> None:
    ended = asyncio.Event()

    @tool
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main(bench: Bench, outputs: list[str]) -> None:
        bench.runner.run("wait", "{}", outputs.append)
        await asyncio.sleep(0)
        bench.runner.cancel_all()
        async with asyncio.timeout(10):
            await ended.wait()
        await asyncio.sleep(0)
        assert (outputs, bench.reports) == ([], [])
        assert not bench.places.locked()

    collecting(main, wait)


def test_a_call_starts_a_bounded_number() -> None:
    @tool
    async def wait() -> None:
        await asyncio.Event().wait()

    async def main(bench: Bench, outputs: list[str]) -> None:
        for _ in range(MAX_STARTED + 1):
            bench.runner.run("wait", "{}", outputs.append)
        assert outputs == []
        await asyncio.sleep(0)
        assert outputs == ["The tool wait cannot run now: too many are running."]
        bench.runner.cancel_all()
        await asyncio.sleep(0)

    collecting(main, wait)


def test_places_bound_what_runs_at_once() -> None:
    running: list[int] = []
    most = 0

    @tool
    async def count() -> None:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.pop()

    async def main() -> None:
        places = make_places(2)
        runners = [ToolRunner([count], report=lambda *_: None, places=places) for _ in range(5)]
        await asyncio.gather(*(runner.output_of("count", "") for runner in runners))

    asyncio.run(main())
    assert most == 2
