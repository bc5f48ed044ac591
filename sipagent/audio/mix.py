"""Mixing: int16 samples added without wrapping round, made louder or softer, and conferences.

Sums are 32 bits wide and are clipped once, at the end, so the order of the parts makes no difference.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm, to_pcm
from sipagent.errors import LocalProtocolError

LOWEST: Final = -32_768
HIGHEST: Final = 32_767
MAX_LEGS: Final = 65_536
"""So many samples of full scale still fit into the 32 bits of a sum."""


def gain(pcm: Pcm, db: float) -> Pcm:
    """Return it louder by ``db`` (softer, below 0), clipped at full scale."""
    return pcm if db == 0 else to_pcm(pcm.astype(np.float64) * factor_of(db))


def factor_of(db: float) -> float:
    """Return by what a sample is multiplied when its level changes by ``db``."""
    return float(10 ** (db / 20))


def mix(parts: Sequence[Pcm]) -> Pcm:
    """Return the sum, as long as the longest part; the others are followed by silence."""
    total = np.zeros(max((len(part) for part in parts), default=0), np.int32)
    for part in parts:
        total[: len(part)] += part
    return _clip(total)


def mix_minus(frames: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return what each leg of a conference hears: all the others, and not itself.

    One sum serves all, so the work grows with the legs, not with their pairs.

    :param frames: of shape (legs, samples), as is what is returned.
    :raises LocalProtocolError: for more legs than a sum can hold
    """
    if len(frames) > MAX_LEGS:
        raise LocalProtocolError(f"a conference has {MAX_LEGS} legs at most, not {len(frames)}")
    return _clip(frames.sum(axis=0, dtype=np.int32) - frames)


def _clip(total: NDArray[np.int32]) -> NDArray[np.int16]:
    clipped: NDArray[np.int16] = total.clip(LOWEST, HIGHEST).astype(np.int16)
    return clipped
