import numpy as np
import pytest
from audio.echo_line import PACKAGE, RATE, Ear, Line, Room, coded, echo, frames, is_installed, noise, speak

from sipagent.audio.echo import PENDING, EchoGuard
from sipagent.audio.echo_path import LEAD, TAPS, EchoPath
from sipagent.audio.echo_search import resemblances
from sipagent.audio.g711 import decode
from sipagent.audio.history import History
from sipagent.formats import PCM, PCMU, AudioFormat

speech = pytest.mark.skipif(not is_installed(), reason=f"Debian's {PACKAGE} is not installed")

LINES = [
    Line("line", 10.0, 60.0),
    Line("line", 20.0, 380.0),
    Line("speakerphone", 5.0, 150.0),
    Line("speakerphone", 10.0, 20.0),
    Line("speakerphone", 10.0, 250.0),
    Line("speakerphone", 10.0, 400.0),
    Line("bare room", 10.0, 120.0),
]
NAMES = [f"{line.room}-{line.return_loss_db:g}dB-{line.delay_ms:g}ms" for line in LINES]


def white(samples: int, seed: int, level: float = 3000.0) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).normal(size=samples) * level).astype(np.float32)


def history(samples: np.ndarray) -> History:
    kept = History(len(samples))
    kept.append(linear(samples))
    return kept


def linear(samples: np.ndarray) -> bytes:
    return bytes(np.rint(samples).astype("<i2").data)


# The samples that are kept


@pytest.mark.parametrize("law", ["PCMU", "PCMA", ""])
def test_a_history_is_the_end_of_all_there_was(law: str) -> None:
    kept, every, width = History(100, law), b"", 1 if law else 2
    random = np.random.default_rng(1)
    for size in random.integers(0, 250, 200):
        fresh = random.bytes(int(size) * width)
        kept.append(fresh)
        every += fresh
        assert kept.end == len(every) // width
        begin = max(0, kept.end - 100)
        expected = decode(every[begin * width :], law) if law else np.frombuffer(every[2 * begin :], "<i2")
        assert kept.take(begin, kept.end).tolist() == expected.tolist()


def test_what_is_not_there_is_silence() -> None:
    kept = history(np.ones(10))
    assert kept.take(-2, 3).tolist() == [0, 0, 1, 1, 1]
    assert kept.take(8, 12).tolist() == [1, 1, 0, 0]
    assert kept.take(20, 22).tolist() == [0, 0]
    kept.skip_to(10)
    assert kept.take(9, 10).tolist() == [1]
    kept.skip_to(15)
    kept.append(linear(np.ones(2)))
    assert kept.take(8, 18).tolist() == [0] * 7 + [1, 1, 0]


# The path


def test_a_path_is_the_filter_that_the_echo_went_through() -> None:
    sent = white(8000, 1)
    response = np.zeros(TAPS, np.float32)
    response[[LEAD, 40, 60]] = 0.5, -0.3, 0.1
    back = np.convolve(sent, response)[:8000]
    path = EchoPath(800)
    heard = np.concatenate((np.zeros(800), back))[:8000].astype(np.float32)
    path.learn(history(sent), heard[3000:4600], 3000)
    assert np.abs(path.weights - response).max() < 0.01
    assert path.peak == 800 + LEAD
    assert path.unexplained(history(sent), heard[6000:6160], 6000) < 0.001


def test_of_a_path_that_drifts_the_greatest_tap_stays_where_there_is_room() -> None:
    sent = white(8000, 1)
    path = EchoPath(700)
    heard = np.concatenate((np.zeros(775), sent))[:8000].astype(np.float32)
    path.learn(history(sent), heard[2000:3600], 2000)
    assert path.peak == 775
    assert path.lag == 775 - LEAD
    assert path.unexplained(history(sent), heard[4000:4160], 4000) < 0.001


