"""The voice's own process: espeak-ng, spoken to over a pipe. It is GPL-3, so it is loaded here and nowhere else.

Run as ``python -m sipagent.aio.voice_worker``.
"""

import ctypes

import espeakng_loader
import numpy as np
import soxr

from sipagent.aio.pipe import ChildPipe, Hello, SpeakRequest

SYNCHRONOUS = 2
"""AUDIO_OUTPUT_SYNCHRONOUS: ``espeak_Synth`` returns when all is spoken, and plays nothing."""
DONT_EXIT = 0x8000
"""espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process."""
UTF8 = 1
RATE_PARAMETER = 1
WORDS_PER_MINUTE = 165
MIN_WORDS_PER_MINUTE, MAX_WORDS_PER_MINUTE = 80, 450
"""What espeak-ng can do."""
BUFFER_MS = 200
MAX_SECONDS = 120
"""No sentence is longer; a text that were would hold up everybody else's."""
QUIET = 100
"""Up to this level is silence (-50 dBFS); what of it precedes the first sound only delays the answer."""
KEPT_LEAD_MS = 5

VOICES = {
    "alloy": b"en-us+f4",
    "ash": b"en-us+m3",
    "ballad": b"en-us+m7",
    "coral": b"en-us+f3",
    "echo": b"en-us+m1",
    "sage": b"en-us+f5",
    "shimmer": b"en-us+f1",
    "verse": b"en-us+m2",
    "marin": b"en-us+f2",
    "cedar": b"en-us+m4",
}
"""The API's voices, each by one of espeak-ng's of roughly its pitch; any other name is spoken by the last resort."""
LAST_RESORT = b"en-us"

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The library, initialised once."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate: int = self._library.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data, DONT_EXIT)
        if self._rate <= 0:
            raise OSError(f"espeak-ng finds no data in {data!r}")
        self._pieces: list[bytes] = []
        self._left = 0
        self._callback = Callback(self._on_samples)
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, request: SpeakRequest) -> bytes:
        """The text as samples at the rate asked for."""
        if self._library.espeak_SetVoiceByName(VOICES.get(request.voice, LAST_RESORT)) != 0:
            self._library.espeak_SetVoiceByName(LAST_RESORT)
        words = min(max(int(WORDS_PER_MINUTE * request.speed), MIN_WORDS_PER_MINUTE), MAX_WORDS_PER_MINUTE)
        self._library.espeak_SetParameter(RATE_PARAMETER, words, 0)
        self._pieces.clear()
        self._left = MAX_SECONDS * self._rate
        text = request.text.replace("\0", " ").encode()
        self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8, None, None)
        samples = trim(np.frombuffer(b"".join(self._pieces), np.int16), self._rate)
        resampled = soxr.resample(samples, self._rate, request.rate) if len(samples) else samples
        return bytes(resampled.tobytes())

    def _on_samples(self, samples: int | None, count: int, _events: int | None) -> int:
        """Take samples; 1 stops the synthesis."""
        if samples and count > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * count))
            self._left -= count
        return 1 if self._left <= 0 else 0


def trim(samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The samples without the silence before the first sound."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    return samples[max(0, int(loud[0]) - rate * KEPT_LEAD_MS // 1000) :] if len(loud) else samples[:0]


def main() -> None:
    """Answer requests until the parent is gone."""
    pipe = ChildPipe()
    voice = Espeak()
    voice.speak(SpeakRequest("Ready.", "marin", 1.0, 8000))  # the first word loads the dictionary
    pipe.write(Hello("espeak-ng"))
    while (request := pipe.read(SpeakRequest)) is not None:
        pipe.write(voice.speak(request))


if __name__ == "__main__":
    main()
