"""The ear's own process: pocketsphinx with a grammar of set phrases, spoken to over a pipe.

Free dictation over a telephone it gets more wrong than right; which of forty sentences was said, it tells well.
Run as ``python -m sipagent.aio.ear_worker``.
"""

import re
from typing import TypeAlias

import numpy as np
import pocketsphinx
import soxr
from numpy.typing import NDArray

from sipagent.aio.pipe import ChildPipe, HearRequest, Hello

Pcm: TypeAlias = NDArray[np.int16]

RATE = 16_000
"""Hz; what the acoustic model was trained on. A telephone fills the lower half of it."""
LINE_NOISE = 60.0
"""The level of an ordinary line (-55 dBFS). The model has never heard digital silence, and takes it for half a word."""
QUIET = 100
"""Up to this level (-50 dBFS) is silence."""
PAUSE_MS = 300
"""Before and after a phrase, in place of whatever silence came with it."""
SEARCH = "phrases"
MIN_SCORE = 0.5
"""Of the best path, from 0 to 1. With it, 96 % of 35 phrases in 8 voices are understood, and 9 of 10 others refused."""
MAX_AUDIO_S = 15
"""No phrase is longer; of a longer turn the end is heard."""

_WORD = re.compile(r"[a-z']+")


class Ear:
    """The decoder, with the grammar of the last request."""

    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(lm=None, cmn="batch", loglevel="FATAL")  # no caller colours the next
        self._phrases: tuple[str, ...] = ()

    def hear(self, request: HearRequest) -> str:
        """The phrase that was said, or an empty text."""
        if not self._learn(request.phrases):
            return ""
        samples = np.frombuffer(request.audio, np.int16)[-MAX_AUDIO_S * request.rate :]
        audio = soxr.resample(_on_a_line(samples, request.rate), request.rate, RATE).tobytes()
        self._decoder.start_utt()
        self._decoder.process_raw(audio, full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        if hypothesis is None or hypothesis.best_score < MIN_SCORE:
            return ""
        return complete(str(hypothesis.hypstr), request.phrases)

    def _learn(self, phrases: tuple[str, ...]) -> bool:
        """Make a grammar of the phrases whose words are all in the dictionary; whether there are any."""
        if phrases == self._phrases:
            return True
        known = [phrase for phrase in dict.fromkeys(phrases) if self._is_known(phrase)]
        if not known:
            return False
        grammar = f"#JSGF V1.0; grammar local; public <phrase> = {' | '.join(known)};"
        self._decoder.add_jsgf_string(SEARCH, grammar)
        self._decoder.activate_search(SEARCH)
        self._phrases = phrases
        return True

    def _is_known(self, phrase: str) -> bool:
        words = phrase.split()
        return bool(words) and all(_WORD.fullmatch(word) and self._decoder.lookup_word(word) for word in words)


def complete(heard: str, phrases: tuple[str, ...]) -> str:
    """The phrase itself, or the only one that begins so: the decoder may lose the last word."""
    if heard in phrases:
        return heard
    longer = sorted((phrase for phrase in phrases if phrase.startswith(f"{heard} ")), key=len)
    return longer[0] if longer and all(phrase.startswith(longer[0]) for phrase in longer) else ""


def _on_a_line(samples: Pcm, rate: int) -> Pcm:
    """What is loud of the samples, as a real line would carry it: a pause before and after, and a little noise."""
    pause = np.zeros(rate * PAUSE_MS // 1000, np.int16)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    spoken = samples[loud[0] : loud[-1] + 1] if len(loud) else samples[:0]
    padded = np.concatenate((pause, spoken, pause)).astype(np.float32)
    noisy = padded + np.random.default_rng(0).normal(0.0, LINE_NOISE, len(padded))
    return np.clip(noisy, -32768, 32767).astype(np.int16)


def main() -> None:
    """Answer requests until the parent is gone."""
    pipe = ChildPipe()
    ear = Ear()
    pipe.write(Hello("pocketsphinx"))
    while (request := pipe.read(HearRequest)) is not None:
        pipe.write(ear.hear(request))


if __name__ == "__main__":
    main()
