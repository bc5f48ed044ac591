"""Files that grow: playable at any moment, exact in WAV, and honest about a disk that is full."""

import importlib
import resource
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from sipagent.aio.sound_file import Format, OggFile, Stereo, WavFile, opener_of
from sipagent.audio.tones import sine
from sipagent.audio.wav import WavError, read_wav
from sipagent.errors import SipagentError

av = pytest.importorskip("av", reason="the extra opus is not installed")
FULL = Path("/dev/full")
FORMATS: list[Format] = ["wav", "ogg"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def second(rate: int, number: int = 0) -> Stereo:
    return np.stack((sine(440 + number, 1_000, rate=rate), sine(1_000, 1_000, rate=rate)), axis=1)


def decoded(path: Path) -> tuple[int, np.ndarray]:
    """Rate and samples of shape (frames, 2), as any player has them."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="s16", layout="stereo")
        frames = [part.to_ndarray() for frame in file.decode(audio=0) for part in resampler.resample(frame)]
        return file.streams.audio[0].rate, np.concatenate(frames, axis=1).reshape(-1, 2)


def loudest_hz(samples: np.ndarray, rate: int) -> int:
    return round(float(np.abs(np.fft.rfft(samples)).argmax()) * rate / len(samples))


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_wav_is_exact_and_complete_after_every_piece(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, rate)
    assert read_wav(path.read_bytes())[1].shape == (0, 2)
    pieces = [second(rate, number) for number in range(3)]
    for count, piece in enumerate(pieces, 1):
        file.write(piece)
        body = path.read_bytes()
        assert np.array_equal(read_wav(body)[1], np.concatenate(pieces[:count])), "as if the process died now"
        assert int.from_bytes(body[40:44], "little") == len(body) - 44
    file.close()
    assert read_wav(path.read_bytes())[0] == rate


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_ogg_has_both_sides_apart(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "call.ogg"
    file = opener_of("ogg")(path, rate)
    for _ in range(5):
        file.write(second(rate))
    file.close()
    heard_rate, samples = decoded(path)
    assert len(samples) / heard_rate == pytest.approx(5.0, abs=0.03)
    middle = samples[heard_rate : 4 * heard_rate]
    assert [loudest_hz(side, heard_rate) for side in middle.T] == [440, 1_000]
    assert path.stat().st_size < 5 * 12_000


def test_ogg_can_be_played_up_to_the_last_page_after_a_crash(tmp_path: Path) -> None:
    path, copy = tmp_path / "call.ogg", tmp_path / "copy.ogg"
    file = opener_of("ogg")(path, 8_000)
    for count in range(1, 6):
        file.write(second(8_000))
        copy.write_bytes(path.read_bytes())
        if count > 1:
            rate, samples = decoded(copy)
            assert len(samples) / rate >= count - 1.1, "all but the last second"
    file.close()


def test_a_recording_longer_than_a_header_can_say_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WavFile(tmp_path / "call.wav", 8_000)
    file.write(second(8_000))
    monkeypatch.setattr("sipagent.audio.wav.MAX_DATA_BYTES", 40_000)
    with pytest.raises(WavError):
        file.write(second(8_000))
    file.close()
    assert len(read_wav((tmp_path / "call.wav").read_bytes())[1]) == 8_000


@pytest.mark.skipif(not FULL.exists(), reason="/dev/full is the disk that is always full")
@pytest.mark.parametrize("format_", FORMATS)
def test_a_full_disk_is_an_error_of_the_system(format_: Format) -> None:
    with pytest.raises(OSError, match="No space left"):
        fill(format_, FULL)


@pytest.fixture
def little_room() -> Iterator[int]:
    """A limit on the size of files, which ends a file as a full disk does: in the middle of a write."""
    limit = 50_000
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_what_was_written_before_the_disk_was_full_can_be_heard(tmp_path: Path, little_room: int) -> None:
    path = tmp_path / "call.wav"
    file = WavFile(path, 8_000)
    file.write(second(8_000))
    with pytest.raises(OSError, match="too large"):
        file.write(second(8_000))
    file.close()
    assert path.stat().st_size == little_room
    assert np.array_equal(read_wav(path.read_bytes())[1], second(8_000))


def test_files_are_closed_where_they_can_not_be_made() -> None:
    opened = open_files()
    for format_ in FORMATS:
        with pytest.raises(OSError, match="No such file"):
            opener_of(format_)(Path("/nowhere/call"), 8_000)
    with pytest.raises(OSError, match="No space left"):
        WavFile(FULL, 8_000)
    assert open_files() == opened


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(SipagentError, match="opus"):
        opener_of("ogg")
    assert opener_of("wav") is WavFile


def fill(format_: Format, path: Path) -> None:
    """Write until it no longer goes."""
    file = opener_of(format_)(path, 8_000)
    try:
        for _ in range(20):
            file.write(second(8_000))
    finally:
        if isinstance(file, OggFile):
            with pytest.raises(OSError):  # noqa: PT011 - the rest does not go, either; whatever it says
                file.close()
        else:
            file.close()


def test_the_time_base_is_that_of_the_samples(tmp_path: Path) -> None:
    file = opener_of("ogg")(tmp_path / "call.ogg", 8_000)
    file.write(second(8_000))
    file.close()
    with av.open(str(tmp_path / "call.ogg")) as container:
        assert container.streams.audio[0].time_base == Fraction(1, 48_000), "Opus counts at 48 kHz, always"
