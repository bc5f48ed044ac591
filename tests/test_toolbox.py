import asyncio
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sipagent.agent.builtin import MESSAGE_KEPT
from sipagent.agent.tools import CallInfo
from sipagent.aio.call import Engine
from sipagent.aio.messages import FILE, MessageBook
from sipagent.aio.tools import ToolRunner
from sipagent.config import Config, load
from sipagent.config.load import ConfigFileError
from sipagent.errors import SipagentError
from sipagent.lines import make_lines
from sipagent.toolbox import AgentTools, Toolbox

TOOLS = """
from sipagent import tool

@tool
def find() -> str:
    "Find it."
    return "found"

def approve(name, arguments, call):
    return True

wrong = 7
"""
HTTP = {"url": "https://shop.example.com/{order}", "description": "Tell.", "parameters": {"order": "The order."}}


def configure(folder: Path, names: list[str], /, **sections: Any) -> Config:
    (folder / "tools.py").write_text(TOOLS)
    (folder / "config.yaml").write_text(
        json.dumps(
            {
                "lines": [{"name": "main", "agent": "clerk"}],
                "agents": {"clerk": {"engine": "model", "instructions": "Be kind.", "tools": names}},
                "engines": {"model": {"url": "local"}},
                **sections,
            }
        )
    )
    return load(folder / "config.yaml", {"KEY": "hunter2"})


def make(config: Config) -> tuple[Toolbox, AgentTools]:
    toolbox = Toolbox(config, random=Random(1), report=lambda *_: None)
    return toolbox, toolbox.tools_of(config.agents["clerk"])


def test_every_kind_of_tool_has_its_place(tmp_path: Path) -> None:
    config = configure(
        tmp_path,
        ["hang_up", "note", "take_message", "tools.py:find", "search", "orders", "shop"],
        tools={
            "search": {"function": "tools.py:find", "timeout_s": 3.0, "needs_approval": True},
            "orders": HTTP | {"headers": {"Authorization": "Bearer ${KEY}"}, "timeout_s": 4.0},
        },
        mcp={"shop": {"hosted": "https://shop.example.com/mcp", "allow": ["find"], "headers": {"K": "${KEY}"}}},
    )
    _, tools = make(config)
    own = {tool.name: tool for tool in tools.own}
    assert list(own) == ["hang_up", "note", "take_message", "find", "search", "orders"]
    assert (own["search"].timeout_s, own["search"].needs_approval, own["search"]()) == (3.0, True, "found")
    assert (own["orders"].timeout_s, own["orders"].parameters["required"]) == (4.0, ["order"])
    assert tools.hosted == (
        {
            "type": "mcp",
            "server_label": "shop",
            "server_url": "https://shop.example.com/mcp",
            "headers": {"K": "hunter2"},
            "allowed_tools": ["find"],
            "require_approval": "never",
        },
    )
    assert [each.get("name") or each["server_label"] for each in tools.definitions] == [*own, "shop"]
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(own["orders"])
    assert [secret.reveal() for secret in config.secrets] == ["Bearer hunter2", "hunter2"]
    session = make_lines(config, {"model": Engine("ws://x", {})})["main"].call.conversation.session
    assert session.tools[-1] == tools.hosted[0]
    assert "hunter2" not in repr(session)


@pytest.mark.parametrize(
    ("needs_approval", "required"),
    [
        ([], "never"),
        (["*"], "always"),
        (["buy", "sell"], {"always": {"tool_names": ["buy", "sell"]}}),
    ],
)
def test_what_a_hosted_server_is_asked_about(tmp_path: Path, needs_approval: list[str], required: object) -> None:
    server = {"hosted": "https://shop.example.com/mcp", "needs_approval": needs_approval}
    _, tools = make(configure(tmp_path, ["shop"], mcp={"shop": server}))
    assert tools.hosted[0]["require_approval"] == required


def test_a_function_that_says_for_itself_that_it_needs_approval_is_believed(tmp_path: Path) -> None:
    _, tools = make(configure(tmp_path, ["search"], tools={"search": {"function": "tools.py:find"}}))
    assert not tools.own[0].needs_approval
    (tmp_path / "tools.py").write_text(TOOLS.replace("@tool", "@tool(needs_approval=True)"))
    config = load(tmp_path / "config.yaml", {})
    assert make(config)[1].own[0].needs_approval


def test_the_hook_and_the_policy(tmp_path: Path) -> None:
    toolbox, _ = make(configure(tmp_path, [], approval={"hook": "tools.py:approve", "default": "allow"}))
    assert toolbox.approval.hook is not None
    assert toolbox.approval.default
    assert make(configure(tmp_path, []))[0].approval.hook is None


