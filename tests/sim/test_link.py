from itertools import pairwise
from random import Random

import pytest
from sim.link import Link, LinkSettings
from sim.voice import PHRASES, hear, say, speak

from sipagent.audio.g711 import ulaw_to_alaw

COUNT = 20_000


def arrivals(settings: LinkSettings, seed: int = 1) -> list[tuple[float, ...]]:
    link = Link(settings, Random(seed))
    return [link.arrivals(n * 0.020) for n in range(COUNT)]


def test_a_good_line() -> None:
    assert arrivals(LinkSettings(latency_s=0.1)) == [(n * 0.020 + 0.1,) for n in range(COUNT)]


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1.0), (0.2, 1.0), (0.2, 4.0), (0.3, 1.0)])
def test_loss(loss: float, burst: float) -> None:
    lost = "".join("." if at else "x" for at in arrivals(LinkSettings(loss=loss, burst=burst)))
    assert lost.count("x") / COUNT == pytest.approx(loss, rel=0.1)
    bursts = [each for each in lost.split(".") if each]
    if burst > 1:
        assert sum(map(len, bursts)) / len(bursts) == pytest.approx(burst, rel=0.1)


def test_duplicates() -> None:
    counts = [len(at) for at in arrivals(LinkSettings(duplicate=0.1))]
    assert set(counts) == {1, 2}
    assert counts.count(2) / COUNT == pytest.approx(0.1, rel=0.1)


def test_jitter_keeps_the_order() -> None:
    times = [at[0] for at in arrivals(LinkSettings(jitter_s=0.1))]
    assert times == sorted(times)


def test_reordering() -> None:
    times = [at[0] for at in arrivals(LinkSettings(reorder=0.1, reorder_s=0.05))]
    overtaken = sum(after < before for before, after in pairwise(times))
    assert overtaken / COUNT == pytest.approx(0.1 * 0.9, rel=0.1)


def test_the_same_seed_is_the_same_network() -> None:
    bad = LinkSettings(jitter_s=0.03, loss=0.1, burst=3.0, duplicate=0.1, reorder=0.1)
    assert arrivals(bad) == arrivals(bad)
    assert arrivals(bad) != arrivals(bad, seed=2)


@pytest.mark.parametrize("phrase", PHRASES)
def test_the_ear_knows_every_phrase(phrase: str) -> None:
    audio = say(phrase)
    assert hear(audio, "PCMU") == phrase
    assert hear(ulaw_to_alaw(audio), "PCMA") == phrase
    assert hear(b"\xff" * 2400 + audio + b"\xff" * 4000, "PCMU") == phrase


def test_the_ear_makes_no_words_of_noise() -> None:
    assert hear(b"\xff" * 8000, "PCMU") == ""
    assert hear(Random(1).randbytes(80), "PCMU") == ""


@pytest.mark.parametrize(("codec", "silence"), [("PCMU", 0xFF), ("PCMA", 0xD5)])
def test_the_agents_voice_has_no_byte_of_silence_and_does_not_repeat_itself(codec: str, silence: int) -> None:
    audio = speak("Once upon a time, in a small town by the sea.", codec)
    assert silence not in audio
    frames = [audio[n : n + 160] for n in range(0, len(audio), 160)]
    assert len(set(frames)) == len(frames)
