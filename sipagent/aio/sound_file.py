"""Files that grow while a call goes on, and can be played at any moment, be it after a crash: stereo WAV, Opus in Ogg.

Both write each piece through to the system. The header of a WAV file is made true after every piece; Ogg needs none,
for it is made of pages that stand alone.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.wav import wav_header
from sipagent.errors import SipagentError

Format: TypeAlias = Literal["wav", "ogg"]
Stereo: TypeAlias = NDArray[np.int16]
"""Of shape (frames, 2)."""

OPUS_BITS: Final = 48_000
"""A second, for both sides: what Opus needs for two voices that nobody can tell from the original."""

PAGE_US: Final = 1_000_000
"""As much as a page of Ogg holds: a piece."""


class SoundFile(Protocol):
    """A file that is open."""

    def write(self, stereo: Stereo) -> None:
        """Add samples.

        :raises OSError: when the disk does not take them.
        :raises SipagentError: when the format can hold no more.
        """

    def close(self) -> None:
        """Complete the file.

        :raises OSError: when the disk does not take the rest.
        """


Opener: TypeAlias = Callable[[Path, int], SoundFile]
"""Makes a file of a rate in Hz."""


def opener_of(format_: Format) -> Opener:
    """Return what makes files of this format; what it needs is loaded now, not while calls wait.

    :raises SipagentError: when that is not installed.
    """
    if format_ == "wav":
        return WavFile
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise SipagentError("recordings in Ogg need the extra opus: pip install 'sipagent[opus]'") from error
    return lambda path, rate: OggFile(path, rate, av=av)


class WavFile:
    """16 bits, two channels."""

    def __init__(self, path: Path, rate: int) -> None:
        self._rate = rate
        self._bytes = 0
        self._file = path.open("wb", buffering=0)
        try:
            self._put(self._header(0))
        except OSError:
            self._file.close()
            raise

    def write(self, stereo: Stereo) -> None:
        """Add samples, then make the header true."""
        data = stereo.astype("<i2").tobytes()
        header = self._header(self._bytes + len(data))
        self._put(data)
        self._bytes += len(data)
        self._file.seek(0)
        self._put(header)
        self._file.seek(0, 2)

    def close(self) -> None:
        """Close it; it is complete already."""
        self._file.close()

    def _header(self, size: int) -> bytes:
        return wav_header(size, rate=self._rate, channels=2)

    def _put(self, data: bytes) -> None:
        """Write all of it: a disk that is nearly full takes a part."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


class OggFile:
    """Opus, two channels.

    :param av: the module of PyAV, which brings libopus.
    """

    def __init__(self, path: Path, rate: int, *, av: ModuleType) -> None:
        self._av: Any = av
        self._rate = rate
        self._samples = 0
        self._file = path.open("wb", buffering=0)
        try:
            options = {"page_duration": str(PAGE_US), "flush_packets": "1"}
            self._container = av.open(self._file, "w", format="ogg", options=options)
            self._stream = self._container.add_stream("libopus", rate=rate, layout="stereo")
            self._stream.bit_rate = OPUS_BITS
        except BaseException:
            self._file.close()
            raise

    def write(self, stereo: Stereo) -> None:
        """Encode samples; what does not fill a frame of Opus waits for the next."""
        frame = self._av.AudioFrame.from_ndarray(stereo.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = self._rate
        frame.pts = self._samples
        self._samples += len(stereo)
        self._put(frame)

    def close(self) -> None:
        """Write what is left, and the last page."""
        try:
            self._put(None)
            self._container.close()
        except self._av.FFmpegError as error:
            raise _plain(error) from error
        finally:
            self._file.close()

    def _put(self, frame: object) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._av.FFmpegError as error:
            raise _plain(error) from error


def _plain(error: Any) -> OSError:
    return OSError(error.errno, error.strerror)
