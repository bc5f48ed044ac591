"""Keys that are heard in the caller's audio, for lines whose network tells them no other way."""

from collections.abc import Sequence

from sipagent.audio.dtmf import DtmfDetector
from sipagent.audio.linear import to_linear
from sipagent.formats import AudioFormat
from sipagent.rtp.session import Frame

PAUSE_MS = 100
"""As much of a silence that was not sent is heard: long enough for any key to be over."""


class AudibleKeys:
    """Listens to the caller's frames; what it takes for keys nobody else is to hear."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._detector = DtmfDetector(rate=audio_format.rate)

    def receive(self, frame: Frame) -> tuple[Frame, Sequence[str]]:
        """Take a frame; return it, and the keys that are certain by it, some 35 ms after they began.

        While a key is down the frame is made silent, so that neither the model nor the detector of speech takes it for
        a word.
        """
        payload = frame.payload or self._format.silence_of(PAUSE_MS)
        keys = self._detector.receive(to_linear(payload, self._format))
        if self._detector.is_down and frame.payload:
            silence = self._format.silence * (len(frame.payload) // self._format.sample_bytes)
            frame = frame._replace(payload=silence)
        return frame, keys
