import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from loopback import HOST
from program import ROOT, free_port
from rich.console import Console

from sipagent import demo as demo_module
from sipagent.audio.wav import read_wav
from sipagent.call import events, phone
from sipagent.demo import Demo
from sipagent.errors import SipagentError

DEMO_S = 120.0
"""It takes half a minute, by the length of what is said."""

GOOD = (
    phone.PickedUp(5.0),
    phone.AgentHeard(100.0),
    events.AgentSaid("Hello.", 900, False),
    events.ToolReturned("opening_hours", "9:00 to 18:00"),
    phone.AgentHeard(600.0),
    phone.AgentStopped(60.0),
    events.Truncated("item", 0, 500, 2000),
    phone.HungUp("bye", None, 30.0),
)


def judge(*facts: object) -> list[str]:
    demo = Demo(console=Console(file=StringIO()))
    for number, fact in enumerate(facts):
        demo.follow("call", fact, float(number))  # type: ignore[arg-type]
    return list(demo._faults(demo._figures()))


def without(kind: type[object], *instead: object) -> list[str]:
    return judge(*(fact for fact in GOOD if not isinstance(fact, kind)), *instead)


def test_a_call_that_went_right() -> None:
    assert judge(*GOOD) == []


def test_what_can_go_wrong() -> None:
    assert judge(phone.HungUp("rejected", 503, 0.0)) == ["the call was not answered: 503"]
    assert judge() == ["the call was not answered: no answer at all"]
    assert without(events.AgentSaid) == ["the agent said nothing"]
    assert without(events.ToolReturned) == ["no tool was run"]
    assert without(phone.AgentStopped) == ["the agent was not interrupted"]
    assert without(phone.AgentStopped, phone.AgentStopped(900.0)) == ["the agent spoke on for 900 ms over its caller"]
    assert without(events.Truncated) == ["the model was not told how much of its answer was heard"]
    assert without(events.Truncated, events.Truncated("item", 0, 2000, 2000)) == without(events.Truncated)
    assert without(phone.HungUp) == ["the agent did not hang up: the call has no end"]
    assert without(phone.HungUp, phone.HungUp("hung_up", None, 9.0)) == ["the agent did not hang up: hung_up"]
    assert judge(*GOOD, events.ModelComplained("invalid_value", "no")) == ["the model complained: no"]


def test_an_earlier_recording_does_not_pass_for_this_call_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/demo.wav").write_bytes(b"of yesterday")
    assert demo_module._make_room() == Path("build/demo.wav")
    assert not (tmp_path / "build/demo.wav").exists()


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").write_text("a file is in the way")
    with pytest.raises(SipagentError, match="can't write to"):
        demo_module._make_room()


def test_the_demonstration(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader", reason="the demonstration's caller speaks by espeak-ng")
    pytest.importorskip("pocketsphinx", reason="its agent hears by pocketsphinx")
    tool = ROOT / "examples" / "desk.py"
    config = {
        "sip": {"listen": [f"udp:{HOST}:{free_port()}"], "max_calls": 10},
        "rtp": {"ports": "20000-27999"},
        "lines": [{"name": "main", "agent": "agent"}],
        "agents": {
            "agent": {
                "engine": "model",
                "instructions": "You are a receptionist.",
                "greeting": "Greet the caller.",
                "tools": ["hang_up", f"{tool}:opening_hours"],
            }
        },
        "engines": {"model": {"url": "local"}},
        "control": {"listen": f"{HOST}:{free_port()}"},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "demo"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEMO_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    build = tmp_path / "build"
    report = json.loads((build / "demo.json").read_text())
    assert (report["ok"], report["faults"]) == (True, [])
    figures = report["figures"]
    assert 0 < figures["invite_to_answer_ms"] < 1000
    assert 0 <= figures["onset_to_silence_ms"] <= demo_module.STOPS_WITHIN_MS
    assert 0 < figures["truncated_ms"] < figures["received_ms"]
    assert figures["question_to_answer"]["count"] >= 3
    rate, samples = read_wav((build / "demo.wav").read_bytes())
    kinds = {fact["kind"]: fact for fact in json.loads((build / "demo-facts.json").read_text())}
    assert len(samples) / rate == pytest.approx(kinds["HungUp"]["duration_s"], abs=0.2)
    assert (np.abs(samples).max(axis=0) > 1000).all(), "both sides are heard"
    assert (build / "demo.png").read_bytes().startswith(b"\x89PNG")
    for words in ("What was said", "opening_hours", "What it took", "INVITE to 200 OK"):
        assert words in done.stdout
