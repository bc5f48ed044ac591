"""The examples of tools, each called by somebody who speaks, through the real program and with the embedded model."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Thread

import program
import pytest
from program import ROOT, Entry, Program, free_port
from spoken import call, texts

from sipagent.agent.tools import CallInfo
from sipagent.aio.tools import ToolRunner
from sipagent.config import load
from sipagent.toolbox import Toolbox


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where an example takes calls."""
    port = free_port()
    monkeypatch.setenv("SIP_PORT", str(port))
    monkeypatch.setenv("CONTROL_PORT", str(free_port()))
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(program, "START_S", 60.0)  # of a server of tools, too, on a busy machine
    return port


def ask(example: str, folder: Path, port: int, question: str) -> list[Entry]:
    """Run an example, ask its agent something and say goodbye; return the log."""
    pytest.importorskip("espeakng_loader", reason="the caller speaks by espeak-ng")
    pytest.importorskip("pocketsphinx", reason="the embedded model hears by pocketsphinx")
    with Program("run", f"examples/{example}", ready="ready") as running:
        call(folder, f"sip:agent@127.0.0.1:{port}", question, "Goodbye.")
        running.wait_for(lambda entry: entry["event"] == "ended", timeout_s=5.0)
        entries = running.entries
    assert texts(entries, "ended", "reason") == ["agent"]
    kinds = {entry["event"] for entry in entries}
    assert not kinds & {"tool_failed", "model_complained", "model_failed", "unreadable"}
    return entries


def returned(entries: list[Entry]) -> dict[str, str]:
    return dict(zip(texts(entries, "tool_returned", "name"), texts(entries, "tool_returned", "output"), strict=True))


def test_the_example_of_tools_in_python(tmp_path: Path, port: int) -> None:
    entries = ask("tools.yaml", tmp_path, port, "What time is it?")
    output = returned(entries)["get_time"]
    assert output.startswith("In Berlin it is ")
    assert output in " ".join(texts(entries, "agent_said")), "it is read out"


@contextmanager
def hours_served() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A service that tells opening hours; yield its address, and what it is asked."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"text": "We are open from nine to six.", "internal": "not for callers"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hours", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_example_of_a_tool_over_http(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with hours_served() as (url, asked):
        monkeypatch.setenv("HOURS_URL", url)
        monkeypatch.setenv("HOURS_KEY", "hunter2")
        entries = ask("http_tool.yaml", tmp_path, port, "What are your opening hours?")
    ((path, key),) = asked
    assert path.startswith("/hours/")
    assert path.endswith("day")
    assert key == "Bearer hunter2"
    assert returned(entries)["opening_hours"] == "We are open from nine to six."
    assert "We are open from nine to six." in " ".join(texts(entries, "agent_said"))
    assert "hunter2" not in json.dumps(entries)
    assert "not for callers" not in json.dumps(entries)


def test_the_example_of_an_mcp_server(tmp_path: Path, port: int) -> None:
    pytest.importorskip("mcp", reason="the extra mcp")
    entries = ask("mcp_server.yaml", tmp_path, port, "Tell me a story.")
    assert returned(entries)["find_story"] == "We recommend the story of the heron who counted the tides."
    assert "the heron" in " ".join(texts(entries, "agent_said"))


def test_the_tools_of_the_example_do_what_they_say(port: int) -> None:
    async def main() -> dict[str, str]:
        config = load(ROOT / "examples" / "tools.yaml")
        toolbox = Toolbox(config, random=Random(1), report=lambda *_: None)
        tools = toolbox.tools_of(config.agents["concierge"])
        outputs = {}
        for vouched_for in (False, True):
            call = CallInfo("a1b2", is_vouched_for=vouched_for)
            runner = ToolRunner(tools.own, report=lambda *_: None, call=call, approval=toolbox.approval)
            for name, arguments in (
                ("get_weather", {"city": "berlin"}),
                ("get_weather", {"city": "tokyo"}),
                ("cancel_order", {"number": 7}),
            ):
                output = await runner.output_of(name, json.dumps(arguments))
                outputs[f"{name} {next(iter(arguments.values()))} {vouched_for}"] = output
        await toolbox.close()
        return outputs

    outputs = asyncio.run(main())
    assert outputs["get_weather berlin True"] == "The forecast for Berlin is clouds and 9 degrees."
    assert outputs["get_weather tokyo True"] == "There is no forecast for Tokyo today."
    assert outputs["cancel_order 7 True"] == "Order 7 is cancelled."
    assert "was not run, for it was not approved: nobody vouches" in outputs["cancel_order 7 False"]