@pytest.mark.parametrize("step", [-320, -160, -5, 5, 80, 320])
def test_a_path_is_found_again_at_another_delay(step: int) -> None:
    sent = white(12_000, 1)
    path = EchoPath(1000 - LEAD)
    heard = np.concatenate((np.zeros(1000), sent))[:12_000].astype(np.float32)
    path.learn(history(sent), heard[3000:4600], 3000)
    later = np.concatenate((np.zeros(1000 + step), sent))[6000:6320].astype(np.float32)
    moved = path.find_moved(history(sent), later, 6000)
    assert moved is not None
    assert moved.peak == 1000 + step
    assert path.find_moved(history(sent), heard[6000:6320], 6000) is None
    assert path.find_moved(history(sent), white(320, 2), 6000) is None


def test_a_voice_over_the_echo_is_not_explained() -> None:
    sent = white(12_000, 1)
    path = EchoPath(1000 - LEAD)
    heard = np.concatenate((np.zeros(1000), 0.3 * sent))[:12_000].astype(np.float32)
    for begin in range(3000, 8000, 160):
        path.learn(history(sent), heard[begin : begin + 160], begin)
    assert path.explains(history(sent), heard[8000:8160], 8000, floor=0.0)
    both = heard[8160:8320] + white(160, 2)
    assert not path.explains(history(sent), both, 8160, floor=0.0)


# The search


@pytest.mark.parametrize("delay", [0, 160, 800, 2400, 4000])
def test_an_echo_is_found_at_any_delay(delay: int) -> None:
    sent = white(16_000, 1)
    heard = (0.1 * np.concatenate((np.zeros(delay), sent))).astype(np.float32)
    best = next(resemblances(history(sent), heard[8000:8800], 8000))
    assert best.lag == delay
    assert best.clarity > 15


def test_a_stranger_is_unlike_what_we_sent_and_silence_is_like_nothing() -> None:
    sent = history(white(16_000, 1))
    assert next(resemblances(sent, white(800, 2), 8000)).clarity < 6
    assert list(resemblances(sent, np.zeros(800, np.float32), 8000)) == []


# The guard


def test_where_nothing_was_sent_nothing_is_an_echo() -> None:
    guard = EchoGuard(PCMU)
    guard.heard(b"\x0f" * 160, now=1.0)
    assert not guard.is_echo(now=1.0)
    guard.sent(b"\x0f\x8f" * 80, now=1.0)
    guard.heard(b"\x0f" * 160, now=2.0)
    assert not guard.is_echo(now=2.0), "that was a second ago"


def test_what_is_louder_than_all_we_sent_is_none_from_the_first_frame_on() -> None:
    guard = EchoGuard(PCMU)
    for frame in frames(white(1600, 1, 500.0)):
        guard.sent(frame, now=1.0)
    guard.heard(frames(white(160, 2, 5000.0))[0], now=1.02)
    assert not guard.is_echo(now=1.02)


@pytest.mark.parametrize("audio_format", [PCMU, PCM])
def test_frames_are_not_kept_for_ever(audio_format: AudioFormat) -> None:
    guard, frame = EchoGuard(audio_format), b"\x0f" * 20 * audio_format.bytes_per_ms
    for number in range(10 * PENDING):
        guard.sent(frame, now=number / 50)
        guard.heard(frame, now=number / 50)
        assert len(guard._far._frames) <= PENDING
        assert len(guard._near._frames) <= PENDING
    guard.heard(b"", now=20.0)
    guard.heard(b"\xff" * 80_000, now=20.0)
    assert isinstance(guard.is_echo(now=20.0), bool)


def test_a_frame_of_any_length_is_judged() -> None:
    guard = EchoGuard(PCM)
    random = np.random.default_rng(1)
    now = 1.0
    for size in random.integers(0, 3000, 200):
        now += size / 48_000
        guard.sent(random.bytes(size), now=now)
        guard.heard(random.bytes(size), now=now)
        guard.is_echo(now=now)


