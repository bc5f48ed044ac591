"""What the program under test is told: its settings, its processors, and what the kernel says of it."""

import os
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sipagent.audio import silero
from sipagent.bench import command
from sipagent.bench.command import _steps
from sipagent.bench.foreign import Foreign, find_target
from sipagent.bench.plan import Detector, Plan, divide
from sipagent.bench.process import read_usage
from sipagent.bench.program import write_config
from sipagent.bench.soak import Sample, find_trends, slope
from sipagent.cli import _parser
from sipagent.config import load
from sipagent.errors import SipagentError

PORTS = {"sip_port": 5060, "control_port": 8080, "model_port": 9000}


@pytest.mark.parametrize("vad", ["energy", "auto", "silero", "fused"])
def test_the_settings_are_those_of_the_plan(vad: Detector, tmp_path: Path) -> None:
    if vad in ("silero", "fused") and not silero.is_available():
        pytest.skip(silero.MISSING)
    path = tmp_path / "bench.yaml"
    path.write_text(write_config(Plan(detection="local", vad=vad, tls=True), **PORTS))
    config = load(path, {})
    assert (config.agents["bench"].turn.vad, config.agents["bench"].turn.detection) == (vad, "local")
    assert config.engines["bench"].url == "wss://127.0.0.1:9000/v1/realtime"


def test_workers_are_set_only_where_they_are_asked_for() -> None:
    assert "workers" not in write_config(Plan(), **PORTS)
    assert "\nworkers: 2\n" in write_config(Plan(workers=2), **PORTS)
    assert 'url: "ws://' in write_config(Plan(), **PORTS)


def test_processors_are_divided() -> None:
    assert divide([3, 4, 5], 1).program == {3}
    assert divide([3, 4, 5], 2).others == {5}
    assert divide([3, 4], 8).program == {3}
    alone = divide([3], 1)
    assert alone.program == alone.others == {3}
    assert alone.are_shared


def test_a_process_is_accounted_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        together, own = read_usage(process.pid), Path(f"/proc/{process.pid}/statm").read_text().split()[1]
        process.communicate(b"\n")
    assert together.threads == 2
    assert together.resident_bytes > 1.5 * int(own) * os.sysconf("SC_PAGE_SIZE")


def test_descriptors_and_ports_are_counted() -> None:
    before = read_usage(os.getpid(), with_descriptors=True)
    with socket.socket(type=socket.SOCK_DGRAM) as port, socket.socket():
        port.bind(("127.0.0.1", 0))
        after = read_usage(os.getpid(), with_descriptors=True)
    assert after.descriptors - before.descriptors == 2
    assert after.ports - before.ports == 1


def test_another_bridge_is_found_by_its_uri() -> None:
    target = find_target("sip:desk@127.0.0.1:5070")
    assert (target.address, target.user, target.host) == (("127.0.0.1", 5070), "desk", "127.0.0.1")
    assert not target.is_marked
    assert find_target("127.0.0.1").address[1] == 5060
    assert Foreign("sip:127.0.0.1").usage() is None


@pytest.mark.parametrize("uri", ["sip:", "tel:+4930", "sip:a@nowhere.invalid"])
def test_what_can_t_be_called_is_refused(uri: str) -> None:
    with pytest.raises(SipagentError):
        find_target(uri)


def test_a_process_that_is_not_there_is_told() -> None:
    with pytest.raises(SipagentError, match="no process"), Foreign("sip:127.0.0.1", pid=1 << 22):
        pass


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        ("capacity --max 250", (50, 100, 200, 250)),
        ("capacity --steps 7 3", (3, 7)),
        ("capacity --quick", (50, 300)),
        ("--max 20", (20,)),
    ],
)
def test_a_ramp_ends_where_it_is_told(words: str, steps: tuple[int, ...]) -> None:
    assert _steps(_parser().parse_args(["bench", *words.split()])) == steps


@pytest.mark.parametrize("words", ["dance", "--steps 0", "--max many", "capacity --runs -1", "soak --minutes 0"])
def test_what_makes_no_sense_is_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["bench", *words.split()])
    assert "usage: sipagent bench" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--calls 5", "--calls is not for bench alone, but for: latency, soak"),
        ("setup --target sip:a@b", "--target is not for setup, but for: capacity"),
        ("capacity --config-out x", "--config-out is not for capacity, but for: latency"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(words: str, reason: str) -> None:
    with pytest.raises(SipagentError, match=reason):
        command.run(_parser().parse_args(["bench", *words.split()]), Console())


def test_where_the_report_is_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_run_setup", lambda _arguments, _console: ("setup", {"ok": True}))
    monkeypatch.setattr(command, "keep", lambda _part, _data: None)
    monkeypatch.setattr(command, "publish", lambda _page: "[red]/page.md (pip install 'sipagent[plot]')")
    told = StringIO()
    assert command.run(_parser().parse_args(["bench", "setup"]), Console(file=told, width=200))
    assert "report: [red]/page.md (pip install 'sipagent[plot]') · " in told.getvalue()


def test_every_option_of_a_command_is_known() -> None:
    given = vars(_parser().parse_args(["bench"]))
    assert frozenset().union(*command.MEANT.values()) <= set(given)


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([1, 2, 3], [5, 7, 9]) == pytest.approx(2)
    assert slope([1], [5]) == 0


def sample(minute: float, memory_mb: float, descriptors: int) -> Sample:
    return Sample(minute, memory_mb, descriptors, 20, 4, None, 10, 0.1, 0.0, 0, 0.5, 5.0, 0)


def test_what_grows_is_not_flat() -> None:
    memory, descriptors, ports, late = find_trends([sample(minute, 90 + minute, 50) for minute in range(5)])
    assert (memory.slope, memory.is_flat) == (pytest.approx(1000), False)
    assert descriptors.is_flat
    assert ports.is_flat
    assert late.is_flat
    assert not find_trends([sample(minute, 90, 50 + minute) for minute in range(5)])[1].is_flat
