"""What the first call would wait for, done before it: filters designed, codecs opened, a loss concealed, echo sought.

Each of these is made once in a process and kept; together they take as long as several packets.
"""

from collections.abc import Iterable
from random import Random

from sipagent.audio.echo_path import EchoPath
from sipagent.audio.echo_search import SIZES, WHOLE, resemblances
from sipagent.audio.history import History
from sipagent.call.downlink import Downlink
from sipagent.call.frames import FRAME_MS
from sipagent.call.uplink import Uplink
from sipagent.formats import PCM, format_of
from sipagent.rtp.session import Frame
from sipagent.sdp.formats import Format, formats_of


def rehearse(codecs: Iterable[str]) -> None:
    """Send a little silence through every codec both ways, and lose some of it; look for noise in itself."""
    for entry in formats_of(codecs):
        for audio_format in {format_of(entry.codec), PCM}:
            _rehearse(entry, Uplink(audio_format, random=Random(0)), Downlink(audio_format))
    _seek_echo()


def _rehearse(entry: Format, uplink: Uplink, downlink: Downlink) -> None:
    encoding = f"{entry.codec}/{entry.clock_rate}"
    uplink.configure({0: encoding})
    downlink.configure(encoding)
    payload = downlink.encode(downlink.audio_format.silence_of(FRAME_MS))
    frame = Frame(payload, 0, 0, False, FRAME_MS * entry.clock_rate // 1000)
    uplink.receive([frame])
    uplink.receive([frame._replace(payload=b"", lost=True), frame])


def _seek_echo() -> None:
    far = History(2 * WHOLE, "PCMU")
    far.append(Random(0).randbytes(2 * WHOLE))
    for size in SIZES:
        near = far.take(WHOLE, WHOLE + size)
        list(resemblances(far, near, WHOLE))
        EchoPath(0).learn(far, near, WHOLE)
