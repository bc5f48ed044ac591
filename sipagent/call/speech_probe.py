"""What Silero's model has to say of the caller's sound: which windows it is asked about, and what comes of its answers.

A *burst* is sound above the gate, with the silences in it and some after it. Its windows are put out to be judged, by
the shell, which answers some milliseconds later or never; silence costs nothing. The ladder: one window at
:data:`SUSPECTED` may be speech, two in a row at :data:`CERTAIN` are; where none of the first :data:`DENIED_AFTER` is
suspected, or none of so many later on, it is noise, however loud. Where loudness is asked first (``fused``) nothing
more is asked of a burst that is certain: most of what is loud is speech. Without answers loudness decides alone.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final, Literal, TypeAlias

from sipagent.audio.silero import window_bytes
from sipagent.call import events
from sipagent.formats import AudioFormat

SUSPECTED: Final = 0.3
"""In quiet reached 35 ms after the onset (median), and by no tone, click or breath."""
CERTAIN: Final = 0.5
"""What the model's makers take for speech."""
DENIED_AFTER: Final = 6
"""Windows: 192 ms. Speech in quiet is suspected by then 95 times in 100, and if later, is speech from then on."""
DEAF_AFTER: Final = 8
"""Windows without an answer: 256 ms, by which the model is no help."""
TRUSTED: Final = 3
"""Windows of a burst that ended early and must have been judged for it to be called noise."""

HANGOVER_S: Final = 0.3
"""For so long after its last loud frame a burst goes on: the pause between words, and what tells that speech ended."""
LEAD: Final = 3
"""Frames from before the burst that the model hears first, to know the line."""

Mode: TypeAlias = Literal["silero", "fused"]
"""Whether only the model makes speech of a loud frame, or loudness does until the model denies it."""


class Verdict(Enum):
    """What the latest windows were."""

    UNKNOWN = "unknown"
    SPEECH = "speech"
    NOISE = "noise"


class SpeechProbe:
    """One caller's. :meth:`hear` and :meth:`receive_answer` are to be told of all frames and all answers."""

    def __init__(self, audio_format: AudioFormat, *, mode: Mode, emit: Callable[[events.Output], None]) -> None:
        self._emit = emit
        self._format = audio_format
        self._needs_answers = mode == "silero"
        self._window_bytes = window_bytes(audio_format)
        self._recent: deque[bytes] = deque(maxlen=LEAD)
        self._audio = bytearray()
        self._is_open = False
        self._ends_at = 0.0
        self._burst = 0
        self._lead = 0
        """Windows that are not of the burst itself, or hardly."""
        self._asked = 0
        self._judged = 0
        self._low = 0
        """Windows in a row, up to the latest, that are not suspected."""
        self._silent = 0
        """The same for those that are not certain."""
        self._certain = 0
        """Windows in a row that are."""
        self._was_suspected = False
        self._is_settled = False
        """Whether what is heard is speech for certain, so that loudness may go on alone until the burst is over."""
        self._gets_answers = True

    @property
    def verdict(self) -> Verdict:
        """What the caller's sound is by now."""
        if self._is_deaf:
            return Verdict.UNKNOWN
        if self._low >= DENIED_AFTER:
            return Verdict.NOISE
        return Verdict.SPEECH if self._certain >= 2 else Verdict.UNKNOWN

    @property
    def is_noise(self) -> bool:
        """Whether there was no speech in the present burst, so far."""
        return not self._was_suspected and self.verdict is Verdict.NOISE

    @property
    def was_noise(self) -> bool:
        """The same for a burst that is over, however short it was."""
        return not self._was_suspected and not self._is_deaf and self._judged - self._lead >= TRUSTED

    def begin(self) -> None:
        """The agent has paused for what is heard now; that is being judged already."""

    def hear(self, payload: bytes, *, is_speech: bool, is_loud: bool, is_open: bool, now: float) -> bool:
        """Take a frame; return whether there is speech in it, as far as is known. Hot path.

        :param is_speech: by loudness: whether there was speech at its end.
        :param is_loud: whether it stands out of the noise itself.
        :param is_open: whether it belongs to a turn that has begun.
        """
        if is_loud:
            if not self._is_open:
                self._begin()
            self._ends_at = now + HANGOVER_S
        elif not self._is_open:
            self._recent.append(payload)
            return is_speech
        if now >= self._ends_at:
            self._end(payload)
            return is_speech
        if self._is_settled:
            return is_speech
        self._audio += payload
        while len(self._audio) >= self._window_bytes:
            self._ask()
        return is_speech and self._counts(is_open)

    def receive_answer(self, chance: float, burst: int) -> bool:
        """Take the model's next answer, in the order asked; return whether it is certain of speech.

        :param burst: of the window; an answer to one of a burst before comes too late.
        """
        self._gets_answers = True
        if burst != self._burst or self._judged >= self._asked:
            return False
        self._judged += 1
        if self._judged <= self._lead:
            return False
        self._low = 0 if chance >= SUSPECTED else self._low + 1
        self._silent = 0 if chance >= CERTAIN else self._silent + 1
        self._certain = self._certain + 1 if chance >= CERTAIN else 0
        self._was_suspected |= chance >= SUSPECTED
        is_certain = self._certain >= 2 and not self._is_deaf
        self._is_settled |= is_certain and not self._needs_answers
        return is_certain

    @property
    def _is_deaf(self) -> bool:
        return not self._gets_answers or self._asked - self._judged >= DEAF_AFTER

    def _counts(self, is_open: bool) -> bool:
        if self._is_deaf:
            return True
        if is_open:
            return self._silent < 2  # it ends a median 64 ms after its true end, whatever is loud then
        if self._needs_answers:
            return self._judged > self._lead and self._low == 0
        return self._low < DENIED_AFTER

    def _begin(self) -> None:
        self._gets_answers = not self._is_deaf
        self._is_open = True
        self._burst += 1
        self._audio = bytearray(b"".join(self._recent))
        self._lead = round(len(self._audio) / self._window_bytes)
        self._asked = self._judged = self._low = self._silent = self._certain = 0
        self._was_suspected = self._is_settled = False

    def _end(self, payload: bytes) -> None:
        self._is_open = False
        self._recent.clear()
        self._recent.append(payload)

    def _ask(self) -> None:
        window = bytes(self._audio[: self._window_bytes])
        del self._audio[: self._window_bytes]
        self._emit(events.JudgeSpeech(window, self._format, self._burst, is_first=self._asked == 0))
        self._asked += 1