@speech
@pytest.mark.parametrize("line", LINES, ids=NAMES)
def test_the_agent_does_not_hear_itself_from_the_first_word_on(line: Line) -> None:
    seconds = 12.0
    sent = coded(speak(seconds, 3))
    back = echo(sent, line, 4) + noise(len(sent), 5)
    with_guard, without = Ear(), Ear(guards=False)
    assert sum(with_guard.listen(sent, back)) == 0
    assert sum(without.listen(sent, back)) > 100, "else it would show nothing"
    assert with_guard.guard is not None
    delay_ms = with_guard.guard.delay_ms
    assert delay_ms is not None
    assert delay_ms == pytest.approx(line.delay_ms, abs=12)


@speech
def test_a_delay_that_changes_is_followed() -> None:
    sent = coded(speak(30.0, 6))
    back = echo(sent, Line(steps_s=3.0), 7) + noise(len(sent), 8)
    spoken = [at for at, is_speech in enumerate(Ear().listen(sent, back)) if is_speech]
    pauses = sum(at == 0 or spoken[at] - spoken[at - 1] > 12 for at in range(len(spoken)))
    assert pauses <= 4, "in ten steps"
    assert len(spoken) <= 5 * 8, "and none is long: a frame that is judged stands for five"


@speech
@pytest.mark.parametrize("room", ["line", "speakerphone"])
@pytest.mark.parametrize("caller_dbfs", [-18.0, -26.0])
def test_a_caller_over_the_echo_is_heard_at_once(room: Room, caller_dbfs: float) -> None:
    delays = []
    for seed in range(6):
        sent = coded(speak(5.0, 10 + seed))
        said = speak(1.0, 20 + seed, dbfs=caller_dbfs, is_caller=True)
        heard = echo(sent, Line(room), 30 + seed) + noise(len(sent), seed)
        heard[-len(said) :] += said
        onset = (len(sent) - len(said)) // 160
        spoken = [number for number, is_speech in enumerate(Ear().listen(sent, heard)) if is_speech]
        assert spoken, seed
        assert spoken[0] >= onset, seed
        delays.append(20 * (spoken[0] + 1 - onset))
    assert np.median(delays) <= 80
    assert max(delays) <= 240


@speech
@pytest.mark.parametrize("audio_format", [PCMU, PCM])
def test_on_a_line_without_echo_the_guard_costs_no_delay(audio_format: AudioFormat) -> None:
    for seed in range(3):
        sent = coded(speak(4.0, 40 + seed))
        heard = noise(len(sent), seed)
        heard[2 * RATE :] += speak(2.0, 50 + seed, dbfs=-24.0, is_caller=True)
        pairs = list(zip(frames(sent, audio_format), frames(heard, audio_format), strict=True))
        first = []
        for guards in (True, False):
            ear = Ear(audio_format, guards=guards)
            first.append([ear.hear(*pair) for pair in pairs].index(True))
        assert first[0] <= first[1] + 1, seed


@speech
def test_in_a_loud_place_without_echo_the_guard_costs_next_to_no_delay() -> None:
    """Noise 12 dB below the agent never falls below the level of an echo, and yet it is none."""
    waits: dict[bool, list[int]] = {True: [], False: []}
    for seed in range(12):
        sent, said = coded(speak(4.5, seed)), speak(1.5, 1000 + seed, is_caller=True)
        heard = white(len(sent), seed, level=32_768 * 10 ** (-32 / 20)).astype(np.float64)
        heard[-len(said) :] += said
        onset = (len(heard) - len(said)) // 160
        for guards in (True, False):
            spoken = [at for at, is_speech in enumerate(Ear(guards=guards).listen(sent, heard)) if is_speech]
            waits[guards].append(next(at for at in spoken if at >= onset) - onset)
    assert np.median(waits[True]) <= np.median(waits[False]) + 1
    assert max(waits[True]) <= max(waits[False]) + 5


@speech
def test_in_a_wideband_call_it_is_the_same() -> None:
    sent = coded(speak(10.0, 3))
    back = echo(sent, Line(), 4) + noise(len(sent), 5)
    ear = Ear(PCM)
    assert not any(ear.hear(*pair) for pair in zip(frames(sent, PCM), frames(back, PCM), strict=True))
    assert len(ear.costs) > 100
