"""How what was heard compares with what was said: PESQ narrow-band (ITU-T P.862), and PLCMOS for a second opinion.

PESQ compares with the original; PLCMOS, a neural network, hears only the result, and was trained on concealed losses.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import soxr
from numpy.fft import irfft, rfft
from pesq import pesq
from quality import clips
from quality.network import fates
from quality.plan import BURSTS, RANDOM, Trial
from quality.telephone import FRAME_SAMPLES
from quality.trials import Heard

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, decode_ulaw, encode_ulaw

try:
    import onnxruntime
    from speechmos import plcmos
except ImportError:
    plcmos = None

Direction: TypeAlias = Literal["caller to model", "model to caller", "silence for losses"]
"""The last is nobody's way: the same losses with nothing in their place, by which clips and bars can be judged."""
BASELINE: Final = "silence for losses"

PLCMOS_RATE = 16_000
PLCMOS_LISTENERS = 5
"""Imaginary ones, whose mean it is."""
SECOND_OPINION_SEEDS = 1
"""PLCMOS takes far longer than PESQ: it hears the first seed of each clip and network."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of one clip one way."""

    trial: Trial
    direction: Direction
    pesq: float
    plcmos: float | None
    """``None`` where it was not asked."""


def align(heard: Pcm, reference: Pcm) -> Pcm:
    """Return the part of what was heard that is the reference, as long as that; what is missing is silent."""
    size = 1 << (len(heard) + len(reference)).bit_length()
    correlation = irfft(rfft(heard.astype(np.float64), size) * np.conj(rfft(reference.astype(np.float64), size)), size)
    lag = int(np.argmax(correlation[: max(1, len(heard))]))
    part = heard[lag : lag + len(reference)]
    return np.concatenate((part, np.zeros(len(reference) - len(part), np.int16)))


def judge(reference: Pcm, heard: Pcm) -> float:
    """Return PESQ-NB's MOS-LQO, 1.0 to 4.5; 1.0 when there is nothing that it would judge."""
    part = align(heard, reference)
    return float(pesq(SAMPLE_RATE, reference, part, "nb")) if part.any() else 1.0


def second_opinion(reference: Pcm, heard: Pcm) -> float:
    """Return PLCMOS, 1 to 5."""
    wide = soxr.resample(align(heard, reference) / 32768.0, SAMPLE_RATE, PLCMOS_RATE)
    np.random.seed(1)
    return float(_plcmos()(np.clip(wide, -1, 1))["plcmos"])


def has_second_opinion() -> bool:
    """Whether the extra ``quality`` is installed."""
    return plcmos is not None


def score_all(heard: Sequence[Heard], *, seeds: int, progress: Callable[[float], None]) -> list[Score]:
    """Judge all, on every processor there is; ``progress`` is told how much is done, 0 to 1.

    :param seeds: how many there are of each clip and network
    """
    scores: list[Score] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(score_call, each, asks=_is_asked(each.trial, seeds)) for each in heard]
        for done, job in enumerate(as_completed(jobs), 1):
            scores += job.result()
            progress(done / len(jobs))
    return sorted(scores, key=lambda each: (each.trial.seed, each.direction))


def score_call(heard: Heard, *, asks: bool) -> list[Score]:
    """Judge a call both ways; ``asks`` for the second opinion, too.

    The baseline goes with it when its network loses packets, or does nothing wrong.
    """
    trial, reference = heard.trial, clips.clip(heard.trial.clip)
    ways: tuple[tuple[Direction, Pcm], ...] = (
        ("caller to model", heard.by_model),
        ("model to caller", heard.by_caller()),
    )
    scores = [
        Score(trial, direction, judge(reference, pcm), second_opinion(reference, pcm) if asks else None)
        for direction, pcm in ways
    ]
    if trial.network in (*RANDOM, BURSTS):
        scores.append(Score(trial, BASELINE, judge(reference, with_silence(trial)), None))
    return scores


def with_silence(trial: Trial) -> Pcm:
    """Return what is heard of a clip when lost packets are silent."""
    heard = decode_ulaw(encode_ulaw(clips.clip(trial.clip)))
    for at, fate in zip(range(0, len(heard), FRAME_SAMPLES), fates(trial.network, trial.seed), strict=False):
        if not fate:
            heard[at : at + FRAME_SAMPLES] = 0
    return heard


def _is_asked(trial: Trial, seeds: int) -> bool:
    return has_second_opinion() and (trial.seed - 1) % 100 < min(seeds, SECOND_OPINION_SEEDS)


@lru_cache(maxsize=1)
def _plcmos() -> Any:
    model = plcmos.PLCMOS(embed_rounds=PLCMOS_LISTENERS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # there is a process on every processor
    model.session = onnxruntime.InferenceSession(model.model_path, options)
    return model
