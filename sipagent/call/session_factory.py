"""Makes the session that the settings ask for, whichever protocol the model speaks.

A call's audio is in a format of its own, which its first agreement settles. Where the model takes another one, it is
converted on the session's threshold, so that nobody else in the call knows of it.
"""

from dataclasses import replace
from random import Random

from sipagent.audio.linear import from_linear, to_linear
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat
from sipagent.realtime.live import LiveSession
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.session import Converter, RealtimeSession
from sipagent.realtime.settings import SessionSettings


def make_session(settings: SessionSettings, *, audio_format: AudioFormat, random: Random) -> ModelSession:
    """A session for a call in this format; that of the settings is replaced by what the server takes."""
    theirs = settings.dialect.format_for(audio_format)
    asked = settings if settings.audio_format == theirs else replace(settings, audio_format=theirs)
    kind = LiveSession if settings.dialect.protocol == "live" else RealtimeSession
    if theirs == audio_format:
        return kind(asked, random=random)
    inward, outward = _converter(audio_format, theirs), _converter(theirs, audio_format)
    return kind(asked, random=random, inward=inward, outward=outward)


def _converter(source: AudioFormat, target: AudioFormat) -> Converter:
    """A stream from one format to the other; half a sample waits for its rest."""
    resampler = Resampler(source.rate, target.rate)
    rest = b""

    def convert(audio: bytes) -> bytes:
        nonlocal rest
        audio = rest + audio
        whole = len(audio) - len(audio) % source.sample_bytes
        rest = audio[whole:]
        return from_linear(resampler.convert(to_linear(audio[:whole], source)), target)

    return convert
