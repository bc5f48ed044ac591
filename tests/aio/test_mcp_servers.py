import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from program import free_port

from sipagent.agent.tools import CallInfo
from sipagent.aio import mcp_servers
from sipagent.aio.mcp_servers import McpServer, McpSettings, open_servers
from sipagent.aio.tools import ToolRunner

pytest.importorskip("mcp", reason="the tools of MCP servers need the extra mcp")

ROOT = Path(__file__).parents[2]
EXAMPLE = (sys.executable, str(ROOT / "examples" / "mcp_server.py"))

ODD = """
import os, sys, time
from mcp.server.mcpserver import MCPServer

server = MCPServer("odd")

@server.tool()
def pid() -> str:
    return str(os.getpid())

@server.tool()
def secret() -> str:
    return os.environ.get("TOKEN", "none") + " " + os.environ.get("OUR_KEY", "none")

@server.tool()
def slow() -> str:
    time.sleep(60)
    return "late"

@server.tool()
def die() -> str:
    os._exit(1)

@server.tool(name="has.dots")
def dotted() -> str:
    return "x"

if "--grow" in sys.argv and os.path.exists(sys.argv[-1]):
    @server.tool()
    def grown() -> str:
        return "new"

print("nothing that we want", file=sys.stderr)
server.run()
"""


