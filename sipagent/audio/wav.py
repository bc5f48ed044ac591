"""WAV files as bytes: reading what people have, writing what everybody reads. No file is opened here.

Read are PCM of 8, 16, 24 and 32 bits, 32-bit float, and both laws of G.711, plain or in an extensible header. A program
that writes to a pipe knows no lengths: a data chunk that says 0, 0xFFFFFFFF or more than there is goes on to the end.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import decode_alaw, decode_ulaw, to_pcm
from sipagent.errors import SipagentError

Samples: TypeAlias = NDArray[np.int16]
"""Of shape (frames, channels)."""
Encoding: TypeAlias = Literal["pcm16", "PCMU", "PCMA"]

CHUNK: Final = Struct("<4sI")
FORMAT: Final = Struct("<HHIIHH")
"""Format tag, channels, frames a second, bytes a second, bytes a frame, bits a sample."""
PCM, FLOAT, ALAW, ULAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
SUBFORMAT_AT: Final = 24
"""Where the extensible header has the real format tag."""
UNKNOWN_LENGTHS: Final = (0, 0xFFFF_FFFF)
MAX_CHANNELS: Final = 8
"""Seven and a subwoofer; more is a broken header."""
MAX_DATA_BYTES: Final = 0xFFFF_FFFF - 64
"""What the lengths in the header can say: at 8 kHz and two channels, 37 hours."""

ENCODINGS: Final[Mapping[Encoding, tuple[int, int]]] = {"pcm16": (PCM, 16), "PCMU": (ULAW, 8), "PCMA": (ALAW, 8)}
"""What we write: format tag and bits a sample."""


class WavError(SipagentError):
    """These bytes are no WAV file, or none of a kind we read."""


def read_wav(data: bytes) -> tuple[int, Samples]:
    """Return the rate in Hz and the samples, of shape (frames, channels).

    :raises WavError: when it is none that we read
    """
    header, audio = _find_chunks(data)
    tag, channels, rate, _, _, bits = FORMAT.unpack_from(header)
    if tag == EXTENSIBLE and len(header) >= SUBFORMAT_AT + 2:
        tag = int.from_bytes(header[SUBFORMAT_AT : SUBFORMAT_AT + 2], "little")
    if not (1 <= channels <= MAX_CHANNELS and rate):
        raise WavError(f"a WAV file of {channels} channels at {rate} Hz")
    decode = DECODERS.get((tag, bits))
    if decode is None:
        raise WavError(f"a WAV file of format {tag} with {bits} bits")
    frame_bytes = channels * bits // 8
    return rate, decode(audio[: len(audio) // frame_bytes * frame_bytes]).reshape(-1, channels)


def wav_header(data_bytes: int, *, rate: int = 8_000, channels: int = 1, encoding: Encoding = "pcm16") -> bytes:
    """Return what stands before ``data_bytes`` of audio; its length is always the same.

    A recording in progress is given 0, and a new header when it ends.

    :raises WavError: when a header cannot say so much
    """
    if not 0 <= data_bytes <= MAX_DATA_BYTES:
        raise WavError(f"a WAV file cannot hold {data_bytes} bytes")
    tag, bits = ENCODINGS[encoding]
    frame_bytes = channels * bits // 8
    header = FORMAT.pack(tag, channels, rate, rate * frame_bytes, frame_bytes, bits)
    chunks = b"WAVE" + CHUNK.pack(b"fmt ", len(header)) + header + CHUNK.pack(b"data", data_bytes)
    return CHUNK.pack(b"RIFF", len(chunks) + data_bytes) + chunks


def write_wav(rate: int, samples: Samples) -> bytes:
    """Return a whole file of 16-bit PCM; samples are of shape (frames,) or (frames, channels)."""
    channels = samples.shape[1] if samples.ndim > 1 else 1
    audio = samples.astype("<i2").tobytes()
    return wav_header(len(audio), rate=rate, channels=channels) + audio


def _find_chunks(data: bytes) -> tuple[bytes, bytes]:
    """Return the contents of the format and the data chunk; each step goes on by eight bytes at least."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a WAV file")
    header = b""
    at = 12
    while at + CHUNK.size <= len(data):
        name, length = CHUNK.unpack_from(data, at)
        at += CHUNK.size
        if name == b"fmt ":
            header = data[at : at + length]
        elif name == b"data" and len(header) >= FORMAT.size:
            return header, data[at:] if length in UNKNOWN_LENGTHS else data[at : at + length]
        at += length + length % 2
    raise WavError("a WAV file without a format or without data")


def _decode_8(audio: bytes) -> Samples:
    return ((np.frombuffer(audio, np.uint8).astype(np.int16) - 128) << 8).astype(np.int16)


def _decode_16(audio: bytes) -> Samples:
    return np.frombuffer(audio, "<i2").astype(np.int16)


def _decode_24(audio: bytes) -> Samples:
    upper = np.frombuffer(audio, np.uint8).reshape(-1, 3)[:, 1:]
    return _decode_16(upper.tobytes())


def _decode_32(audio: bytes) -> Samples:
    return (np.frombuffer(audio, "<i4") >> 16).astype(np.int16)


def _decode_float(audio: bytes) -> Samples:
    return to_pcm(np.nan_to_num(np.frombuffer(audio, "<f4").astype(np.float64)) * 32_768)


DECODERS: Final[Mapping[tuple[int, int], Callable[[bytes], Samples]]] = {
    (PCM, 8): _decode_8,
    (PCM, 16): _decode_16,
    (PCM, 24): _decode_24,
    (PCM, 32): _decode_32,
    (FLOAT, 32): _decode_float,
    (ALAW, 8): decode_alaw,
    (ULAW, 8): decode_ulaw,
}
"""What we read, by format tag and bits a sample."""
