import json
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

import pytest
from bench.flame import SAMPLED
from bench.sampled.sampler import Sampler

PROGRAM = """
import hashlib
from signal import SIGUSR1, SIGUSR2, raise_signal
from time import process_time

def count():
    for _ in range(200_000):
        pass

def outer():
    count()

def hash_it():
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 10_000)

raise_signal(SIGUSR1)
began_s = process_time()
for _ in range(60):
    outer()
    hash_it()
print(process_time() - began_s)
raise_signal(SIGUSR2)
"""
"""Takes a second or so, half of it in Python, half in C."""


def test_a_program_is_sampled_where_it_is(tmp_path: Path) -> None:
    program, samples = tmp_path / "sipagent", tmp_path / "samples.json"
    program.write_text(PROGRAM)
    environment = {"PYTHONPATH": str(SAMPLED), "SIPAGENT_PROFILE": str(samples)}
    command = [sys.executable, "sipagent"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    report = json.loads(samples.read_text())
    taken = {tuple(name.partition(" (")[0] for name in names): seconds for names, seconds in report["stacks"]}
    all_s = sum(taken.values())
    counted = taken["MainThread", "<module>", "outer", "count"]
    hashed = taken["MainThread", "<module>", "hash_it", 'C: hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 10_000)']
    assert report["ticks"] > 10
    assert all_s == pytest.approx(float(done.stdout), rel=0.1)
    assert counted > 0.1 * all_s
    assert hashed > 0.1 * all_s
    assert counted + hashed > 0.9 * all_s


def test_other_programs_are_left_alone(tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    environment = {"PYTHONPATH": str(SAMPLED), "SIPAGENT_PROFILE": str(samples)}
    words = "import signal; print(signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL)"
    done = subprocess.run([sys.executable, "-c", words], env=environment, check=True, capture_output=True, timeout=60)
    assert done.stdout == b"True\n"
    assert not samples.exists()


class Clocks:
    """What two threads have taken, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.main_s = self.other_s = self.process_s = 0.0
        self._main = threading.main_thread().ident
        monkeypatch.setattr("time.pthread_getcpuclockid", lambda ident: ident)
        monkeypatch.setattr("time.clock_gettime", self._read)
        monkeypatch.setattr("time.process_time", lambda: self.process_s)

    def _read(self, ident: int) -> float:
        return self.main_s if ident == self._main else self.other_s


def test_each_thread_has_what_its_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    other = threading.Thread(target=over.wait, name="other")
    other.start()
    clocks, sampler = Clocks(monkeypatch), Sampler()
    alone = {threading.main_thread().ident: threading.main_thread(), other.ident: other}
    monkeypatch.setattr(threading, "_active", alone)
    frame = sys._getframe()
    sampler._look(frame)
    clocks.main_s, clocks.other_s, clocks.process_s = 0.003, 0.001, 0.005
    sampler._look(frame)
    monkeypatch.undo()
    over.set()
    other.join()
    by_thread = {stack[0]: seconds for stack, seconds in sampler.taken.items()}
    assert by_thread == {
        "MainThread": pytest.approx(0.003),
        "other": pytest.approx(0.001),
        "threads of C": pytest.approx(0.001),
    }


def test_what_came_before_a_function_began_is_its_callers() -> None:
    found: list[str] = []

    def called() -> None:
        pass

    def tracer(frame: FrameType, event: str, _value: object) -> None:
        if event == "call" and frame.f_code is called.__code__:
            codes, line = Sampler()._place(frame)
            found.extend([codes[-1].co_name, str(line)])

    sys.setprofile(tracer)
    called()
    sys.setprofile(None)
    assert found == ["test_what_came_before_a_function_began_is_its_callers", "0"]
