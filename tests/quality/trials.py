"""The calls in which both sides speak: a clip each way over a bad network, and what either side got of it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quality import clips
from quality.exchange import Exchange
from quality.listen import listen, read_wire
from quality.network import carry, fates
from quality.plan import FRAME_S, PERFECT, Network, Trial
from quality.telephone import FRAME_SAMPLES, SILENCE, Telephone

from sipagent.audio.g711 import Pcm, decode_ulaw, encode_ulaw

LEAD_S = 0.5
"""Silence before the clip: what comes first may find the way not yet open."""
TAIL_S = 1.0
"""And after: the jitter buffers hold the end back."""
DOWN_SEED = 1_000_000
"""The ways there and back have different seeds."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a call, the clip somewhere in it."""

    trial: Trial
    by_model: Pcm
    """At 8 kHz."""
    arrivals: Sequence[tuple[float, bytes]]
    """What came to the telephone, before the network takes its share of it."""

    def by_caller(self) -> Pcm:
        """Listen to it; that takes its time, so it is not done while there are calls.

        :returns: PCM at 8 kHz
        """
        trial = self.trial
        return listen(carry(self.arrivals, trial.network, trial.seed + DOWN_SEED), seed=trial.seed)


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
    by_model, arrivals = await converse(exchange, trial.network, trial.seed, clips.clip(trial.clip))
    return Heard(trial, by_model, arrivals)


async def run_tone(exchange: Exchange, seconds: float) -> tuple[Pcm, Pcm]:
    """Make a call over a perfect network in which both hold a tone; return what model and caller got."""
    by_model, arrivals = await converse(exchange, PERFECT, 0, clips.tone(seconds))
    return by_model, read_wire(arrivals)


async def converse(
    exchange: Exchange, network: Network, seed: int, pcm: Pcm
) -> tuple[Pcm, Sequence[tuple[float, bytes]]]:
    """Make a call in which both say the same.

    :returns: what the model was sent, and what came to the telephone, before the network takes its share of it
    """
    audio = encode_ulaw(pcm)
    said = _frames(audio)
    telephone = Telephone(lambda: next(said, SILENCE), fates(network, seed), random=exchange.random)
    async with exchange.call(telephone, audio) as session:
        await telephone.talk(round((LEAD_S + TAIL_S) / FRAME_S) + len(pcm) // FRAME_SAMPLES)
    return decode_ulaw(bytes(session.heard)), telephone.arrivals


def _frames(audio: bytes) -> Iterator[bytes]:
    for _ in range(round(LEAD_S / FRAME_S)):
        yield SILENCE
    for at in range(0, len(audio), FRAME_SAMPLES):
        yield audio[at : at + FRAME_SAMPLES].ljust(FRAME_SAMPLES, SILENCE[:1])
