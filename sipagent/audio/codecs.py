"""Every codec in one shape, made by the name that a session description has for it.

=====  =========  ============  ===========  =====
name   PCM in Hz  RTP clock Hz  extra        state
=====  =========  ============  ===========  =====
PCMU   8,000      8,000                      none
PCMA   8,000      8,000                      none
G722   16,000     8,000         ``g722``     yes
opus   24,000     48,000        ``opus``     yes
L16    8,000      8,000                      none
L16    16,000     16,000                     none
=====  =========  ============  ===========  =====

A name is that of ``a=rtpmap`` (:rfc:`8866#section-6.6`), in any case, with its clock rate or without: ``PCMU``,
``g722/8000``, ``opus/48000/2``. L16 alone says nothing of its rate, so it needs one: ``L16/16000``.
``f"{codec.name}/{codec.clock_rate}"`` makes the same codec again.
"""

from typing import Final, Protocol

from sipagent.audio import g711, g722, opus
from sipagent.audio.g711 import Pcm
from sipagent.audio.g722 import G722Codec
from sipagent.audio.l16 import L16Codec
from sipagent.audio.opus import OpusCodec
from sipagent.errors import LocalProtocolError


class Codec(Protocol):
    """The encoder and the decoder of one direction of one stream; they may remember what they had before."""

    @property
    def name(self) -> str:
        """As session descriptions spell it."""

    @property
    def rate(self) -> int:
        """Hz of its linear samples."""

    @property
    def clock_rate(self) -> int:
        """Hz of its RTP timestamps."""

    def decode(self, payload: bytes) -> Pcm:
        """Return a payload's int16 samples, mono, at :attr:`rate`; never raises: what is malformed has none."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return the payload of int16 samples, mono, at :attr:`rate`.

        :raises LocalProtocolError: for samples of another type, or a number that makes no payload
        """


class G711Codec:
    """One law of G.711: a byte a sample, and no state."""

    rate: Final = g711.SAMPLE_RATE
    clock_rate: Final = g711.SAMPLE_RATE

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def encode(self, pcm: Pcm) -> bytes:
        """Encode int16 samples at 8 kHz, one byte each."""
        return g711.encode(pcm, self.name)

    def decode(self, payload: bytes) -> Pcm:
        """Decode each byte to an int16 sample at 8 kHz."""
        return g711.decode(payload, self.name)


def available_codecs() -> tuple[str, ...]:
    """Return the names of the codecs that can be made here, as session descriptions spell them."""
    installed = {"PCMU": True, "PCMA": True, "G722": g722.HAS_G722, "opus": opus.HAS_OPUS, "L16": True}
    return tuple(name for name, is_installed in installed.items() if is_installed)


def make_codec(encoding: str) -> Codec:
    """Make a codec that has not heard anything yet.

    :param encoding: of an ``a=rtpmap``, with its clock rate and channels or without them
    :raises LocalProtocolError: for one that we do not speak
    :raises SipagentError: for a codec whose extra is not installed; the message names it
    """
    match encoding.casefold().removesuffix("/1"):
        case "pcmu" | "pcmu/8000":
            return G711Codec("PCMU")
        case "pcma" | "pcma/8000":
            return G711Codec("PCMA")
        case "g722" | "g722/8000":
            return G722Codec()
        case "opus" | "opus/48000" | "opus/48000/2":  # it always says two, and is what its packets say
            return OpusCodec()
        case "l16/8000":
            return L16Codec(8_000)
        case "l16/16000":
            return L16Codec(16_000)
    raise LocalProtocolError(f"no codec {encoding!r}: we speak PCMU, PCMA, G722, opus, L16/8000 and L16/16000")
