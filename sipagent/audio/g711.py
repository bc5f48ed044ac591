"""G.711, both laws, as tables: bit-exact with the ITU-T reference (G.191) for every input.

Linear samples are 16 bits, as everywhere in sipagent. The reference takes the top 14 bits of one for μ-law and the
top 12 for A-law; a negative sample is made a magnitude by inverting its bits, so that -1 is as near to nothing as 0 is.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.errors import LocalProtocolError

Pcm: TypeAlias = NDArray[np.int16]
"""Linear samples, 8 kHz, mono."""

SAMPLE_RATE: Final = 8_000
"""Hz; also bytes a second, for G.711 has one byte a sample."""
SILENCE: Final = {"PCMU": 0xFF, "PCMA": 0xD5}
"""The byte that stands for nothing (A-law has none for 0; this one is +8)."""

ULAW_BIAS: Final = 33
ULAW_CLIP: Final = 8_191
SIGN: Final = 0x80
EVEN_BITS: Final = 0x55
"""A-law inverts every other bit on the wire."""


def _every_sample() -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return sign and magnitude of all 65,536 samples, in the order of their bits as an unsigned number."""
    samples = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int64)
    return samples < 0, np.where(samples < 0, ~samples, samples)


def _bit_lengths(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def _ulaw_encoder() -> NDArray[np.uint8]:
    negative, magnitudes = _every_sample()
    magnitudes = np.minimum((magnitudes >> 2) + ULAW_BIAS, ULAW_CLIP)
    segments = _bit_lengths(magnitudes) - 6
    codes: NDArray[np.int64] = np.where(negative, SIGN, 0) | (segments << 4) | ((magnitudes >> (segments + 1)) & 0x0F)
    return np.invert(codes).astype(np.uint8)


def _alaw_encoder() -> NDArray[np.uint8]:
    negative, magnitudes = _every_sample()
    magnitudes = magnitudes >> 4
    segments = np.maximum(_bit_lengths(magnitudes) - 4, 0)
    codes: NDArray[np.int64] = (
        np.where(negative, 0, SIGN) | (segments << 4) | ((magnitudes >> np.maximum(segments - 1, 0)) & 0x0F)
    )
    return np.bitwise_xor(codes, EVEN_BITS).astype(np.uint8)


def _ulaw_decoder() -> Pcm:
    codes = ~np.arange(256) & 0xFF
    segments, steps = (codes >> 4) & 0x07, codes & 0x0F
    magnitudes = ((((steps << 1) + ULAW_BIAS) << segments) - ULAW_BIAS) << 2
    return np.where(codes & SIGN, -magnitudes, magnitudes).astype(np.int16)


def _alaw_decoder() -> Pcm:
    codes = np.arange(256) ^ EVEN_BITS
    segments, steps = (codes >> 4) & 0x07, codes & 0x0F
    middles = (steps << 4) + 8
    magnitudes = np.where(segments, (middles + 0x100) << np.maximum(segments - 1, 0), middles)
    return np.where(codes & SIGN, magnitudes, -magnitudes).astype(np.int16)


ULAW_TO_PCM: Final = _ulaw_decoder()
"""256 samples, indexed by the code."""
ALAW_TO_PCM: Final = _alaw_decoder()
PCM_TO_ULAW: Final = _ulaw_encoder()
"""65,536 codes, indexed by the sample's bits as an unsigned number."""
PCM_TO_ALAW: Final = _alaw_encoder()

ULAW_TO_ALAW: Final = PCM_TO_ALAW[ULAW_TO_PCM.view(np.uint16)].tobytes()
"""A table for :meth:`bytes.translate`."""
ALAW_TO_ULAW: Final = PCM_TO_ULAW[ALAW_TO_PCM.view(np.uint16)].tobytes()


def to_pcm(samples: NDArray[np.float64]) -> Pcm:
    """Round to int16 and clip; full scale is 32,768."""
    pcm: Pcm = np.rint(samples).clip(-32_768, 32_767).astype(np.int16)
    return pcm


def encode_ulaw(pcm: Pcm) -> bytes:
    """Encode int16 samples, one byte each."""
    return PCM_TO_ULAW[_as_indices(pcm)].tobytes()


def encode_alaw(pcm: Pcm) -> bytes:
    """Encode int16 samples, one byte each."""
    return PCM_TO_ALAW[_as_indices(pcm)].tobytes()


def decode_ulaw(data: bytes) -> Pcm:
    """Decode each byte to an int16 sample."""
    return ULAW_TO_PCM[np.frombuffer(data, np.uint8)]


def decode_alaw(data: bytes) -> Pcm:
    """Decode each byte to an int16 sample."""
    return ALAW_TO_PCM[np.frombuffer(data, np.uint8)]


def ulaw_to_alaw(data: bytes) -> bytes:
    """Change the law, by way of the linear sample."""
    return data.translate(ULAW_TO_ALAW)


def alaw_to_ulaw(data: bytes) -> bytes:
    """Change the law, by way of the linear sample."""
    return data.translate(ALAW_TO_ULAW)


def encode(pcm: Pcm, codec: str) -> bytes:
    """Encode int16 samples as ``PCMU`` or ``PCMA``.

    :raises LocalProtocolError: for another codec
    """
    match codec:
        case "PCMU":
            return encode_ulaw(pcm)
        case "PCMA":
            return encode_alaw(pcm)
    raise LocalProtocolError(f"G.711 is PCMU or PCMA, not {codec}")


def decode(data: bytes, codec: str) -> Pcm:
    """Decode ``PCMU`` or ``PCMA`` to int16 samples.

    :raises LocalProtocolError: for another codec
    """
    match codec:
        case "PCMU":
            return decode_ulaw(data)
        case "PCMA":
            return decode_alaw(data)
    raise LocalProtocolError(f"G.711 is PCMU or PCMA, not {codec}")


def translation(source: str, target: str) -> bytes | None:
    """Return the table for :meth:`bytes.translate` from one codec to another; ``None`` where not both are laws."""
    tables = {("PCMU", "PCMA"): ULAW_TO_ALAW, ("PCMA", "PCMU"): ALAW_TO_ULAW}
    return tables.get((source, target))


def _as_indices(pcm: Pcm) -> NDArray[np.uint16]:
    if pcm.dtype != np.int16:
        raise LocalProtocolError(f"samples are int16, not {pcm.dtype}")
    return pcm.view(np.uint16)
