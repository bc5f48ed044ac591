"""Hearing set phrases: pocketsphinx, in a process of its own, where its package is installed; else nothing is heard."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from sipagent.aio.log import get_logger
from sipagent.aio.pipe import HearRequest
from sipagent.aio.worker import Worker, WorkerError
from sipagent.audio.g711 import decode_alaw, decode_ulaw
from sipagent.formats import PCM, PCMA, AudioFormat


class Ear:
    """Tells which of some phrases was said."""

    def __init__(self, worker: Worker | None) -> None:
        self._worker = worker
        self._log = get_logger()

    @property
    def name(self) -> str:
        """``pocketsphinx``, or ``none``."""
        return self._worker.name if self._worker is not None else "none"

    async def hear(self, audio: bytes, audio_format: AudioFormat, phrases: Sequence[str]) -> str | None:
        """The phrase; empty when it is none of them, ``None`` when there is no ear."""
        if self._worker is None:
            return None
        request = HearRequest(decode(audio, audio_format), audio_format.rate, tuple(phrases))
        try:
            return await self._worker.request(request, str)
        except WorkerError as error:
            self._log.warning("ear_failed", error=str(error))
            return None

    async def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            await self._worker.close()


async def open_ear() -> Ear:
    """The ear of this machine, started and warm; or one that hears nothing."""
    log = get_logger()
    if find_spec("pocketsphinx") is None:
        log.info("no_ear", instead="the keys of the telephone", install="pocketsphinx")
        return Ear(None)
    worker = Worker("sipagent.aio.ear_worker")
    try:
        await worker.start()
    except WorkerError as error:
        log.warning("ear_unavailable", error=str(error), instead="the keys of the telephone")
        await worker.close()
        return Ear(None)
    return Ear(worker)


def decode(audio: bytes, audio_format: AudioFormat) -> bytes:
    """Audio of a format as 16-bit samples of this machine's byte order."""
    if audio_format.codec == PCM.codec:
        return np.frombuffer(audio[: len(audio) & ~1], "<i2").astype(np.int16).tobytes()
    return (decode_alaw(audio) if audio_format == PCMA else decode_ulaw(audio)).tobytes()
