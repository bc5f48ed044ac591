"""What a person at a telephone hears: packets decoded, their jitter taken out, what is missing concealed.

Sound comes in as frames of any codec that was agreed on and goes out by the clock, in the format of whoever listens.
When the sender changes to a codec of another rate, what waits of the old one is let go.
"""

from collections.abc import Mapping
from random import Random

import numpy as np

from sipagent.audio.codecs import Codec, make_codec
from sipagent.audio.g711 import Pcm, encode_ulaw
from sipagent.audio.linear import from_linear
from sipagent.audio.plc import Concealer
from sipagent.audio.resample import Resampler
from sipagent.audio.vad import SILENT_DBFS, level_dbfs
from sipagent.call.jitter_buffer import JitterBuffer, JitterStats
from sipagent.formats import PCM, PCMU, AudioFormat, format_of
from sipagent.rtp.session import Frame


class Codecs:
    """The decoders of one listener, by payload type."""

    def __init__(self) -> None:
        self._codecs: dict[int, Codec] = {}
        self._encodings: dict[int, str] = {}

    def configure(self, encodings: Mapping[int, str]) -> None:
        """Go on with these payload types; a codec that was there before goes on where it was.

        :param encodings: each as ``make_codec`` takes it, such as ``G722/8000``.
        :raises SipagentError: for a codec whose extra is not installed.
        """
        self._codecs = {
            number: self._codecs[number] if self._encodings.get(number) == encoding else make_codec(encoding)
            for number, encoding in encodings.items()
        }
        self._encodings = dict(encodings)

    def get(self, payload_type: int) -> Codec | None:
        """Find the codec of a payload type."""
        return self._codecs.get(payload_type)


class Meter:
    """How loud packets are at the moment they come, for whoever has a stopwatch."""

    def __init__(self) -> None:
        self._codecs = Codecs()

    def configure(self, encodings: Mapping[int, str]) -> None:
        """Go on with these payload types, as :meth:`Codecs.configure`."""
        self._codecs.configure(encodings)

    def level_dbfs(self, frame: Frame) -> float:
        """Return the level of a frame; each is to be shown once, in order."""
        codec = self._codecs.get(frame.payload_type)
        if codec is None or not frame.payload:
            return SILENT_DBFS
        audio_format = format_of(codec.name)
        if audio_format is not PCM:
            return level_dbfs(frame.payload, audio_format)
        return level_dbfs(encode_ulaw(codec.decode(frame.payload)), PCMU)


class Earpiece:
    """The hearing half of one leg.

    :param audio_format: of what is heard.
    :param random: for the noise under what is concealed.
    """

    def __init__(self, audio_format: AudioFormat, *, random: Random) -> None:
        self._format = audio_format
        self._random = random
        self._codecs = Codecs()
        self._buffer: JitterBuffer | None = None
        self._rates = (0, 0)
        self._resampler: Resampler | None = None

    def configure(self, encodings: Mapping[int, str]) -> None:
        """Go on with these payload types, as :meth:`Codecs.configure`."""
        self._codecs.configure(encodings)

    @property
    def stats(self) -> JitterStats | None:
        """What became of the frames, since the last change of rate; ``None`` before the first."""
        return None if self._buffer is None else self._buffer.stats

    def receive(self, frame: Frame, *, now: float) -> None:
        """Take a frame, lost ones included; ``now`` is when it arrived."""
        codec = self._codecs.get(frame.payload_type)
        if codec is None:
            return
        if self._buffer is None or self._rates != (codec.rate, codec.clock_rate):
            if not frame.payload:
                return
            self._buffer = self._open(codec)
        self._buffer.receive(frame, now=now)

    def listen(self, ms: int, *, now: float) -> bytes:
        """Hear the next milliseconds; silence before the first frame."""
        if self._buffer is None:
            return self._format.silence_of(ms)
        pcm = self._buffer.take(self._rates[0] * ms // 1000, now=now)
        return from_linear(pcm if self._resampler is None else self._resampler.convert(pcm), self._format)

    def _open(self, codec: Codec) -> JitterBuffer:
        self._rates = (codec.rate, codec.clock_rate)
        self._resampler = Resampler(codec.rate, self._format.rate) if codec.rate != self._format.rate else None
        return JitterBuffer(
            decode=self._decode,
            concealer=Concealer(codec.rate, random=self._random),
            rate=codec.rate,
            clock_rate=codec.clock_rate,
        )

    def _decode(self, frame: Frame) -> Pcm:
        codec = self._codecs.get(frame.payload_type)  # gone, if another agreement came while the frame waited
        return np.zeros(0, np.int16) if codec is None else codec.decode(frame.payload)
