"""The caller's frames in the call's own format: decoded where they must be, what was lost concealed.

G.711 in a call of the same law passes byte for byte, of the other law by a table. Only around a loss is it made linear,
and since a gap is given up only when a packet behind it has come, what is filled in leads from the sound before to the
sound after.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import numpy as np

from sipagent.audio.codecs import make_codec
from sipagent.audio.g711 import Pcm, translation
from sipagent.audio.linear import from_linear, to_linear
from sipagent.audio.plc import HISTORY_MS, Concealer
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat
from sipagent.rtp.session import Frame

PAST: Final = HISTORY_MS // 10
"""Pieces that are as much as is asked for."""


class Uplink:
    """One direction of one leg, whatever codecs its packets come in.

    :param random: for the noise under what is concealed.
    """

    def __init__(self, audio_format: AudioFormat, *, random: Random) -> None:
        self._format = audio_format
        self._random = random
        self._streams: dict[int, _Stream] = {}
        self._plain: _Stream | None = None
        self.plain_type = -1
        """The payload type of the last frame, if :meth:`pass_on` takes the next one of it; else -1."""

    def configure(self, encodings: Mapping[int, str]) -> None:
        """Go on with these payload types; a codec that was there before goes on where it was.

        :param encodings: each as ``make_codec`` takes it, such as ``G722/8000``.
        """
        known = {stream.encoding: stream for stream in self._streams.values()}
        for encoding in encodings.values():
            if encoding not in known:
                known[encoding] = _Stream(encoding, self._format, self._random)
        self._streams = {payload_type: known[encoding] for payload_type, encoding in encodings.items()}
        self._plain, self.plain_type = None, -1

    def pass_on(self, payload: bytes) -> bytes:
        """Return the payload of a frame of :attr:`plain_type` in the call's format. Hot path."""
        return payload if self._plain is None else self._plain.pass_on(payload)

    def receive(self, frames: Sequence[Frame]) -> Sequence[Frame]:
        """Return the frames in the call's format, with ``samples`` of it; silence that was not sent stays empty."""
        if not frames:
            return frames
        last = frames[-1].payload_type
        if last != self.plain_type:
            stream = self._streams.get(last)
            is_plain = stream is not None and (stream.passes or stream.table is not None)
            self._plain, self.plain_type = (stream, last) if is_plain else (None, -1)
        if len(frames) == 1 and self._plain is not None and frames[0].payload:
            payload = self._plain.pass_on(frames[0].payload)
            return frames if self._plain.passes else (frames[0]._replace(payload=payload),)
        return self._convert(frames)

    def _convert(self, frames: Sequence[Frame]) -> list[Frame]:
        heard: list[Frame] = []
        lost: list[Frame] = []
        for frame in frames:
            stream = self._streams.get(frame.payload_type)
            if stream is None:
                continue
            if frame.lost:
                lost.append(frame)
                continue
            heard += stream.bridge(lost, frame)
            lost = []
        return heard + (self._streams[lost[0].payload_type].end(lost) if lost else [])


class _Stream:
    """What comes in one codec."""

    def __init__(self, encoding: str, audio_format: AudioFormat, random: Random) -> None:
        self.encoding = encoding
        self._codec = make_codec(encoding)
        self._format = audio_format
        self._random = random
        self._concealer: Concealer | None = None
        """Not made before something is lost: its generators of noise take longer than all else here."""
        self._resampler = Resampler(self._codec.rate, audio_format.rate)
        self.passes = self._codec.name == audio_format.codec
        self.table = translation(self._codec.name, audio_format.codec)
        self._past: list[bytes | Pcm] = []
        """What was heard last, linear or in the call's law: frames of 10 ms or more."""

    def pass_on(self, payload: bytes) -> bytes:
        """Return a payload of G.711 in the call's law. Hot path."""
        if self.table is not None:
            payload = payload.translate(self.table)
        self._remember(payload)
        return payload

    def bridge(self, lost: Sequence[Frame], frame: Frame) -> list[Frame]:
        """Return what fills in for ``lost`` and the frame behind it."""
        if not frame.payload:
            return [*self.end(lost), self._rest(frame)]
        pcm = self._codec.decode(frame.payload)
        before = [self._conceal(lost, pcm)] if lost else []
        self._remember(pcm)
        if self.passes:
            return [*before, frame]
        return [*before, self._publish(frame, pcm)]

    def end(self, lost: Sequence[Frame]) -> list[Frame]:
        """Return what fills in for ``lost``, behind which the sender fell silent."""
        return [self._conceal(lost, np.zeros(self._codec.rate // 100, np.int16))] if lost else []

    def _conceal(self, lost: Sequence[Frame], future: Pcm) -> Frame:
        """Return one frame for all that was lost together."""
        samples = self._samples_of(sum(frame.samples for frame in lost))
        if self._concealer is None:
            self._concealer = Concealer(self._codec.rate, random=self._random)
        pcm = self._concealer.conceal(samples, history=self._history(), future=future)
        self._remember(pcm)
        return self._publish(lost[0], pcm)

    def _rest(self, frame: Frame) -> Frame:
        """Take note of silence: the next loss is one within it, and the filter forgets what was before."""
        samples = self._samples_of(frame.samples)
        self._resampler.convert(np.zeros(self._codec.rate // 100, np.int16))
        self._remember(np.zeros(min(samples, HISTORY_MS * self._codec.rate // 1000), np.int16))
        return frame._replace(samples=samples * self._format.rate // self._codec.rate)

    def _publish(self, frame: Frame, pcm: Pcm) -> Frame:
        audio = from_linear(self._resampler.convert(pcm), self._format)
        return frame._replace(payload=audio, samples=len(audio) // self._format.sample_bytes)

    def _samples_of(self, ticks: int) -> int:
        return ticks * self._codec.rate // self._codec.clock_rate

    def _remember(self, piece: bytes | Pcm) -> None:
        """Keep a piece; that there are too many is looked at now and then."""
        past = self._past
        past.append(piece)
        if len(past) > 4 * PAST:
            del past[:-PAST]

    def _history(self) -> Pcm:
        """The last :data:`HISTORY_MS`, as linear samples at the codec's rate."""
        pieces = [to_linear(piece, self._format) if isinstance(piece, bytes) else piece for piece in self._past[-PAST:]]
        history: Pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
        return history[-HISTORY_MS * self._codec.rate // 1000 :]
