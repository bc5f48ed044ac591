"""Agents as their users start them: the examples through the real program, called by a real telephone."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ending import wait_or_kill
from program import ROOT, Entry, Program, free_port

EXAMPLES = ROOT / "examples"
CALL_S = 90.0
"""For a call with a few sentences, on a busy machine."""


def sections() -> tuple[dict[str, Any], int]:
    """What of a configuration must be other than usual, to be beside other tests; and the port."""
    port = free_port()
    return {
        "sip": {"listen": [f"udp:127.0.0.1:{port}"]},
        "rtp": {"ports": "20000-29999"},
        "control": {"listen": f"127.0.0.1:{free_port()}"},
        "log": {"level": "debug", "format": "json"},
    }, port


def on_free_ports(example: str, folder: Path) -> tuple[Path, int]:
    """An example in a folder of its own, with whatever stands beside it."""
    settings = yaml.safe_load((EXAMPLES / example).read_text("utf-8"))
    changed, port = sections()
    for file in EXAMPLES.iterdir():
        if file.name != example:
            (folder / file.name).symlink_to(file)
    (folder / example).write_text(json.dumps({**settings, **changed}, default=str))
    return folder / example, port


def call(uri: str, *cues: str) -> str:
    """Call somebody, and say and press what the cues say; return what the telephone showed."""
    command = [sys.executable, "-m", "sipagent", "call", uri, *cues, "--linger", "1", "--max", "60"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=CALL_S)
    return done.stdout + done.stderr


@contextmanager
def running(*arguments: str) -> Iterator[Program]:
    with Program("run", *arguments, ready="ready") as program:
        yield program


def of_last_call(program: Program, *kinds: str) -> list[Entry]:
    """What happened in the latest call, of these kinds."""
    program.wait_for(lambda entry: entry["event"] == "ended", timeout_s=CALL_S)
    (entries,) = list(program.calls_where(lambda entry: entry["event"] == "invited").values())[-1:]
    return [entry for entry in entries if entry["event"] in kinds]


def test_another_agent_takes_over(tmp_path: Path) -> None:
    file, port = on_free_ports("hand_over.yaml", tmp_path)
    with running(str(file)) as program:
        call(f"sip:agent@127.0.0.1:{port}", "--say", "hand over", "--say", "what are your opening hours")
        events = of_last_call(
            program, "agent_changed", "agent_said", "tool_called", "truncated", "model_complained", "agent_kept"
        )
        assert not [entry for entry in program.entries if entry["event"] == "call_crashed"]
    kinds = [(entry["event"], entry.get("name") or entry.get("agent")) for entry in events]
    assert ("agent_changed", "sales") in kinds, events
    changed = kinds.index(("agent_changed", "sales"))
    assert kinds.index(("tool_called", "hand_over")) < changed
    assert ("tool_called", "opening_hours") in kinds[changed:], "the new agent has tools of its own"
    assert not {"truncated", "model_complained", "agent_kept"} & {entry["event"] for entry in events}
    said = [entry["text"] for entry in events if entry["event"] == "agent_said"]
    assert "Harbour Clock Company" in said[0]
    assert "this is the Sales Department" in " ".join(said[1:])
    assert re.search("open from|are closed", said[-1])


def test_the_number_chooses_the_agent(tmp_path: Path) -> None:
    file, port = on_free_ports("routing.yaml", tmp_path)
    settings = json.loads(file.read_text())
    settings["hours"]["office"] = {"open": ["daily 00:00-24:00"]}
    file.write_text(json.dumps(settings))
    with running(str(file)) as program:
        for called, answer in (("200", "Sales Department"), ("300", "the Workshop"), ("100", "Harbour Clock Company")):
            call(f"sip:{called}@127.0.0.1:{port}")
            calls = program.calls(called)
            (said, *_) = [entry for entry in next(iter(calls.values())) if entry["event"] == "agent_said"]
            assert answer in said["text"], called


def test_outside_hours_another_answers_or_nobody(tmp_path: Path) -> None:
    file, port = on_free_ports("routing.yaml", tmp_path)
    settings = json.loads(file.read_text())
    year_round = [f"{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    year_round += ["02-29", *(f"{month:02}-{day}" for month in range(1, 13) for day in (29, 30) if month != 2)]
    year_round += [f"{month:02}-31" for month in (1, 3, 5, 7, 8, 10, 12)]
    settings["hours"]["office"] = {"open": ["daily 00:00-24:00"], "holidays": year_round}
    file.write_text(json.dumps(settings))
    with running(str(file)) as program:
        assert "480" in call(f"sip:300@127.0.0.1:{port}")
        (turned_away,) = [entry for entry in program.entries if entry["event"] == "turned_away"]
        assert (turned_away["line"], turned_away["status"]) == ("main", 480)
        call(f"sip:100@127.0.0.1:{port}")
        (said, *_) = of_last_call(program, "agent_said")
        assert "Night Desk" in said["text"]


def test_an_agent_in_python(tmp_path: Path) -> None:
    settings, port = sections()
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(settings))
    with running(f"{EXAMPLES}/agent.py:agent", "--config", str(file)) as program:
        call(f"sip:agent@127.0.0.1:{port}", "--say", "repair price")
        events = of_last_call(program, "agent_said", "tool_called", "tool_returned")
    assert "Harbour Clock Company" in events[0]["text"]
    assert [entry["name"] for entry in events if entry["event"] == "tool_called"] == ["repair_price"]


SCRIPT = """
from sipagent import Agent, serve

agent = Agent(instructions="Be brief.", greeting="Greet the caller on behalf of the Script Company.")
serve(agent, config="{config}")
"""


def test_a_program_of_ten_lines_serves(tmp_path: Path) -> None:
    settings, port = sections()
    config, script = tmp_path / "config.yaml", tmp_path / "script.py"
    config.write_text(json.dumps(settings))
    script.write_text(SCRIPT.format(config=config))
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process.stderr:
        assert any('"ready"' in line for line in iter(process.stderr.readline, ""))
        call(f"sip:agent@127.0.0.1:{port}")
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read()
    assert wait_or_kill(process, 15.0) == 0
    assert re.search(r"this is the Script Company", log)


def test_importing_the_public_names_is_quick() -> None:
    """A file with tools needs no sockets, no loop and no audio."""
    code = "import sys; from sipagent import Agent, tool; print({'numpy', 'aiohttp', 'uvloop'} & {*sys.modules})"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], check=True, env=environ, capture_output=True, timeout=60)
    assert done.stdout.strip() == b"set()"
