"""The ear of a call: which of the caller's frames go to the model, and when a turn starts and stops.

With the turn judged here (``local``), the model gets a turn and nothing else: from a little before its onset to its
end. With the turn judged by the model (``server``), it gets every frame. Either way it is this ear that says STARTED,
so that the agent stops without asking anybody.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from sipagent.audio.vad import EnergyVad
from sipagent.call.model_link import ModelLink
from sipagent.call.turn import Turn, TurnChange, TurnSettings
from sipagent.formats import AudioFormat
from sipagent.rtp.session import Frame

GATE_DBFS = -45.0
"""Nothing softer is speech."""

OVER_AGENT_DBFS = -40.0
"""Nothing softer is, while the agent speaks: a line's echo of it seldom is louder, a caller nearly always."""

MAX_TENTATIVE_MS = 8_000
"""The most that is kept of what may become a turn: by then it was confirmed, or is nothing that anybody says."""

STOPPED_S = 0.1
"""A phone that sends sends every 60 ms or more often."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How the caller is listened to."""

    detection: Literal["local", "server"] = "local"
    """Who ends a turn: ``local`` or ``server``."""
    preroll_ms: int = 300
    """How much from before the onset the model gets, so that no first consonant is lost."""
    turn: TurnSettings = field(default_factory=TurnSettings)


