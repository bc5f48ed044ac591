"""Agents of the Agents SDK, as the configuration names them."""

from datetime import UTC, datetime
from importlib import util
from pathlib import Path

import pytest

from sipagent.agent.tools import CallInfo, Tool
from sipagent.aio.engine import Engine
from sipagent.aio.staff import Staff
from sipagent.config import Config, ConfigFileError, load
from sipagent.config.sdk_checks import NEEDS_SDK
from sipagent.errors import SipagentError
from sipagent.lines import make_lines
from sipagent.sdk import load_sdk_agents

pytest.importorskip("agents", reason="the extra agents")

from sipagent.aio.agents_sdk import become

FILE = """
lines: [{name: line, agent: agent}]
agents:
  agent: {engine: model, %s}
  other: {engine: model, instructions: Be brief., hand_over: [%s]}
engines: {model: {url: local%s}}
"""


def config_of(folder: Path, agent: str, hand_over: str = "", engine: str = "") -> Config:
    (folder / "config.yaml").write_text(FILE % (agent, hand_over, engine))
    return load(folder / "config.yaml", {})


@pytest.mark.parametrize(
    ("agent", "hand_over", "engine", "problem"),
    [
        ("voice: marin", "", "", "agents.agent.instructions: missing"),
        ("sdk: mine", "", "", "agents.agent.sdk: expected path/to/file.py:agent or package.module:agent"),
        ("sdk: 'a.b:c', instructions: Be brief.", "", "", "agents.agent.instructions: the agent of the Agents SDK has"),
        ("sdk: 'a.b:c', hand_over: [other]", "", "", "agents.agent.hand_over: the agent of the Agents SDK has"),
        ("sdk: 'a.b:c'", "agent", "", "agents.other.hand_over[0]: an agent of the Agents SDK begins with the call"),
        ("sdk: 'a.b:c'", "", ", dialect: live", "agents.agent.sdk: GPT-Live can't become another agent"),
    ],
)
def test_what_an_agent_of_the_sdk_is_not(tmp_path: Path, agent: str, hand_over: str, engine: str, problem: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        config_of(tmp_path, agent, hand_over, engine)
    assert problem in str(caught.value)


def test_the_extra_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sipagent.config.sdk_checks.find_spec", lambda name: None if name == "agents" else util.find_spec(name)
    )
    with pytest.raises(ConfigFileError) as caught:
        config_of(tmp_path, "sdk: 'a.b:c'")
    assert f"agents.agent.sdk: {NEEDS_SDK}" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("agent = 1", "expected a RealtimeAgent of the Agents SDK, not int"),
        ("agent = RealtimeAgent(name='a', tools=[WebSearchTool()])", "web_search: in a call"),
        ("agent = RealtimeAgent(name='a', prompt={'id': 'p'})", "a prompt or mcp_servers"),
        (
            "async def say(context, agent): return ''\nagent = RealtimeAgent(name='a', instructions=say)",
            "plain function",
        ),
    ],
)
def test_what_can_not_be_in_a_call_is_told_at_the_start(tmp_path: Path, code: str, problem: str) -> None:
    (tmp_path / "mine.py").write_text(
        f"from agents import WebSearchTool\nfrom agents.realtime import RealtimeAgent\n{code}\n"
    )
    with pytest.raises(SipagentError, match=problem):
        load_sdk_agents(config_of(tmp_path, "sdk: 'mine.py:agent'"))


AGENT = """
from agents import function_tool
from agents.realtime import RealtimeAgent

@function_tool(needs_approval=True, timeout=3.0)
async def pay(amount: int) -> str:
    "Pay something."
    return f"{amount} paid"

@function_tool(is_enabled=False)
def never() -> str:
    return ""

billing = RealtimeAgent(name="Billing", handoff_description="Bills.")
agent = RealtimeAgent(
    name="Desk",
    tools=[pay, never],
    handoffs=[billing],
    instructions=lambda context, agent: f"{context.context.caller}?",
)
"""


def test_it_is_an_agent_as_if_written_for_us(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(AGENT)
    loaded = load_sdk_agents(config_of(tmp_path, "sdk: 'mine.py:agent'"))
    assert list(loaded) == ["agent"]
    agent = loaded["agent"].agent
    assert callable(agent.instructions)
    assert agent.instructions(CallInfo("a1", caller="alice")) == "alice?"
    pay, transfer = agent.tools
    assert isinstance(pay, Tool)
    assert isinstance(transfer, Tool)
    assert (pay.name, pay.timeout_s, pay.needs_approval) == ("pay", 3.0, True)
    assert pay.parameters["properties"]["amount"]["type"] == "integer"
    assert (transfer.name, transfer.needs_approval) == ("transfer_to_billing", False)
    assert "Bills." in transfer.description
    assert not load_sdk_agents(config_of(tmp_path, "instructions: Be brief."))


def test_who_is_hired_brings_its_own_and_the_files(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(AGENT)
    config = config_of(tmp_path, "sdk: 'mine.py:agent', tools: [hang_up]")
    line = make_lines(config, {"model": Engine("ws://127.0.0.1:1", {})})["line"]
    info = CallInfo("a1", caller="alice", agent="agent")
    moment = datetime(2030, 1, 2, tzinfo=UTC)
    staff = Staff(line, info, None, moment=lambda: moment, report=lambda *_: None)
    assert [tool.name for tool in staff.tools] == ["hang_up", "pay", "transfer_to_billing"]
    assert line.settings(info, None).conversation.tells_words
    refused = staff.change_to("agent")
    assert isinstance(refused, str)
    assert "Agents SDK" in refused

    hired = become(line, "Billing", "You are {billing}.", line.tools[:1], [])
    change = staff.hire(hired)
    assert (change.before, change.agent) == ("agent", "Billing")
    session = change.conversation.session
    assert session.instructions == "You are {billing}.", "it is no template"
    assert [tool["name"] for tool in session.tools] == ["hang_up"]
    assert [tool.name for tool in staff.tools] == ["hang_up", "pay", "transfer_to_billing"], "not yet"
    staff.changed("Billing")
    assert [tool.name for tool in staff.tools] == ["hang_up"]
    assert staff.info.agent == "Billing"
