"""The jitter buffer on simulated networks: traces of delays by seed, on a clock of our own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from sipagent.audio.g711 import Pcm, decode_ulaw, encode_ulaw, to_pcm
from sipagent.call.jitter_buffer import HISTORY_MS, MOST_HELD_S, JitterBuffer, JitterStats
from sipagent.rtp.session import Frame

FRAME_S = 0.020
SIZE = 160
PHASE_S = 0.0071
"""Packets come when ticks don't."""
FIRST_TIMESTAMP = 2**32 - 5 * SIZE
"""It wraps in the first moments."""


class Repeater:
    """A concealer as plain as can be: the last 10 ms again and again, for 60 ms."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.foreseen = 0
        self.recovered = 0
        self._period: Pcm | None = None
        self._age = 0

    def conceal(self, samples: int, *, history: Pcm, future: Pcm | None = None) -> Pcm:
        assert samples > 0
        assert len(history) >= HISTORY_MS * 8
        if self._period is None:
            self._period, self._age = history[-80:], 0
        ages = self._age + np.arange(samples)
        self._age += samples
        self.asked.append(samples)
        self.foreseen += future is not None
        if future is not None:
            self._period = None
            return to_pcm(np.resize(history[-80:], samples) * 1.0)
        return to_pcm(self._period[ages % 80] * np.clip(1 - ages / 480, 0, 1))

    def recover(self, frame: Pcm) -> Pcm:
        self._period = None
        self.recovered += 1
        return frame


def speech(seconds: float, *, pause_s: float = 0.4, seed: int = 1) -> Pcm:
    """Vowels of 600 ms and pauses with a little noise."""
    time = np.arange(round(seconds * 8_000)) / 8_000
    speaks = time % (0.6 + pause_s) < 0.6
    vowel = sum(np.sin(2 * np.pi * 130 * n * time + n) / n for n in range(1, 20)) * 4_000
    hiss = np.random.default_rng(seed).standard_normal(len(time)) * 20
    return to_pcm(vowel * speaks + hiss)


@dataclass
class Ear:
    """A buffer, and whoever listens to it every 20 ms."""

    audio: Pcm = field(default_factory=lambda: speech(1.0))
    concealer: Repeater = field(default_factory=Repeater)
    now: float = 100.0
    heard: list[Pcm] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.law = encode_ulaw(self.audio)
        self.buffer = JitterBuffer(decode=lambda frame: decode_ulaw(frame.payload), concealer=self.concealer)

    def payload(self, number: int) -> bytes:
        at = number * SIZE % (len(self.law) - SIZE + 1)
        return self.law[at : at + SIZE]

    def frame(self, number: int, *, lost: bool = False, first: int = FIRST_TIMESTAMP) -> Frame:
        return make_frame(b"" if lost else self.payload(number), first + number * SIZE, lost=lost)

    def tick(self, *frames: Frame) -> Pcm:
        """Let frames come, each a little before its tick, then listen."""
        for frame in frames:
            self.buffer.receive(frame, now=self.now + FRAME_S - PHASE_S)
        self.now += FRAME_S
        self.heard.append(self.buffer.take(SIZE, now=self.now))
        assert len(self.heard[-1]) == SIZE
        assert self.heard[-1].dtype == np.int16
        self.delays.append(self.buffer.stats.delay_ms)
        return self.heard[-1]

    def run(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.tick(self.frame(number))

    def listen(self, delays: list[float], *, lose: Callable[[int], bool] = lambda number: False) -> JitterStats:
        """Let packets come with these delays, in seconds, one every 20 ms is sent."""
        arrivals = sorted(
            (self.now + number * FRAME_S + PHASE_S + delay, number)
            for number, delay in enumerate(delays)
            if not lose(number)
        )
        arrivals.reverse()
        for _ in range(len(delays)):
            self.now += FRAME_S
            while arrivals and arrivals[-1][0] <= self.now:
                at, number = arrivals.pop()
                self.buffer.receive(self.frame(number), now=at)
            self.heard.append(self.buffer.take(SIZE, now=self.now))
            assert len(self.heard[-1]) == SIZE
            self.delays.append(self.buffer.stats.delay_ms)
        return self.buffer.stats

    @property
    def pcm(self) -> Pcm:
        return np.concatenate(self.heard)


def make_frame(payload: bytes, timestamp: int, *, lost: bool = False, samples: int = SIZE) -> Frame:
    return Frame(payload, 0, timestamp & 0xFFFFFFFF, lost, samples)


def in_turn(delays: Iterable[float]) -> list[float]:
    """The delays of a network that overtakes nothing: a packet waits for the one before."""
    ordered: list[float] = []
    for delay in delays:
        ordered.append(max(delay, ordered[-1] - FRAME_S) if ordered else delay)
    return ordered


def traces(name: str, packets: int, seed: int) -> list[float]:
    random = Random(seed)
    match name:
        case "gauss":
            return [max(0.0, random.gauss(0.06, 0.015)) for _ in range(packets)]
        case "uniform":
            return [random.uniform(0.0, 0.2) for _ in range(packets)]
        case "queue":
            return in_turn(random.uniform(0.0, 0.2) for _ in range(packets))
        case "spikes":
            return in_turn(random.uniform(0.0, 0.005) + 0.15 * (random.random() < 0.004) for _ in range(packets))
        case "wifi":
            return in_turn(
                random.expovariate(250.0) + (random.uniform(0.05, 0.2) if random.random() < 0.01 else 0.0)
                for _ in range(packets)
            )
        case _:
            return [random.uniform(0.0, 0.003) for _ in range(packets)]


# Nothing happens


def test_an_even_network_costs_little_and_changes_nothing() -> None:
    ear = Ear(speech(10.0))
    stats = ear.listen([0.0] * 500)
    assert 20.0 <= stats.delay_ms <= 40.0
    assert max(ear.delays) <= 40.0
    assert (stats.late, stats.concealed_ms, stats.lengthened_ms, stats.shortened_ms) == (0, 0.0, 0.0, 0.0)
    heard, said = ear.pcm, decode_ulaw(ear.law)
    begin = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(said)[0])
    assert begin <= 40 * 8
    assert np.array_equal(heard[begin:], said[: len(heard) - begin]), "to the last bit"


def test_what_is_out_of_order_in_time_or_twice_is_put_right() -> None:
    random = Random(3)
    ear = Ear(speech(10.0))
    ear.listen([random.choice((0.0, 0.03, 0.09)) for _ in range(200)])
    settled, late = len(ear.heard), ear.buffer.stats.late
    for number in range(200, 400, 4):
        four = [ear.frame(n) for n in range(number, number + 4)]
        random.shuffle(four)
        ear.tick(*four[:1], *four[:1])
        ear.tick(*four[1:3])
        ear.tick(*four[3:], *four[1:3])
        ear.tick()
    heard, said = np.concatenate(ear.heard[settled + 20 :]), decode_ulaw(ear.law)
    window = np.lib.stride_tricks.sliding_window_view(said, 4_000)
    assert (window == heard[-4_000:]).all(axis=1).any()
    assert ear.buffer.stats.late == late


def test_silence_before_the_first_frame() -> None:
    ear = Ear()
    assert not ear.tick().any()
    assert ear.buffer.stats == JitterStats(0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 40.0)


# Jitter


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "most_delay_ms", "most_concealed_ms"),
    [("gauss", 140, 150), ("uniform", 240, 320), ("queue", 240, 320), ("spikes", 190, 1500), ("wifi", 240, 1500)],
)
def test_nearly_nothing_comes_too_late(name: str, seed: int, most_delay_ms: float, most_concealed_ms: float) -> None:
    ear = Ear(speech(60.0))
    stats = ear.listen(traces(name, 3_000, seed))
    assert stats.late <= 30, "one of a hundred"
    assert max(ear.delays) <= most_delay_ms
    assert stats.concealed_ms <= most_concealed_ms
    assert (stats.dropped, stats.restarts) == (0, 0)


@pytest.mark.parametrize("pause_s", [0.4, 0.0])
@pytest.mark.parametrize("name", ["uniform", "queue"])
def test_it_grows_with_the_jitter_and_comes_back(name: str, pause_s: float) -> None:
    """40 to 240 ms under jitter of 200 ms; 60 ms or less within ten seconds of calm, pauses or not."""
    ear = Ear(speech(40.0, pause_s=pause_s))
    stats = ear.listen(traces("calm", 500, 1) + traces(name, 1_000, 2) + traces("calm", 700, 3))
    assert max(ear.delays[:500]) <= 45.0
    assert 180.0 <= max(ear.delays[600:1500]) <= 240.0
    assert max(ear.delays[2000:]) <= 60.0
    assert stats.late <= 10, "one of a hundred, of those with jitter"


def test_a_longer_way_is_no_jitter_for_long() -> None:
    """A step of 200 ms: a gap once, and soon the delay above the fastest packet is what it was."""
    ear = Ear(speech(40.0))
    stats = ear.listen(in_turn([0.01] * 1_000 + [0.21] * 1_000))
    assert stats.late == 0
    assert stats.concealed_ms <= 220.0
    assert ear.delays[-1] <= 45.0


def test_a_spike_is_played_late_and_not_thrown_away() -> None:
    ear = Ear(speech(10.0))
    stats = ear.listen(in_turn([0.0] * 200 + [0.3] + [0.0] * 799))
    assert stats.played >= 998
    assert (stats.late, stats.dropped) == (0, 0)
    assert 240.0 <= stats.concealed_ms <= 300.0


# Pauses and speech


def test_pauses_are_changed_before_speech_is() -> None:
    """After a spike the delay is taken off again, and the vowels keep their lengths but for what was urgent."""
    ear = Ear(speech(30.0, pause_s=0.4))
    stats = ear.listen(in_turn([0.0] * 500 + [0.05] + [0.0] * 999))
    assert stats.shortened_ms > 0
    loud = np.abs(ear.pcm).reshape(-1, 40).max(axis=1) > 1_000
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    lengths = np.diff(edges)[::2] if loud[edges[0] + 1] else np.diff(edges)[1::2]
    assert sum(abs(int(length) * 5 - 600) > 10 for length in lengths) <= 1, "the vowel that had to wait"


def test_without_pauses_speech_is_stretched() -> None:
    ear = Ear(speech(30.0, pause_s=0.0))
    ear.listen(in_turn([0.0] * 500 + [0.05] + [0.0] * 999))
    assert ear.delays[-1] <= 45.0
    bends = np.abs(np.diff(ear.pcm.astype(np.float64), 2))
    said = np.abs(np.diff(ear.audio.astype(np.float64), 2))
    assert bends[520 * SIZE :].max() <= 1.2 * said.max(), "no click"


# What is missing


def test_what_is_lost_is_concealed_in_its_length() -> None:
    ear = Ear(speech(20.0))
    ear.run(range(100))
    before = ear.buffer.stats.delay_ms
    for number in range(100, 200):
        ear.tick(ear.frame(number, lost=number % 10 == 0))
    stats = ear.buffer.stats
    assert stats.concealed_ms == pytest.approx(200.0, abs=20.0)
    assert ear.concealer.foreseen == 10, "the frame behind each was there already"
    assert ear.concealer.recovered == 0
    assert stats.delay_ms == pytest.approx(before, abs=9.0)
    assert stats.late == 0


@pytest.mark.parametrize("missing", [1, 3, 8])
def test_what_is_missing_without_word_is_given_up_in_time(missing: int) -> None:
    ear = Ear(speech(20.0))
    stats = ear.listen([0.0] * 500, lose=lambda number: 200 <= number < 200 + missing)
    assert stats.concealed_ms == pytest.approx(missing * 20.0, abs=12.0)
    assert max(ear.delays[300:]) <= 45.0
    assert stats.late == 0


def test_a_frame_thought_lost_is_played_if_it_comes_in_time() -> None:
    ear = Ear()
    ear.listen([0.1 * (number % 2) * (number < 190) for number in range(200)])
    before, recovered = ear.buffer.stats, ear.concealer.recovered
    for number in range(200, 230):
        ear.tick(ear.frame(number, lost=True), *([ear.frame(number - 2)] if number >= 202 else []))
    assert ear.buffer.stats.late == before.late
    assert ear.buffer.stats.concealed_ms == before.concealed_ms
    assert ear.concealer.recovered == recovered


def test_a_late_frame_is_counted_and_not_heard() -> None:
    ear = Ear()
    ear.run(range(50))
    ear.tick(ear.frame(51), ear.frame(52))
    ear.run(range(53, 60))
    ear.tick(ear.frame(50), ear.frame(60))
    stats = ear.buffer.stats
    assert stats.late == 1
    assert stats.concealed_ms == pytest.approx(20.0, abs=5.0)


@pytest.mark.parametrize("told", [False, True])
def test_silence_that_was_not_sent_is_no_loss(told: bool) -> None:
    """DTX: two seconds of nothing, of which a frame may tell when speech comes again."""
    ear = Ear(speech(10.0))
    ear.run(range(100))
    for _ in range(100):
        ear.tick()
    between = [make_frame(b"", FIRST_TIMESTAMP + 100 * SIZE, samples=100 * SIZE)] if told else []
    ear.tick(*between, ear.frame(200))
    ear.run(range(201, 260))
    stats = ear.buffer.stats
    assert stats.delay_ms <= 50.0
    assert (stats.late, stats.restarts) == (0, 0)
    if told:
        assert stats.concealed_ms == 0.0


def test_silence_told_in_time_is_played_as_silence() -> None:
    ear = Ear(speech(1.0, pause_s=0.0))
    ear.run(range(50))
    for number in range(50, 60):
        ear.tick(make_frame(b"", FIRST_TIMESTAMP + number * SIZE))
    ear.run(range(60, 70))
    silent = [not heard.any() for heard in ear.heard[50:]]
    assert sum(silent) >= 9
    assert ear.buffer.stats.concealed_ms == 0.0
    assert ear.buffer.stats.played >= 57


def test_an_outage_ends_where_the_stream_is_then() -> None:
    ear = Ear(speech(20.0))
    stats = ear.listen([0.0] * 900, lose=lambda number: 300 <= number < 400)
    assert ear.delays[-1] <= 45.0
    assert stats.played >= 790


# Another beginning


@pytest.mark.parametrize("first", [FIRST_TIMESTAMP, FIRST_TIMESTAMP + 2**31 - 1, FIRST_TIMESTAMP - 90_000, 77])
def test_another_source_is_heard_at_once(first: int) -> None:
    """Its timestamps are anything; not a frame of either is lost, and nothing is concealed."""
    ear = Ear(speech(10.0, pause_s=0.0))
    ear.run(range(100))
    for number in range(100, 200):
        ear.tick(ear.frame(number - 100, first=first))
    stats = ear.buffer.stats
    assert stats.restarts == 1
    assert stats.played >= 197
    assert (stats.late, stats.concealed_ms) == (0, 0.0)
    assert stats.delay_ms <= 50.0
    assert all(heard.any() for heard in ear.heard[3:])


def test_a_source_that_rests_without_counting_goes_on() -> None:
    """Its timestamps stand still while it is silent for three seconds."""
    ear = Ear()
    ear.run(range(100))
    for _ in range(150):
        ear.tick()
    ear.run(range(100, 160))
    stats = ear.buffer.stats
    assert stats.restarts == 1
    assert stats.played >= 157
    assert stats.delay_ms <= 45.0


# Bounds


def test_a_burst_after_a_stall_is_bounded() -> None:
    ear = Ear(speech(20.0))
    ear.run(range(100))
    for _ in range(45):
        ear.tick()
    ear.tick(*(ear.frame(number) for number in range(100, 146)))
    stats = ear.buffer.stats
    assert len(ear.buffer._frames) * FRAME_S <= MOST_HELD_S
    assert stats.delay_ms <= MOST_HELD_S * 1_000 + 40
    assert stats.dropped == pytest.approx(46 - MOST_HELD_S / FRAME_S, abs=2)
    ear.run(range(146, 146 + 500))
    assert ear.buffer.stats.delay_ms <= 60.0


def test_noise_for_timestamps_is_survived() -> None:
    random = Random(7)
    ear = Ear()
    for _ in range(2_000):
        payload = random.choice((b"", ear.payload(random.randrange(50)), b"\xff"))
        frame = make_frame(payload, random.choice((random.getrandbits(32), random.randrange(10_000))))
        ear.tick(frame._replace(lost=not payload and random.random() < 0.5, samples=random.choice((0, 1, 160, 48_000))))
        assert len(ear.buffer._frames) <= 200
        assert len(ear.buffer._pcm) <= 8_000


# Another clock


@pytest.mark.parametrize("millionths", [1_000, -1_000])
def test_the_senders_clock_is_another(millionths: int) -> None:
    """What 200 millionths make in an hour, in 12 minutes: 720 ms. Neither a gap nor a delay that drifts."""
    ear, random = Ear(speech(60.0)), Random(5)
    number, due_at = 0, ear.now
    for _ in range(36_000):
        ear.now += FRAME_S
        while due_at <= ear.now:
            ear.buffer.receive(ear.frame(number), now=due_at)
            number += 1
            due_at = 100.0 + number * FRAME_S * (1 - millionths * 1e-6) + random.uniform(0.0, 0.002)
        ear.buffer.take(SIZE, now=ear.now)
        ear.delays.append(ear.buffer._played_after * 1_000)
    stats = ear.buffer.stats
    assert (stats.late, stats.dropped, stats.concealed_ms, stats.restarts) == (0, 0, 0.0, 0)
    assert max(ear.delays[50:]) - min(ear.delays[50:]) <= 20.0
    changed = stats.shortened_ms - stats.lengthened_ms
    assert changed == pytest.approx(720.0 * millionths / 1_000, abs=30.0)


# Other rates


@pytest.mark.parametrize(("rate", "clock_rate"), [(16_000, 8_000), (48_000, 48_000)])
def test_other_rates(rate: int, clock_rate: int) -> None:
    """G.722 counts half its samples; Opus counts them all."""
    size, step = rate // 50, clock_rate // 50
    time = np.arange(size * 500) / rate
    tone = to_pcm(8_000 * np.sin(2 * np.pi * 200 * time))
    pieces = {number * step: tone[number * size : (number + 1) * size] for number in range(500)}
    random, concealer = Random(1), Repeater()
    buffer = JitterBuffer(
        decode=lambda frame: pieces[frame.timestamp], concealer=concealer, rate=rate, clock_rate=clock_rate
    )
    now, heard = 0.0, []
    for number in range(500):
        now += FRAME_S
        buffer.receive(Frame(b"x", 9, number * step, False, step), now=now + random.uniform(0.001, 0.005))
        heard.append(buffer.take(size, now=now + 0.01))
    assert {len(piece) for piece in heard} == {size}
    stats = buffer.stats
    assert (stats.played, stats.concealed_ms) == (pytest.approx(498, abs=2), 0.0)
    assert stats.delay_ms <= 45.0
    spectrum = np.abs(np.fft.rfft(np.concatenate(heard)[2 * size :]))
    assert int(spectrum.argmax()) * rate / (len(heard) - 2) / size == pytest.approx(200, abs=1)


@pytest.mark.parametrize(("packet_ms", "tick_ms"), [(60, 60), (60, 20), (20, 60), (10, 20), (20, 10), (30, 20)])
def test_packets_and_ticks_of_any_length(packet_ms: int, tick_ms: int) -> None:
    """The delay settles as low as both allow, and nothing is concealed or stretched to and fro."""
    law = encode_ulaw(speech(60.0))
    buffer = JitterBuffer(decode=lambda frame: decode_ulaw(frame.payload), concealer=Repeater())
    size, random, sent, delays = packet_ms * 8, Random(1), 0, []
    for tick in range(20_000 // tick_ms):
        now = tick * tick_ms / 1000
        while (sent + 1) * packet_ms / 1000 + 0.0071 <= now:
            payload = law[sent * size : (sent + 1) * size]
            arrived = (sent + 1) * packet_ms / 1000 + 0.0071 + random.uniform(0.0, 0.001)
            buffer.receive(make_frame(payload, sent * size, samples=size), now=arrived)
            sent += 1
        assert len(buffer.take(tick_ms * 8, now=now)) == tick_ms * 8
        delays.append(buffer.stats.delay_ms)
    stats = buffer.stats
    assert stats.concealed_ms == 0.0
    assert stats.lengthened_ms + stats.shortened_ms <= 40.0
    assert delays[-1] <= tick_ms + 40.0