class Listener:
    """Feeds the model from the caller's frames."""

    def __init__(self, settings: ListenerSettings, *, session: ModelLink, audio_format: AudioFormat) -> None:
        self._is_local = settings.detection == "local"
        self._session = session
        self._bytes_per_ms = audio_format.bytes_per_ms
        self._vad = EnergyVad(audio_format)
        self._turn = Turn(settings.turn)
        self._is_over_agent = False
        self._preroll: deque[bytes] = deque()
        self._preroll_bytes = 0
        self._max_preroll_bytes = settings.preroll_ms * audio_format.bytes_per_ms
        self._kept_bytes = self._max_preroll_bytes
        """How much is kept: of a turn that is tentative, all."""
        self._forwarded_at = 0.0
        self._audio_format = audio_format
        self._ahead = 0
        """Samples of silence that the model got before the sender's clock told of them."""
        self._silence = audio_format.silence_of(session.server_silence_ms)

    @property
    def onset_at(self) -> float:
        """When the first frame of the present turn arrived."""
        return self._turn.onset_at

    @property
    def turn_ms(self) -> int:
        """How long the latest turn was."""
        return self._turn.duration_ms

    @property
    def withdrawn_ms(self) -> int:
        """How much speech there was in the latest sound that was no turn."""
        return self._turn.withdrawn_ms

    @property
    def level_dbfs(self) -> float:
        """The level of the latest frame."""
        return self._vad.level_dbfs

    @property
    def due_at(self) -> float:
        """When the open turn ends if nothing more is said."""
        return self._turn.due_at

    @property
    def is_local(self) -> bool:
        """Whether the turn is judged here, and the response asked for by us."""
        return self._is_local

    @property
    def is_caller_speaking(self) -> bool:
        """Whether a turn is open."""
        return self._turn.is_speaking

    @property
    def is_tentative(self) -> bool:
        """Whether the caller may be about to interrupt the agent."""
        return self._turn.is_tentative

    def change(self, settings: ListenerSettings) -> None:
        """From now on, other settings hold; a turn that is open ends by them."""
        self._is_local = settings.detection == "local"
        self._turn.change(settings.turn)
        self._kept_bytes += settings.preroll_ms * self._bytes_per_ms - self._max_preroll_bytes
        self._max_preroll_bytes = settings.preroll_ms * self._bytes_per_ms
        self._silence = self._audio_format.silence_of(self._session.server_silence_ms)

    def hears_speech(self, frame: Frame, *, over_agent: bool) -> bool:
        """Say whether there is speech in this frame; to be followed by :meth:`forward`. Hot path.

        :param over_agent: whether the agent's echo may be in it.
        """
        if over_agent is not self._is_over_agent:
            self._is_over_agent = over_agent
            self._vad.gate_dbfs = OVER_AGENT_DBFS if over_agent else GATE_DBFS
        return bool(frame.payload) and not frame.lost and self._vad.is_speech(frame.payload)

    def receive_speech(self, frame: Frame, *, may_interrupt: bool, now: float) -> TurnChange | None:
        """Take a frame with speech in it; to a turn the others are no news: that it ends is a deadline.

        :param may_interrupt: whether there is an agent that this would interrupt, so that its turn is tentative first.
        """
        change = self._turn.receive_speech(len(frame.payload) / self._bytes_per_ms, over_agent=may_interrupt, now=now)
        if change is TurnChange.TENTATIVE:
            self._kept_bytes = self._max_preroll_bytes + MAX_TENTATIVE_MS * self._bytes_per_ms
        return change

    def forward(self, payload: bytes, *, now: float) -> None:
        """Give the frame to the model, or keep it in case a turn is about to start."""
        self._forwarded_at = now
        self._ahead = 0
        if self._turn.is_speaking or not self._is_local:
            if self._preroll:
                self._flush_preroll()
            self._session.append_audio(payload)
        else:
            self._keep(payload)

    def forward_silence(self, samples: int, *, now: float) -> None:
        """Take as much silence as the sender did not send, but for what the model got when the turn ended."""
        ahead = max(0, self._ahead - samples)
        samples -= self._ahead - ahead
        if self._is_local and not self._turn.is_speaking:
            samples = min(samples, self._kept_bytes // self._audio_format.sample_bytes)
        if samples:
            self.forward(self._audio_format.silence * samples, now=now)
        self._ahead = ahead

    def handle_timer(self, *, now: float) -> TurnChange | None:
        """Return whether the turn is over, or the tentative one was none."""
        return self._turn.handle_timer(now=now)

    def commit(self, *, now: float) -> bool:
        """Make the turn that is over the model's; return whether we are to ask for an answer."""
        if not self._is_local:
            self._end_for_server(now)
            return False
        if self._session.commit():
            return True
        self._session.clear_input()
        return False

    def take(self) -> None:
        """Make a turn of what was tentative: it was short, but it counts."""
        self._turn.take()
        if self._preroll:
            self._flush_preroll()

    def commit_aside(self) -> bool:
        """Let the model have what was tentative, for its words; say whether it was enough of it for the model."""
        self._flush_preroll()
        self._kept_bytes = self._max_preroll_bytes
        if self._session.commit():
            return True
        self._session.clear_input()
        return False

    def drop(self) -> None:
        """Take what was tentative for noise."""
        self._kept_bytes = self._max_preroll_bytes
        self._trim()

    def forget(self) -> None:
        """Drop a turn that is not to be answered."""
        if self._turn.is_speaking:
            self._session.clear_input()
        self._turn.stop()
        self._preroll.clear()
        self._preroll_bytes = 0
        self._kept_bytes = self._max_preroll_bytes

    def _end_for_server(self, now: float) -> None:
        """Let the server hear the silence, too, when the phone sends nothing while its user is silent."""
        if now - self._forwarded_at > STOPPED_S:
            self._session.append_audio(self._silence)
            self._ahead += len(self._silence) // self._audio_format.sample_bytes

    def _keep(self, payload: bytes) -> None:
        self._preroll.append(payload)
        self._preroll_bytes += len(payload)
        self._trim()

    def _trim(self) -> None:
        while self._preroll_bytes > self._kept_bytes:
            self._preroll_bytes -= len(self._preroll.popleft())

    def _flush_preroll(self) -> None:
        self._session.append_audio(b"".join(self._preroll))
        self._preroll.clear()
        self._preroll_bytes = 0
        self._kept_bytes = self._max_preroll_bytes