@pytest.mark.parametrize("hook", ["wrong", "find", "absent"])
def test_a_hook_that_is_none(tmp_path: Path, hook: str) -> None:
    config = configure(tmp_path, [], approval={"hook": f"tools.py:{hook}"})
    with pytest.raises(SipagentError, match=r"tools\.py"):
        make(config)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"tools": {"x": {}}}, "tools.x: expected either a url or a function"),
        ({"tools": {"x": HTTP | {"function": "tools.py:find"}}}, "tools.x: expected either a url or a function"),
        ({"tools": {"x": {"function": "find"}}}, "tools.x.function: expected path/to/file.py:function"),
        ({"tools": {"x": {"function": "tools.py:find", "answer": "/a"}}}, "tools.x.answer: it is for a tool with a"),
        ({"tools": {"x": {"url": "https://a/"}}}, "tools.x.description: missing"),
        ({"tools": {"x": HTTP | {"url": "https://a/{name}"}}}, "tools.x.url: there is no parameter name"),
        ({"tools": {"x": HTTP | {"url": "a"}}}, "tools.x.url: expected an address"),
        ({"tools": {"x": HTTP | {"parameters": {"order": 7}}}}, "tools.x.parameters: order: expected words"),
        ({"tools": {"x": HTTP | {"answer": "state"}}}, "tools.x.answer: expected a JSON pointer"),
        ({"tools": {"x": HTTP | {"method": "TRACE"}}}, "tools.x.method: expected DELETE or GET"),
        ({"tools": {"hang_up": HTTP}}, "tools.hang_up: the name of a built-in tool"),
        ({"tools": {"a b": HTTP}}, "tools.a b: expected a name of 1 to 64 letters"),
        ({"mcp": {"x": {}}}, "mcp.x: expected one of command, url and hosted"),
        ({"mcp": {"x": {"url": "http://a", "hosted": "http://a"}}}, "mcp.x: expected one of command, url and hosted"),
        ({"mcp": {"x": {"hosted": "a"}}}, "mcp.x.hosted: expected an address"),
        ({"mcp": {"x": {"hosted": "http://a", "env": {"A": "b"}}}}, "mcp.x.env: it is for a server with a command"),
        ({"mcp": {"x": {"hosted": "http://a"}}, "tools": {"x": HTTP}}, "mcp.x: the name of a tool, too"),
        ({"approval": {"hook": "approve"}}, "approval.hook: expected path/to/file.py:function"),
    ],
)
def test_what_does_not_fit_together_is_told(tmp_path: Path, sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigFileError) as raised:
        configure(tmp_path, [], **sections)
    (found,) = raised.value.problems
    assert str(found).partition(": ")[2].startswith(problem)


def test_a_program_needs_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.config.tool_checks.find_spec", lambda name: None)
    with pytest.raises(ConfigFileError, match=r"mcp\.x\.command: it needs a package: pip install 'sipagent\[mcp\]'"):
        configure(tmp_path, [], mcp={"x": {"command": ["python3", "server.py"]}})
    configure(tmp_path, ["x"], mcp={"x": {"hosted": "https://a/mcp"}})


def test_a_tool_that_the_file_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(ConfigFileError, match=r"clerk.tools\[0\]: there is no tool of this name; did you mean ord"):
        configure(tmp_path, ["order"], tools={"orders": HTTP})


# Messages


def test_messages_are_lines_of_a_file(tmp_path: Path) -> None:
    config = configure(tmp_path, ["take_message"], messages={"directory": "kept"})
    _, tools = make(config)
    call = CallInfo("a1b2", caller="sip:ada@example.com", called="sip:shop@example.com", agent="clerk")

    async def main() -> list[str]:
        runner = ToolRunner(tools.own, report=lambda *_: None, call=call)
        texts = ["Call me.\nSoon: ü", "x"]
        arguments = [json.dumps({"name": "Ada", "text": text, "number": "4711"}) for text in texts]
        return [await runner.output_of("take_message", each) for each in arguments]

    assert asyncio.run(main()) == [MESSAGE_KEPT] * 2
    first, second = (tmp_path / "kept" / FILE).read_text().splitlines()
    kept = json.loads(first)
    assert kept.pop("at").endswith("+00:00")
    assert kept == {
        "call": "a1b2", "agent": "clerk", "caller": "sip:ada@example.com", "called": "sip:shop@example.com",
        "name": "Ada", "number": "4711", "text": "Call me.\nSoon: ü",
    }  # fmt: skip
    assert json.loads(second)["text"] == "x"


def test_a_message_that_can_not_be_kept_is_not_promised(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file is in the way")
    _, tools = make(configure(tmp_path, ["take_message"], messages={"directory": "kept"}))
    reports: list[BaseException] = []
    runner = ToolRunner(tools.own, report=lambda name, error: reports.append(error))
    arguments = '{"name": "Ada", "text": "x"}'
    assert asyncio.run(runner.output_of("take_message", arguments)) == "The tool take_message failed."
    assert isinstance(reports[0], OSError)


def test_when_a_message_was_taken(tmp_path: Path) -> None:
    MessageBook(tmp_path, wall=lambda: 0.0).keep(CallInfo("a"), "Ada", "", "x")
    assert json.loads((tmp_path / FILE).read_text())["at"] == "1970-01-01T00:00:00+00:00"