class Bench:
    """A server, and what it reported."""

    def __init__(self, **settings: Any) -> None:
        self.reports: list[tuple[str, BaseException]] = []
        settings = {"command": EXAMPLE, "timeout_s": 20.0} | settings
        self.server = McpServer(McpSettings("odd", **settings), random=Random(1), report=self._report)

    def _report(self, name: str, error: BaseException) -> None:
        self.reports.append((name, error))

    @property
    def names(self) -> list[str]:
        return [tool.name for tool in self.server.tools]

    async def ask(self, name: str, arguments: str = "{}") -> str:
        runner = ToolRunner(self.server.tools, report=self._report, call=CallInfo("a1b2"))
        return await runner.output_of(name, arguments)


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Bench]:
    bench = Bench(**settings)
    await open_servers([bench.server])
    try:
        yield bench
    finally:
        await bench.server.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes its time to start a program."""
    monkeypatch.setattr(mcp_servers, "START_S", 60.0)


@pytest.fixture
def odd(tmp_path: Path) -> tuple[str, ...]:
    """The command of a server that is not like others."""
    file = tmp_path / "odd.py"
    file.write_text(ODD)
    return (sys.executable, str(file))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0.01)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_the_tools_of_a_program_are_ours() -> None:
    async def main() -> None:
        async with opened(allow=("book_*",)) as bench:
            assert bench.names == ["book_status"]
            (tool,) = bench.server.tools
            assert tool.definition["description"] == "Look up whether a book can be had, by its number."
            assert tool.parameters["required"] == ["number"]
            assert await bench.ask("book_status", '{"number": "7"}') == "Book 7 is on loan until Monday."
            assert (await bench.ask("book_status", '{"number": 8}')).endswith("There is no book 8.")
            refused = "The arguments of book_status are wrong: number must be a whole number."
            assert await bench.ask("book_status", '{"number": "x"}') == refused
            assert await bench.ask("delete_books") == "There is no tool delete_books."

    run(main())


def test_which_need_approval(odd: tuple[str, ...]) -> None:
    async def main() -> None:
        async with opened(command=odd, needs_approval=("d*",)) as bench:
            assert [tool.name for tool in bench.server.tools if tool.needs_approval] == ["die"]
            assert "not approved" in await bench.ask("die")

    run(main())


def test_a_program_finds_what_it_is_given_and_not_our_keys(
    odd: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUR_KEY", "hunter2")

    async def main() -> None:
        async with opened(command=odd, env={"TOKEN": "t"}) as bench:
            assert await bench.ask("secret") == "t none"
            assert "has.dots" not in bench.names

    run(main())
    assert "nothing that we want" not in capfd.readouterr().err


def test_a_tool_that_takes_too_long_is_given_up(odd: tuple[str, ...]) -> None:
    async def main() -> None:
        async with opened(command=odd) as bench:
            slow = next(tool for tool in bench.server.tools if tool.name == "slow")
            runner = ToolRunner([replace(slow, timeout_s=0.1)], report=bench._report)
            assert await runner.output_of("slow", "") == "The tool slow took longer than 0.1 seconds and was given up."

    run(main())


def test_a_server_that_dies_is_brought_back(odd: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_servers, "FIRST_RETRY_S", 0.2)

    async def main() -> None:
        async with opened(command=odd) as bench:
            names, first = bench.names, await bench.ask("pid")
            assert await bench.ask("die") == "The tool die failed."
            await until(lambda: not bench.server.is_up)
            assert bench.names == names, "its tools stay"
            assert await bench.ask("pid") == (
                "The tool pid is not there at the moment: its server is being started again."
            )
            await until(lambda: bench.server.is_up)
            assert await bench.ask("pid") not in ("", first)
            assert "odd" in [name for name, _ in bench.reports]

    run(main())


def test_a_server_that_is_killed_unseen_is_noticed(odd: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_servers, "LOOK_S", 0.1)
    monkeypatch.setattr(mcp_servers, "FIRST_RETRY_S", 0.05)

    async def main() -> None:
        async with opened(command=odd) as bench:
            first = await bench.ask("pid")
            os.kill(int(first), signal.SIGKILL)
            await until(lambda: bool(bench.reports))
            await until(lambda: bench.server.is_up)
            assert await bench.ask("pid") != first

    run(main())


def test_tools_that_come_later_are_found(
    odd: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_servers, "LOOK_S", 0.05)
    monkeypatch.setattr(mcp_servers, "FIRST_RETRY_S", 0.05)

    async def main() -> None:
        async with opened(command=(*odd, "--grow", str(tmp_path / "now"))) as bench:
            assert "grown" not in bench.names
            (tmp_path / "now").touch()
            await bench.ask("die")
            await until(lambda: "grown" in bench.names)

    run(main())


def test_a_program_that_is_not_there_is_reported_once_and_has_no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_servers, "START_S", 0.5)
    monkeypatch.setattr(mcp_servers, "FIRST_RETRY_S", 0.02)

    async def main() -> None:
        async with opened(command=("/no/such/program",)) as bench:
            assert bench.names == []
            assert [name for name, _ in bench.reports] == ["odd"]

    run(main())


def test_a_server_that_takes_longer_than_our_start_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(mcp_servers, "START_S", 0.1)
        async with opened(command=(sys.executable, "-c", "import sys; sys.stdin.read()")) as bench:
            ((name, error),) = bench.reports
            assert name == "odd"
            assert str(error) == "no word of its tools in 0.1 s; calls begin without them"

    run(main())


def test_a_server_over_http(unused_port: int) -> None:
    async def main() -> None:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, sys.argv[1]); from mcp_server import server\n"
            "server.run('streamable-http', port=int(sys.argv[2]))",
            str(ROOT / "examples"),
            str(unused_port),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            headers = {"Authorization": "Bearer hunter2"}
            url = f"http://127.0.0.1:{unused_port}/mcp"
            async with opened(command=(), url=url, headers=headers, timeout_s=2.0) as bench:
                await until(lambda: bench.server.is_up)
                assert await bench.ask("book_status", '{"number": 12}') == "Book 12 is on its shelf."
                assert "hunter2" not in repr(bench.server._settings)
        finally:
            program.terminate()
            await program.wait()

    run(main())


@pytest.fixture
def unused_port() -> int:
    return free_port()


def test_a_server_that_sends_without_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_servers, "START_S", 20.0)
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b" " * 65_536)
                sent += 65_536
        except ConnectionError:
            return answer

    async def main() -> None:
        application = web.Application()
        application.router.add_route("*", "/mcp", flood)
        service = TestServer(application)
        await service.start_server()
        bench = Bench(command=(), url=str(service.make_url("/mcp")))
        bench.server.start()
        await until(lambda: bool(bench.reports))
        await bench.server.close()
        await service.close()
        assert not bench.server.is_up
        assert sent < 64 * (1 << 20)

    run(main())
