"""The command line from outside: what it says, what it refuses, and its exit status."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from loopback import HOST
from program import ROOT, free_port

from sipagent import cli
from sipagent.cli import main
from sipagent.errors import SipagentError

VERBS = ("run", "call", "check", "demo", "model", "bench")


@pytest.fixture(autouse=True)
def logs_to_nobody_elses_stream() -> Iterator[None]:
    """What a verb sets up writes to a stream that pytest closes after the test."""
    yield
    structlog.reset_defaults()


def configure(folder: Path, *, port: int) -> Path:
    config = {
        "sip": {"listen": [f"udp:{HOST}:{port}"], "max_calls": 10},
        "lines": [{"name": "main", "agent": "agent"}],
        "agents": {"agent": {"engine": "model", "instructions": "Be brief."}},
        "engines": {"model": {"url": "local"}},
        "control": {"listen": f"{HOST}:{free_port()}"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == 0
    assert f"sipagent {verb}" in capsys.readouterr().out


def test_the_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    page = capsys.readouterr().out
    assert [verb for verb in VERBS if f"  {verb} " not in page] == []


@pytest.mark.parametrize(
    "arguments", [[], ["dance"], ["call"], ["call", "a@b", "--linger", "long"], ["check", "a", "b"]]
)
def test_what_is_no_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_fault_script_with_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--faults", "slow_session seconds=1; sulk"]) == 2
    assert "no fault is named 'sulk'" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "demo"])
def test_a_missing_configuration_is_refused(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "/no/such/config.yaml"]) == 2
    assert "/no/such/config.yaml" in capsys.readouterr().err


def test_check_tells_good_from_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configure(tmp_path, port=free_port())
    assert main(["check", str(path)]) == 0
    path.write_text("sip: 3")
    assert main(["check", str(path)]) == 1
    page = capsys.readouterr().out
    assert "wrong" in page
    assert "Traceback" not in page


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_is_one_line(tmp_path: Path, kind: socket.SocketKind, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(type=kind) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        if kind is socket.SOCK_DGRAM:
            assert main(["run", str(configure(tmp_path, port=port))]) == 2
            expected = f"sipagent: can't listen on udp:{HOST}:{port}: Address already in use"
        else:
            assert main(["model", "--port", str(port)]) == 2
            expected = f"sipagent: can't listen on {HOST}:{port}: "
    assert any(line.startswith(expected) for line in capsys.readouterr().err.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["200", "--line", "other"], "config.yaml has no line other; there is main"),
        (["200", "--line", "main"], "line main has no domain to call through"),
        ([f"a@{HOST}", "--wav", "/none.wav"], "/none.wav"),
        ([f"a@{HOST}", "--press", "1 2"], "no keys"),
        (["a@no-such-host.invalid"], "no way to sip:a@no-such-host.invalid"),
    ],
)
def test_a_call_that_can_not_be_made(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_call_that_nobody_takes_fell_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", f"a@{HOST}:{free_port()};transport=tcp"]) == 1
    assert "over: transport" in capsys.readouterr().out


def test_an_error_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_arguments: object) -> bool:
        raise SipagentError("a [/red] bracket " + "x" * 200)

    monkeypatch.setattr(cli, "_check", fail)
    assert main(["check"]) == 2
    assert capsys.readouterr().err == "sipagent: a [/red] bracket " + "x" * 200 + "\n"


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_arguments: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_check", interrupted)
    assert main(["check"]) == 130


def test_cues_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    cues: list[tuple[str, str, int | None]] = []

    async def dial(settings: cli.DialSettings, *, console: object) -> bool:
        cues.extend((cue.kind, cue.value, cue.after_speech_ms) for cue in settings.cues)
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(cli, "dial", dial)
    assert main(["call", "a@b", "--press", "1", "--say", "one", "--interrupt", "two", "--wav", "f", "--say", "x"]) == 0
    expected = [("press", "1", None), ("say", "one", None), ("say", "two", cli.OVER_AGENT_MS)]
    assert cues == [*expected, ("wav", "f", None), ("say", "x", None)]


def test_fields_of_ones_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    headers: list[tuple[str, str]] = []

    async def dial(settings: cli.DialSettings, *, console: object) -> bool:
        headers.extend(settings.headers)
        await asyncio.sleep(0)
        return True

    monkeypatch.setattr(cli, "dial", dial)
    assert main(["call", "a@b", "--header", "X-Order: 17", "--header", "User-to-User:00ab;encoding=hex"]) == 0
    assert headers == [("X-Order", "17"), ("User-to-User", "00ab;encoding=hex")]
    assert main(["call", "a@b", "--header", "X-Order"]) == 2
    assert "write it as 'X-Order: 17'" in capsys.readouterr().err


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sipagent", "check", "/none.yaml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "/none.yaml" in done.stdout
    assert done.stderr == ""
