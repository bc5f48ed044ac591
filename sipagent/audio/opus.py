"""Opus (:rfc:`6716`, in RTP :rfc:`7587`): its packets' length as anyone can tell it, and the codec by libopus.

libopus comes with the package ``av`` of the extra ``opus``. It encodes what is 24 kHz, the model's own rate, as it is;
``av`` has it decode to 48 kHz, from where our resampler goes to 24. Stereo becomes mono in the decoder.
"""

from typing import Final

import numpy as np

from sipagent.audio.g711 import Pcm
from sipagent.audio.resample import Resampler
from sipagent.errors import LocalProtocolError, SipagentError

try:
    import av
except ImportError:  # without the extra "opus" packets still have a length
    av = None  # type: ignore[assignment]

HAS_OPUS: Final = av is not None

CLOCK_RATE: Final = 48_000
"""Hz, whatever the packet holds (:rfc:`7587#section-4.1`)."""
MAX_SAMPLES: Final = 5_760
"""120 ms at 48 kHz: no packet holds more (:rfc:`6716#section-3.2.5`)."""
FRAMES_OF_COUNT: Final = (1, 2, 2)
"""By the last two bits of a packet's first byte; 3 means that the next byte tells."""
MILLISECOND: Final = CLOCK_RATE // 1_000
SILK_SAMPLES: Final = tuple(duration_ms * MILLISECOND for duration_ms in (10, 20, 40, 60))
HYBRID_SAMPLES: Final = tuple(duration_ms * MILLISECOND for duration_ms in (10, 20))
CELT_SAMPLES: Final = (120, 240, 480, 960)
FRAME_SAMPLES: Final = 3 * SILK_SAMPLES + 2 * HYBRID_SAMPLES + 4 * CELT_SAMPLES
"""A frame's samples at 48 kHz by its configuration, the first five bits of a packet (:rfc:`6716#section-3.1`)."""

DECODED_RATE: Final = 48_000
FRAME_DURATIONS_MS: Final = {240: 10, 480: 20, 960: 40, 1_440: 60}
"""By the samples at 24 kHz: of the lengths that Opus has, those that telephony asks for (ptime)."""
BIT_RATE: Final = 32_000
"""Bits a second: 24,000 cost 0.2 of PESQ, or the upper half of the band as soon as copies have to find room."""
ENCODER_OPTIONS: Final = {
    "application": "voip",
    "fec": "1",  # a packet carries a rough copy of the one before, for decoders that look
    "packet_loss": "5",  # per cent: none, and there are no copies; 10, and they cost more of the sound itself
    "dtx": "0",  # silence is sent: peers hang up on nothing, and NATs forget
    "compression_level": "5",  # 0.8 of the time of 10 and no worse; less makes no copies at this rate, or sounds worse
}
NOTHING: Final[Pcm] = np.empty(0, np.int16)


def samples(payload: bytes) -> int:
    """Return how long a packet lasts on its RTP clock, 120 to 5,760 samples; 0 if no packet begins like this."""
    if not payload:
        return 0
    total = _frames(payload) * FRAME_SAMPLES[payload[0] >> 3]
    return total if total <= MAX_SAMPLES else 0


def _frames(payload: bytes) -> int:
    count = payload[0] & 0x03
    if count < len(FRAMES_OF_COUNT):
        return FRAMES_OF_COUNT[count]
    return payload[1] & 0x3F if len(payload) > 1 else 0


class OpusCodec:
    """The codec for one stream each way, 24 kHz, mono. Its encoder looks 6.5 ms ahead, its decoder's resampler 1.

    :raises SipagentError: without the extra
    """

    name: Final = "opus"
    rate: Final = 24_000
    clock_rate: Final = CLOCK_RATE

    def __init__(self) -> None:
        if not HAS_OPUS:
            raise SipagentError("Opus needs the extra opus: pip install 'sipagent[opus]'")
        self._encoder: av.AudioCodecContext | None = None
        self._encoder_samples = 0
        self._decoder = av.AudioCodecContext.create("libopus", "r")
        self._decoder.layout = "mono"
        self._resampler = Resampler(DECODED_RATE, self.rate)

    def encode(self, pcm: Pcm) -> bytes:
        """Encode 10, 20, 40 or 60 ms of int16 samples at 24 kHz as one packet; another length begins a new encoder.

        :raises LocalProtocolError: for any other length, and for samples that are not int16
        """
        if pcm.dtype != np.int16 or len(pcm) not in FRAME_DURATIONS_MS:
            raise LocalProtocolError(f"Opus encodes {list(FRAME_DURATIONS_MS)} int16, not {len(pcm)} of {pcm.dtype}")
        if self._encoder is None or len(pcm) != self._encoder_samples:
            self._encoder = _encoder(FRAME_DURATIONS_MS[len(pcm)], self.rate)
            self._encoder_samples = len(pcm)
        frame = av.AudioFrame("s16", "mono", len(pcm))
        frame.sample_rate = self.rate
        frame.planes[0].update(pcm.tobytes())
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    def decode(self, payload: bytes) -> Pcm:
        """Decode a packet of any duration to int16 samples at 24 kHz; a malformed one gives none, and does no harm."""
        if not samples(payload):
            return NOTHING  # to the decoder an empty packet would be the end of the stream
        try:
            frames = self._decoder.decode(av.Packet(payload))
        except av.FFmpegError:
            return NOTHING
        decoded = [np.frombuffer(bytes(frame.planes[0]), np.int16, frame.samples) for frame in frames]
        return self._resampler.convert(np.concatenate([NOTHING, *decoded]))


def _encoder(duration_ms: int, rate: int) -> "av.AudioCodecContext":
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate = rate
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = BIT_RATE
    encoder.options = {**ENCODER_OPTIONS, "frame_duration": str(duration_ms)}
    encoder.open()
    return encoder
