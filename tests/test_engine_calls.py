"""Calls through the real program, by SIP and RTP, with engines of other kinds: the example for GPT-Live among them."""

from pathlib import Path

import numpy as np
import pytest
from program import Model, Program, Server, free_port
from spoken import call, texts

from sipagent.audio.wav import read_wav


@pytest.fixture(autouse=True)
def _can_speak_and_hear() -> None:
    pytest.importorskip("espeakng_loader", reason="the caller speaks by espeak-ng")
    pytest.importorskip("pocketsphinx", reason="the embedded model hears by pocketsphinx")


def test_the_example_of_gpt_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("SIP_PORT", str(port))
    monkeypatch.setenv("CONTROL_PORT", str(free_port()))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with Program("run", "examples/live.yaml", ready="ready") as program:
        facts = call(tmp_path, f"sip:agent@127.0.0.1:{port}", "What are your opening hours?", "Goodbye.")
        program.wait_for(lambda entry: entry["event"] == "ended", timeout_s=5.0)
        entries = program.entries
    assert texts(entries, "model_ready", "session_id")[0].startswith("live_")
    assert texts(entries, "agent_said")[0].startswith("Hello")
    assert texts(entries, "caller_said") == ["what are your opening hours", "goodbye"]
    assert texts(entries, "tool_returned", "name")[0] == "opening_hours"
    assert texts(entries, "tool_called", "name") == ["opening_hours", "hang_up"]
    assert "Goodbye" in texts(entries, "agent_said")[-1]
    assert texts(entries, "ended", "reason") == ["agent"]
    kinds = {entry["event"] for entry in entries}
    assert not kinds & {"barged_in", "truncated", "agent_paused", "model_complained", "model_failed", "unreadable"}
    assert [entry for entry in entries if entry["level"] in ("error", "critical")] == []
    assert [fact["kind"] for fact in facts].count("HungUp") == 1
    _, samples = read_wav((tmp_path / "call.wav").read_bytes())
    assert (np.abs(samples).max(axis=0) > 1000).all(), "both sides are heard"


def test_a_server_of_linear_samples_that_lacks_much(tmp_path: Path) -> None:
    with Model("") as model:
        engine = {
            "dialect": "pcm",
            "url": model.engine["url"],
            "model": "any",
            "auth": "none",
            "lacks": ["cancel", "truncate", "transcription"],
        }
        agents = {"tested": {"barge_in": {"confirm_ms": 60}}}
        with Server(tmp_path / "server", {"engines": {"model": engine}, "agents": agents}) as server:
            call(tmp_path, server.uri("agent"), "What time is it?")
            server.wait_for(lambda entry: entry["event"] == "ended", timeout_s=5.0)
            entries = server.entries
    said = texts(entries, "agent_said")
    assert said[0].startswith("Hello")
    assert said[-1].startswith("It is ")
    kinds = {entry["event"] for entry in entries}
    assert not kinds & {"truncated", "model_complained", "model_failed", "unreadable"}
