"""Judges the callers' windows by Silero's model: those of all calls in one batch, in one thread beside the loop.

A window waits up to :data:`GATHER_S` for others, and for the batch before it. The rules when something is amiss: a
window that finds too many before it, or waits too long, is dropped, and its stream begins anew with the next one; a
model that fails again and again is not asked any more. Nobody is told by an answer: who asked goes on by loudness
alone, and the counters say how often.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import NamedTuple, TypeAlias

from sipagent.audio.silero import MAX_BATCH, MISSING, Model, Stream, find_model, judge
from sipagent.errors import SipagentError
from sipagent.formats import AudioFormat

try:
    import onnxruntime
except ImportError:  # the extra "vad" is not installed
    onnxruntime = None

GATHER_S = 0.004
"""How long the first window of a batch waits for more: less than a fifth of a frame, and half the CPU at 50 calls."""

MAX_WAITING = 512
"""Windows in line: at 65 μs each what one thread does within 33 ms, a window's own length; behind them all are late."""

LATE_S = 0.1
"""An answer so late would find the caller silenced, or interrupted, by loudness."""

MAX_FAILURES = 5
"""Batches that fail in a row; a model that is broken is not mended by asking again."""

Answered: TypeAlias = Callable[[float], None]


class _Window(NamedTuple):
    ear: "Ear"
    audio: bytes
    is_first: bool
    answered: Answered
    came_at: float


def load_model() -> Model:
    """Return the model, for one thread.

    :raises SipagentError: without the extra, or when its file is none.
    """
    path = find_model()
    if onnxruntime is None or path is None:
        raise SipagentError(f"Silero's model: {MISSING}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        model: Model = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has no base class of its own for what it raises
        raise SipagentError(f"{path} cannot be loaded: {error}") from error
    return model


class Ear:
    """The windows of one direction of one call, made by :meth:`SpeechModel.open`."""

    def __init__(self, model: "SpeechModel", audio_format: AudioFormat) -> None:
        self._model = model
        self.stream = Stream(audio_format)
        self.has_gap = False
        """Whether a window was dropped, so that what the model remembers is not what came before."""

    def judge(self, window: bytes, *, is_first: bool, answered: Answered) -> None:
        """Have the next window judged; ``answered`` gets the probability, later and in order, or is never called.

        :param is_first: whether there is a gap before it.
        """
        self._model.judge(self, window, is_first=is_first, answered=answered)


class SpeechModel:
    """The one of the process.

    :param failed: is told, once, why the model is not asked any more.
    """

    def __init__(self, model: Model, *, failed: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self.counters: Counter[str] = Counter()
        """``speech_windows``, of those ``speech_windows_late`` and ``speech_windows_failed``; ``speech_batches``."""
        self._model = model
        self._failed = failed
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="speech")
        self._waiting: deque[_Window] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_busy = False
        self._failures = 0
        self._is_closed = False

    @property
    def is_working(self) -> bool:
        """Whether windows are judged."""
        return not self._is_closed and self._failures < MAX_FAILURES

    def open(self, audio_format: AudioFormat) -> Ear:
        """Return where the windows of a call go."""
        return Ear(self, audio_format)

    def judge(self, ear: Ear, audio: bytes, *, is_first: bool, answered: Answered) -> None:
        """Put a window in line."""
        if not self.is_working:
            return
        window = _Window(ear, audio, is_first, answered, self._clock())
        self.counters["speech_windows"] += 1
        if len(self._waiting) >= MAX_WAITING:
            self._drop(window)
            return
        self._waiting.append(window)
        if not self._is_busy and self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._begin)

    def close(self) -> None:
        """Judge no more; the batch under way is left to end by itself."""
        self._is_closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        self._timer = None
        batch = self._take(self._clock())
        if batch:
            self._is_busy = True
            self.counters["speech_batches"] += 1
            self._thread.submit(self._work, batch)

    def _take(self, now: float) -> list[_Window]:
        """Take the first window of each stream; the second of one has to wait for what the first does to it."""
        batch: dict[Ear, _Window] = {}
        rest: list[_Window] = []
        while self._waiting and len(batch) < MAX_BATCH:
            window = self._waiting.popleft()
            if now - window.came_at > LATE_S:
                self._drop(window)
            elif window.ear in batch:
                rest.append(window)
            else:
                batch[window.ear] = window
        self._waiting.extendleft(reversed(rest))
        for window in batch.values():
            if window.is_first or window.ear.has_gap:
                window.ear.stream.forget()
                window.ear.has_gap = False
        return list(batch.values())

    def _work(self, batch: list[_Window]) -> None:
        """In the thread: nobody else touches these streams meanwhile."""
        answers, error = None, ""
        try:
            answers = judge(self._model, [(window.ear.stream, window.audio) for window in batch])
        except Exception as raised:  # noqa: BLE001 - whatever it is, the calls go on
            error = str(raised) or type(raised).__name__
        with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
            self._loop.call_soon_threadsafe(self._end, batch, answers, error)

    def _end(self, batch: list[_Window], answers: list[float] | None, error: str) -> None:
        self._is_busy = False
        if self._is_closed:
            return
        if answers is None:
            self._fail(batch, error)
        else:
            self._failures = 0
            for window, answer in zip(batch, answers, strict=True):
                window.answered(answer)
        if self._waiting and self.is_working:
            self._begin()

    def _fail(self, batch: list[_Window], error: str) -> None:
        self.counters["speech_windows_failed"] += len(batch)
        for window in batch:
            window.ear.has_gap = True
        self._failures += 1
        if self._failures == MAX_FAILURES:
            self._waiting.clear()
            self._failed(error)

    def _drop(self, window: _Window) -> None:
        self.counters["speech_windows_late"] += 1
        window.ear.has_gap = True
