import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sipagent.aio import recorder as recorder_module
from sipagent.aio.recorder import Recorder
from sipagent.aio.sound_file import Format, opener_of
from sipagent.audio.g711 import decode
from sipagent.audio.wav import read_wav
from sipagent.call.events import RecordAudio
from sipagent.formats import PCM, PCMA, PCMU

SECOND = RecordAudio(bytes(range(160)) * 50, b"\xff" * 8000, PCMU)


@pytest.fixture
def writer() -> Iterator[ThreadPoolExecutor]:
    writer = ThreadPoolExecutor(max_workers=1)
    yield writer
    writer.shutdown()


class Failures(list[str]):
    """What the recorder says went wrong."""


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def make(path: Path, writer: ThreadPoolExecutor) -> tuple[Recorder, Failures]:
    failures = Failures()
    return Recorder(path, writer=writer, failed=failures.append), failures


def test_the_caller_is_left_and_the_agent_right(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    path = tmp_path / "made/when/needed/call.wav"
    recorder, failures = make(path, writer)
    recorder.write(SECOND)
    recorder.write(RecordAudio(b"\xd5" * 80, b"\x2a" * 80, PCMA))
    recorder.close()
    writer.shutdown()
    rate, samples = read_wav(path.read_bytes())
    assert rate == 8000
    assert samples.shape == (8080, 2)
    assert np.array_equal(samples[:8000, 0], decode(SECOND.caller, "PCMU"))
    assert np.array_equal(samples[8000:, 1], decode(b"\x2a" * 80, "PCMA"))
    assert not samples[:8000, 1].any()
    assert failures == []


def test_a_call_without_audio_leaves_no_file(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    recorder, failures = make(tmp_path / "call.wav", writer)
    recorder.close()
    writer.shutdown()
    assert list(tmp_path.iterdir()) == []
    assert failures == []


def test_a_folder_that_can_not_be_made(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    (tmp_path / "file").write_text("in the way")
    recorder, failures = make(tmp_path / "file" / "call.wav", writer)
    for _ in range(3):
        recorder.write(SECOND)
    recorder.close()
    writer.shutdown()
    assert len(failures) == 1, "it is told once"
    assert "file" in failures[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is the disk that is always full")
def test_a_disk_that_is_full(writer: ThreadPoolExecutor) -> None:
    recorder, failures = make(Path("/dev/full"), writer)
    for _ in range(3):
        recorder.write(SECOND)
    recorder.close()
    writer.shutdown()
    assert len(failures) == 1
    assert "No space left" in failures[0]


def test_a_disk_that_is_too_slow_costs_the_recording_and_a_bounded_memory(
    tmp_path: Path, writer: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 3)
    release = threading.Event()
    writer.submit(release.wait)
    recorder, failures = make(tmp_path / "call.wav", writer)
    for _ in range(10):
        recorder.write(SECOND)
    assert failures == ["the disk is too slow"]
    release.set()
    recorder.close()
    writer.shutdown()
    assert failures == ["the disk is too slow"]


def test_what_is_written_in_time_is_all_there(
    tmp_path: Path, writer: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 2)
    recorder, failures = make(tmp_path / "call.wav", writer)
    for _ in range(20):
        recorder.write(SECOND)
        writer.submit(lambda: None).result()
    recorder.close()
    writer.shutdown()
    assert len(read_wav((tmp_path / "call.wav").read_bytes())[1]) == 20 * 8000
    assert failures == []


def test_wideband_is_written_as_it_is(tmp_path: Path, writer: ThreadPoolExecutor) -> None:
    path = tmp_path / "call.wav"
    recorder, failures = make(path, writer)
    left, right = np.arange(24_000, dtype=np.int16), -np.arange(24_000, dtype=np.int16)
    recorder.write(RecordAudio(left.tobytes(), right.tobytes(), PCM))
    recorder.close()
    writer.shutdown()
    rate, samples = read_wav(path.read_bytes())
    assert rate == 24_000
    assert np.array_equal(samples, np.stack((left, right), axis=1))
    assert failures == []


@pytest.mark.parametrize("format_", ["wav", "ogg"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is the disk that is always full")
def test_in_either_format_a_full_disk_is_told_once_and_leaves_nothing_open(
    format_: Format, writer: ThreadPoolExecutor
) -> None:
    pytest.importorskip("av", reason="the extra opus is not installed")
    opened = open_files()
    failures = Failures()
    recorder = Recorder(Path("/dev/full"), writer=writer, failed=failures.append, opens=opener_of(format_))
    for _ in range(10):
        recorder.write(SECOND)
    writer.submit(lambda: None).result()
    assert open_files() == opened
    recorder.close()
    writer.shutdown()
    assert len(failures) == 1
    assert "No space left" in failures[0]
