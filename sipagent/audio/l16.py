"""L16: linear samples as they are, 16 bits in network order (:rfc:`3551#section-4.5.11`), mono.

The payload types that :rfc:`3551` gives it are for 44.1 kHz; telephones negotiate a dynamic one, ``L16/8000`` or
``L16/16000``, whose clock is the rate of its samples.
"""

from typing import Final

import numpy as np

from sipagent.audio.g711 import Pcm
from sipagent.errors import LocalProtocolError

L16_RATES: Final = (8_000, 16_000)
"""Hz."""


def samples(payload: bytes) -> int:
    """Return how long a packet lasts on its RTP clock."""
    return len(payload) // 2


class L16Codec:
    """The codec at one rate; it has no state.

    :raises LocalProtocolError: for a rate that is not among :data:`L16_RATES`
    """

    name: Final = "L16"

    def __init__(self, rate: int) -> None:
        if rate not in L16_RATES:
            raise LocalProtocolError(f"L16 is spoken at {L16_RATES} Hz, not {rate}")
        self.rate: Final = rate
        self.clock_rate: Final = rate

    def encode(self, pcm: Pcm) -> bytes:
        """Encode int16 samples, two bytes each.

        :raises LocalProtocolError: for samples that are not int16
        """
        if pcm.dtype != np.int16:
            raise LocalProtocolError(f"samples are int16, not {pcm.dtype}")
        return pcm.astype(">i2").tobytes()

    def decode(self, payload: bytes) -> Pcm:
        """Decode each two bytes to an int16 sample; half a sample at the end is none."""
        return np.frombuffer(payload, ">i2", len(payload) // 2).astype(np.int16)
