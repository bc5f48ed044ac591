"""The ear of a call: which of the caller's frames go to the model, and when a turn starts and stops.

With the turn judged here (``local``), the model gets a turn and nothing else: from a little before its onset to its
end. With the turn judged by the model (``server``), it gets every frame. Either way it is this ear that says STARTED,
so that the agent stops without asking anybody.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from sipagent.audio.echo import EchoGuard
from sipagent.audio.prosody import ending_of
from sipagent.audio.vad import EnergyVad
from sipagent.call import events
from sipagent.call.model_link import ModelLink
from sipagent.call.speech_probe import SpeechProbe
from sipagent.call.turn import Turn, TurnChange, TurnSettings
from sipagent.call.turn_end import TurnEnd, TurnEndSettings
from sipagent.call.voice_check import VoiceCheck
from sipagent.formats import AudioFormat
from sipagent.recent import remember
from sipagent.rtp.session import Frame

GATE_DBFS: Final = -45.0
"""Nothing softer is speech."""

OVER_AGENT_DBFS: Final = -40.0
"""Nothing softer is, while the agent speaks: of most lines the echo of it is, of callers nearly none."""

MAX_TENTATIVE_MS: Final = 8_000
"""The most that is kept of what may become a turn: by then it was confirmed, or is nothing that anybody says."""

TAIL_FRAMES: Final = 75
"""1.5 s of 20 ms: the phrase that ``prosody`` looks at, and the silence behind it."""

STOPPED_S: Final = 0.1
"""A phone that sends sends every 60 ms or more often."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How the caller is listened to."""

    detection: Literal["local", "server", "hybrid"] = "local"
    """Who ends a turn: we or the server; ``hybrid``: the server, and we ask for the answer."""
    vad: Literal["energy", "silero", "fused"] = "energy"
    """What tells speech: loudness, Silero's model, or loudness until the model denies it. The model wants the shell's
    answers."""
    preroll_ms: int = 300
    """How much from before the onset the model gets, so that no first consonant is lost."""
    echo_guard: bool = True
    """Whether what we sent and comes back is told from the caller's voice, by more than its level."""
    turn: TurnSettings = field(default_factory=TurnSettings)
    turn_end: TurnEndSettings | None = None
    """How long a silence ends a turn, by what was said and how; ``None``: always as long as ``turn`` says."""


