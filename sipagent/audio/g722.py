"""G.722 at 64 kbit/s: 16 kHz samples, one byte for two; its RTP clock says 8,000 (:rfc:`3551#section-4.5.2`).

The work is done by the package ``G722`` of the extra ``g722``: exact with the ITU-T sequences and with the
recommendation's arithmetic, the band filters included. They delay what they pass by 22 samples there and back, 1.4 ms.
"""

from typing import Final

import numpy as np

from sipagent.audio.g711 import Pcm
from sipagent.errors import LocalProtocolError, SipagentError

try:
    import G722
except ImportError:  # the extra "g722" is not installed
    G722 = None

HAS_G722: Final = G722 is not None
BIT_RATE: Final = 64_000
"""Mode 1, the only one that RTP has; the other two give bits of the lower band away to data."""


class G722Codec:
    """The codec for one stream each way: both directions predict from what they had before.

    :raises SipagentError: without the extra
    """

    name: Final = "G722"
    rate: Final = 16_000
    clock_rate: Final = 8_000

    def __init__(self) -> None:
        if not HAS_G722:
            raise SipagentError("G.722 needs the extra g722: pip install 'sipagent[g722]'")
        self._codec = G722.G722(self.rate, BIT_RATE)

    def encode(self, pcm: Pcm) -> bytes:
        """Encode an even number of int16 samples at 16 kHz, one byte for two.

        :raises LocalProtocolError: for an odd number, and for samples that are not int16
        """
        if pcm.dtype != np.int16 or len(pcm) % 2:
            raise LocalProtocolError(f"G.722 encodes pairs of int16, not {len(pcm)} of {pcm.dtype}")
        encoded: bytes = self._codec.encode(np.ascontiguousarray(pcm))
        return encoded

    def decode(self, payload: bytes) -> Pcm:
        """Decode each byte, all of which are legal, to two int16 samples at 16 kHz."""
        return np.array(self._codec.decode(payload), np.int16)
