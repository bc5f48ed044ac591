"""What GPT-Live says, found in its unbroken stream of audio: utterances, with silence between them.

The model sends sound and silence alike, at the pace of time. An utterance begins with the first sound and ends after
:data:`END_MS` of silence; what lies between two is not played, so that what was held up by the network is made up for.
"""

from sipagent.formats import AudioFormat
from sipagent.realtime.events import AgentTranscript, AudioDone, AudioReceived, Output
from sipagent.realtime.session import Converter

END_MS = 600
"""Silence that ends an utterance; the pauses between sentences are mostly shorter."""

LEAD_IN_MS = 60
"""Silence before an utterance, so that a frame may be that much later than the one before it without a gap."""

MAX_EARLY_CHARACTERS = 2_000
"""Of words that come before their sound; more of them belong to nothing that is ever said."""

SILENT = {"PCMU": b"\xff\x7f", "PCMA": b"\xd5\x55", "PCM": b"\x00"}
"""Bytes of which digital silence is made: zero in either sign."""


class LiveOutput:
    """Writes what the call is to hear of into ``outputs``.

    :param audio_format: of the session.
    :param outward: makes of it the call's, where they differ.
    """

    def __init__(self, outputs: list[Output], audio_format: AudioFormat, *, outward: Converter | None = None) -> None:
        self._outputs = outputs
        self._outward = outward
        self._format = audio_format
        self._silent = SILENT[audio_format.codec]
        self._lead_in = audio_format.silence_of(LEAD_IN_MS)
        self._serial = 0
        self._silence_ms = 0
        self._is_suppressed = False
        self._early_words = ""
        self.item_id = ""
        """Of the utterance; empty between two."""

    def is_sound(self, audio: bytes) -> bool:
        """Whether there is anything to be heard in it."""
        return bool(audio.strip(self._silent))

    def receive(self, audio: bytes, response_id: str, *, has_sound: bool) -> None:
        """Take the next piece of the stream; silence between two utterances is not to be given here."""
        if not self.item_id:
            audio = self._begin() + audio
        if not self._is_suppressed:
            heard = audio if self._outward is None else self._outward(audio)
            self._outputs.append(AudioReceived(self.item_id, 0, heard, response_id))
        self._silence_ms = 0 if has_sound else self._silence_ms + self._format.duration_ms(len(audio))
        if self._silence_ms >= END_MS:
            self.finish()

    def receive_words(self, words: str) -> None:
        """Take what is said, which may come a little before it is heard."""
        if not self.item_id:
            self._early_words = (self._early_words + words)[-MAX_EARLY_CHARACTERS:]
        elif not self._is_suppressed:
            self._outputs.append(AgentTranscript(self.item_id, 0, words, final=False))

    def suppress(self) -> None:
        """Let nothing more be heard of the present utterance."""
        self._is_suppressed = bool(self.item_id)

    def admit(self) -> None:
        """Let be heard what comes from now on: the model goes over to its next words without a pause."""
        self._is_suppressed = False

    def finish(self) -> None:
        """The present utterance is over."""
        if self.item_id:
            self._outputs.append(AudioDone(self.item_id, 0))
            self.item_id = ""
            self._is_suppressed = False

    def _begin(self) -> bytes:
        self._serial += 1
        self.item_id = f"utterance_{self._serial}"
        self._silence_ms = 0
        if self._early_words:
            self._outputs.append(AgentTranscript(self.item_id, 0, self._early_words, final=False))
            self._early_words = ""
        return self._lead_in
