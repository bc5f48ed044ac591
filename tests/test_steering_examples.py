"""The examples of transfer and of a program that steers its calls, with the embedded model, called by a telephone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ending import wait_or_kill
from program import ROOT, Program, free_port
from spoken import call, texts

pytestmark = pytest.mark.usefixtures("voices")


@pytest.fixture
def voices() -> None:
    pytest.importorskip("espeakng_loader", reason="the caller speaks by espeak-ng")
    pytest.importorskip("pocketsphinx", reason="the embedded model hears by pocketsphinx")


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where an example takes calls."""
    port = free_port()
    monkeypatch.setenv("SIP_PORT", str(port))
    monkeypatch.setenv("CONTROL_PORT", str(free_port()))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return port


def test_the_receptionist_puts_a_caller_through_and_stays_when_that_fails(tmp_path: Path, port: int) -> None:
    with Program("run", "examples/transfer.yaml", ready="ready") as program:
        call(tmp_path, f"sip:agent@127.0.0.1:{port}", "Transfer!", "Transfer!", "Goodbye.")
        program.wait_for(lambda entry: entry["event"] == "ended", timeout_s=10.0)
        entries = program.entries
    assert texts(entries, "transfer_started", "target")[0] == "sip:200@127.0.0.1"
    events = [entry["event"] for entry in entries]
    said = events.index("agent_said", events.index("tool_called"))
    assert said < events.index("transfer_started"), "what says so is heard first"
    failed = events.index("transfer_failed")  # for this telephone calls nobody
    assert "agent_said" in events[failed:], "the agent says why, and goes on"


def test_a_program_has_its_say_and_ends_the_call_at_a_key(tmp_path: Path, port: int) -> None:
    settings = {
        "lines": [{"name": "line", "agent": "agent"}],
        "agents": {"agent": {"engine": "local", "instructions": "Be brief.", "greeting": "Greet the caller."}},
        "engines": {"local": {"url": "local"}},
        "sip": {"listen": [f"udp:127.0.0.1:{port}"]},
        "rtp": {"ports": "20000-29999"},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    command = [sys.executable, str(ROOT / "examples" / "steer.py"), str(tmp_path / "config.yaml")]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert program.stdout is not None
    with program.stdout:
        assert "Ready" in program.stdout.readline()
        caller = [sys.executable, "-m", "sipagent", "call", f"sip:agent@127.0.0.1:{port}"]
        done = subprocess.run(
            [*caller, "--press", "*", "--linger", "8", "--max", "60"],
            cwd=ROOT, capture_output=True, text=True, timeout=90.0, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        program.terminate()
        written = program.stdout.read()
    assert wait_or_kill(program, 15.0) == 0
    assert "agent: This call is written down." in written
    assert written.rstrip().splitlines()[-1].split("agent: ")[-1] == "Thank you for calling. Goodbye!"
