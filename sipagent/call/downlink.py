"""The call's audio in the codec of the wire, on its way to the caller."""

from sipagent.audio.codecs import Codec, make_codec
from sipagent.audio.g711 import translation
from sipagent.audio.linear import to_linear
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat


class Downlink:
    """One direction of one leg; where the wire speaks the call's own format, nothing is touched."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.audio_format = audio_format
        self._encoding = ""
        self._codec: Codec | None = None
        self._resampler: Resampler | None = None
        self._table: bytes | None = None

    def configure(self, encoding: str) -> None:
        """Go on in this codec, as ``make_codec`` takes it, such as ``opus/48000``; the same one goes on as it was."""
        if encoding == self._encoding:
            return
        self._encoding = encoding
        codec = make_codec(encoding)
        self._codec = None if codec.name == self.audio_format.codec else codec
        self._table = translation(self.audio_format.codec, codec.name)
        self._resampler = Resampler(self.audio_format.rate, codec.rate)

    def encode(self, audio: bytes) -> bytes:
        """Return the payload of a frame."""
        if self._codec is None or self._resampler is None:
            return audio
        if self._table is not None:
            return audio.translate(self._table)
        return self._codec.encode(self._resampler.convert(to_linear(audio, self.audio_format)))
