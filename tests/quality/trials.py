"""The calls in which both sides speak: a clip each way over a bad network, and what either side got of it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quality import clips
from quality.exchange import Exchange
from quality.listen import listen
from quality.network import carry, fates
from quality.plan import PERFECT, Trial
from quality.telephone import FRAME_SAMPLES, SILENCE, Telephone

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, decode_ulaw, encode_ulaw

LEAD_S = 0.5
"""Silence before the clip: what comes first may find the way not yet open."""
TAIL_S = 1.0
"""And after: the jitter buffers hold the end back."""
DOWN_SEED = 1_000_000
"""The ways there and back have different seeds."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a call, PCM at 8 kHz: the clip somewhere in it."""

    trial: Trial
    by_model: Pcm
    by_caller: Pcm


async def run_trials(
    exchange: Exchange, trials: Sequence[Trial], *, at_once: int, progress: Callable[[int], None]
) -> list[Heard]:
    """Make all the calls; ``progress`` is told how many are over."""
    heard: list[Heard] = []
    places = asyncio.Semaphore(at_once)

    async def run(trial: Trial) -> None:
        async with places:
            heard.append(await run_trial(exchange, trial))
            progress(len(heard))

    async with asyncio.TaskGroup() as group:
        for trial in trials:
            group.create_task(run(trial))
    return heard


async def run_trial(exchange: Exchange, trial: Trial) -> Heard:
    """Make a call; the caller and the model say the same clip."""
    return await converse(exchange, trial, clips.clip(trial.clip))


async def run_tone(exchange: Exchange, seconds: float) -> Heard:
    """Make a call over a perfect network in which both hold a tone."""
    return await converse(exchange, Trial(PERFECT, -1, 0), clips.tone(seconds))


async def converse(exchange: Exchange, trial: Trial, pcm: Pcm) -> Heard:
    """Make a call in which both say the same."""
    audio = encode_ulaw(pcm)
    said = _frames(audio)
    telephone = Telephone(lambda: next(said, SILENCE), fates(trial.network, trial.seed), random=exchange.random)
    async with exchange.call(telephone, audio) as session:
        await asyncio.sleep(LEAD_S + len(pcm) / SAMPLE_RATE + TAIL_S)
    arrivals = carry(telephone.arrivals, trial.network, trial.seed + DOWN_SEED)
    return Heard(trial, decode_ulaw(bytes(session.heard)), listen(arrivals))


def _frames(audio: bytes) -> Iterator[bytes]:
    for _ in range(round(LEAD_S * SAMPLE_RATE / FRAME_SAMPLES)):
        yield SILENCE
    for at in range(0, len(audio), FRAME_SAMPLES):
        yield audio[at : at + FRAME_SAMPLES].ljust(FRAME_SAMPLES, SILENCE[:1])
