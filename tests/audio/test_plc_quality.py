"""Concealment judged by PESQ on recorded speech: a fast watch over what `make quality` measures at length."""

import wave
from pathlib import Path
from random import Random

import numpy as np
import pytest

from sipagent.audio.g711 import Pcm, decode_ulaw, encode_ulaw
from sipagent.audio.plc import HISTORY_MS, Concealer

pesq = pytest.importorskip("pesq")

SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
"""Debian's asterisk-core-sounds-en-wav."""
PROMPTS = ("demo-congrats", "demo-instruct", "demo-abouttotry")
SECONDS = 8
FRAME = 160
HISTORY = HISTORY_MS * 8
LOSS = 0.05

pytestmark = pytest.mark.skipif(not SOUNDS.exists(), reason="Debian's asterisk-core-sounds-en-wav is not installed")


def speech(prompt: str) -> Pcm:
    with wave.open(str(SOUNDS / f"{prompt}.wav")) as file:
        return np.frombuffer(file.readframes(SECONDS * 8_000), np.int16)


def frames_lost(count: int, seed: int) -> list[range]:
    """Return the gaps, in frames, each with a good frame behind."""
    random = Random(seed)
    lost = [5 < at < count - 1 and random.random() < LOSS for at in range(count)]
    begins = [at for at in range(1, count) if lost[at] and not lost[at - 1]]
    return [range(begin, next(at for at in range(begin, count) if not lost[at])) for begin in begins]


def received(sent: Pcm, *, both_sides: bool | None, seed: int) -> Pcm:
    """Return what is heard at the other end of G.711 and a loss; ``None`` conceals by silence."""
    heard, ours = decode_ulaw(encode_ulaw(sent)), Concealer(8_000, random=Random(seed))
    for gap in frames_lost(heard.size // FRAME, seed):
        begin, end = gap.start * FRAME, gap.stop * FRAME
        after = heard[end : end + FRAME]
        if both_sides is None:
            heard[begin:end] = 0
        elif both_sides:
            heard[begin:end] = ours.conceal(end - begin, history=heard[begin - HISTORY : begin], future=after)
        else:
            for at in range(begin, end, FRAME):
                heard[at : at + FRAME] = ours.conceal(FRAME, history=heard[at - HISTORY : at])
            heard[end : end + FRAME] = ours.recover(after)
    return heard


def mean_pesq(*, both_sides: bool | None) -> float:
    clips = [speech(prompt) for prompt in PROMPTS]
    scores = [
        pesq.pesq(8_000, clip, received(clip, both_sides=both_sides, seed=seed), "nb")
        for seed, clip in enumerate(clips)
    ]  # fmt: skip
    return float(np.mean(scores))


def test_five_percent_lost() -> None:
    silence, one_sided, two_sided = (mean_pesq(both_sides=sides) for sides in (None, False, True))
    print(f"PESQ at 5 % loss: silence {silence:.2f}, from the past {one_sided:.2f}, from both sides {two_sided:.2f}")
    assert one_sided > silence + 0.4
    assert two_sided > silence + 0.8