class Listener:
    """Feeds the model from the caller's frames.

    :param emit: takes what is to be judged by the shell.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        session: ModelLink,
        audio_format: AudioFormat,
        emit: Callable[[events.Output], None],
    ) -> None:
        self._is_local = settings.detection == "local"
        self.is_hybrid = settings.detection == "hybrid"
        """Whether the server finds the ends of turns, and the response is asked for by us."""
        self._session = session
        self._bytes_per_ms = audio_format.bytes_per_ms
        self._vad = EnergyVad(audio_format)
        self._evidence = (
            VoiceCheck(audio_format)
            if settings.vad == "energy"
            else SpeechProbe(audio_format, mode=settings.vad, emit=emit)
        )
        self._echo_guard = EchoGuard(audio_format) if settings.echo_guard else None
        self._turn_end = TurnEnd(settings.turn_end) if settings.turn_end is not None and self._is_local else None
        self._turn = Turn(settings.turn, first_silence_ms=self._turn_end.first_look_ms if self._turn_end else None)
        self._tail: list[bytes] = []
        """The latest frames of the turn, for how it ends."""
        self._judged_at = 0.0
        """Of which pause it was judged whether it ends the turn: its beginning."""
        self._is_over_agent = False
        self._preroll: list[bytes] = []
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
        """How much speech there was in the latest sound that was no turn; in noise there is none."""
        return 0 if self._evidence.was_noise else self._turn.withdrawn_ms

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

    def silent_s(self, *, now: float) -> float:
        """How long it is that speech was heard."""
        return now - self._turn.speech_at

    @property
    def server_silence_s(self) -> float:
        """How much silence the server may want before it finds that a turn is over."""
        return self._audio_format.duration_ms(len(self._silence)) / 1000

    def end_turn(self) -> bool:
        """The server found that the turn is over; say whether there was one by our ear."""
        was_speaking = self._turn.is_speaking
        if was_speaking:
            self._turn.stop()
        return was_speaking

    def commit_for_server(self) -> None:
        """The server did not find the end of a turn that is over."""
        self._session.commit()

    @property
    def is_tentative(self) -> bool:
        """Whether the caller may be about to interrupt the agent."""
        return self._turn.is_tentative

    def change(self, settings: ListenerSettings) -> None:
        """From now on, other settings hold, and an open turn ends by them; what tells speech and echo stays."""
        self._is_local = settings.detection == "local"
        self._turn_end = TurnEnd(settings.turn_end) if settings.turn_end is not None and self._is_local else None
        self._turn.change(settings.turn, first_silence_ms=self._turn_end.first_look_ms if self._turn_end else None)
        self._kept_bytes += settings.preroll_ms * self._bytes_per_ms - self._max_preroll_bytes
        self._max_preroll_bytes = settings.preroll_ms * self._bytes_per_ms
        self._silence = self._audio_format.silence_of(self._session.server_silence_ms)

    @property
    def is_mistaken(self) -> bool:
        """Whether the turn that is open, or tentative, is found to be noise."""
        return (self._turn.is_tentative or self._turn.is_speaking) and self._evidence.is_noise

    def hears_speech(self, payload: bytes, *, over_agent: bool, now: float) -> bool:
        """Say whether the caller speaks in this frame; to be followed by :meth:`forward`. Hot path.

        :param over_agent: whether the agent's echo may be in it.
        """
        guard, vad = self._echo_guard, self._vad
        if guard is not None:
            guard.heard(payload, now=now)
        if over_agent is not self._is_over_agent:
            self._set_over_agent(over_agent)
        is_speech, is_loud = vad.is_speech(payload), vad.is_loud
        if is_speech and guard is not None and guard.is_echo(now=now):
            is_speech = is_loud = False
        is_open = self._turn.is_speaking
        return self._evidence.hear(payload, is_speech=is_speech, is_loud=is_loud, is_open=is_open, now=now)

    def hear_gap(self, frame: Frame, *, over_agent: bool, now: float) -> None:
        """Take a frame that tells nothing of the caller: silence that was not sent, or what fills in for a loss."""
        if self._echo_guard is not None:
            self._echo_guard.heard(frame.payload or self._audio_format.silence * frame.samples, now=now)
        self._set_over_agent(over_agent)

    def _set_over_agent(self, over_agent: bool) -> None:
        """Whether the agent's echo may be in what comes: it is none by its level alone, where it is soft."""
        self._is_over_agent = over_agent
        self._vad.gate_dbfs = OVER_AGENT_DBFS if over_agent else GATE_DBFS

    def note_sent(self, frame: bytes, *, is_sound: bool, now: float) -> None:
        """Take note of what the caller hears in this tick: it may come back as an echo. Hot path."""
        if self._echo_guard is not None:
            self._echo_guard.sent(frame, is_sound=is_sound, now=now)

    def receive_speech(self, payload: bytes, *, may_interrupt: bool, now: float) -> TurnChange | None:
        """Take a frame with speech in it; to a turn the others are no news: that it ends is a deadline.

        :param may_interrupt: whether there is an agent that this would interrupt, so that its turn is tentative first.
        """
        if self._turn_end is not None:
            self._turn_end.went_on(self._turn.silent_ms(now=now))
        change = self._turn.receive_speech(len(payload) / self._bytes_per_ms, over_agent=may_interrupt, now=now)
        if change is TurnChange.TENTATIVE:
            self._kept_bytes = self._max_preroll_bytes + MAX_TENTATIVE_MS * self._bytes_per_ms
            self._evidence.begin()
        return change

    def receive_answer(self, chance: float, burst: int, *, now: float) -> None:
        """Take what Silero's model says of a window: where it is certain the turn goes on, however soft its end is."""
        if isinstance(self._evidence, SpeechProbe) and self._evidence.receive_answer(chance, burst):
            self._turn.go_on(now=now)

    def dismiss(self) -> None:
        """Take the turn that is open, or tentative, for noise: nothing of it is to be answered."""
        if self._turn.is_speaking and self._is_local:
            self._session.clear_input()
        self._turn.stop()
        self.drop()

    def forward(self, payload: bytes, *, now: float) -> None:
        """Give the frame to the model, or keep it in case a turn is about to start."""
        self._forwarded_at = now
        self._ahead = 0
        if self._turn.is_speaking or not self._is_local:
            if self._turn_end is not None:
                remember(self._tail, payload, TAIL_FRAMES)
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
        if self._turn_end is not None and self._turn.is_speaking and now >= self._turn.due_at:
            self._judge_pause(self._turn_end)
        change = self._turn.handle_timer(now=now)
        if change is TurnChange.STOPPED:
            self._tail.clear()
        return change

    def agent_said(self, text: str) -> None:
        """Take the agent's words, to which the caller's next ones are the answer."""
        if self._turn_end is not None:
            self._turn_end.agent_said(text)

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
        """Let the model have what was tentative, for its words; say whether it was enough of it for the model.

        A server that finds turns by itself commits it by itself.
        """
        if not self._is_local:
            return False
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

    def _judge_pause(self, turn_end: TurnEnd) -> None:
        """Have the turn wait longer, if what was said, or how, asks for it; once a pause."""
        turn = self._turn
        if turn.speech_at != self._judged_at:
            self._judged_at = turn.speech_at
            ending = ending_of(b"".join(self._tail), self._audio_format)
            turn.wait(turn_end.silence_ms(ending, turn_ms=turn.duration_ms))

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
            self._preroll_bytes -= len(self._preroll.pop(0))

    def _flush_preroll(self) -> None:
        self._session.append_audio(b"".join(self._preroll))
        self._preroll.clear()
        self._preroll_bytes = 0
        self._kept_bytes = self._max_preroll_bytes
