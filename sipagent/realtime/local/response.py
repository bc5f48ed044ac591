"""One response being generated: what the brain decided, turned into events at the pace of the settings.

The order is that of realtime-api.md, section 3.3: response.created; for each output output_item.added,
conversation.item.added, its part and deltas, their done events, output_item.done, conversation.item.done; then
response.done and rate_limits.updated.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipagent.realtime.local.brain import Say, Step
from sipagent.realtime.local.events import Drop
from sipagent.realtime.local.faults import Fault
from sipagent.realtime.local.output import AudioMessage, FunctionCall, Output, Stage, TextMessage
from sipagent.realtime.local.usage import RateLimits, Tokens, count_items, report
from sipagent.realtime.local.wire import Json

MAX_STEPS = 8
"""Outputs of one response: a preamble, a few calls, an answer; a brain that wants more is mistaken."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What ``response.create`` and the session agreed on for one response."""

    modality: str
    max_output_tokens: int | str
    metadata: dict[str, str] | None
    conversation_id: str | None
    """``None`` when it is out of band."""
    first_delta_s: float
    given: Tokens
    cached: Tokens


class Response:
    """From response.created to response.done; asks for thought once, then plays it out against its timer."""

    def __init__(
        self, stage: Stage, terms: Terms, limits: RateLimits, find_fault: Callable[[str], Fault | None]
    ) -> None:
        self.id = stage.response_id
        self.is_created = False
        self.is_done = False
        self.needs_thought = True
        self.outputs: list[Output] = []
        self._stage = stage
        self._terms = terms
        self._limits = limits
        self._find_fault = find_fault
        self._waiting: deque[Output] = deque()
        self._current: Output | None = None
        self._due_at: float | None = None
        self._next_at = 0.0
        self._awaits_speech = False
        self._spent: set[str] = set()

    @property
    def audio_ms(self) -> int:
        """Milliseconds of audio sent."""
        return sum(part.audio_ms for output in self.outputs for part in output.item.content)

    def start(self, *, now: float) -> None:
        """Send response.created, at once or when the fault script says."""
        fault = self._find_fault("slow_created")
        if fault is None:
            self._create()
        else:
            self._due_at = now + fault.seconds

    def think(self, steps: Sequence[Step], *, now: float) -> None:
        """Take what the brain wants to say and do; the first delta is due after the settings' latency."""
        self.needs_thought = False
        self._waiting.extend(self._make_output(step) for step in steps[:MAX_STEPS])
        if self._waiting and isinstance(self._waiting[0], AudioMessage):
            self._waiting[0].prepare()
        if self.is_created:
            self._schedule_first(now)

    def receive_speech(self, request_id: int, audio: bytes, *, now: float) -> bool:
        """Take a rendering; ``False`` when it was not this response that asked for it."""
        spoken = [output for output in (*self.outputs, *self._waiting) if isinstance(output, AudioMessage)]
        known = any(output.receive_speech(request_id, audio) for output in spoken)
        if known and self._awaits_speech and not self.is_done:
            self._awaits_speech = False
            self._due_at = max(now, self._next_at)
        return known

    def cancel(self, reason: str, *, now: float) -> None:
        """End it; ``reason`` is ``client_cancelled`` or ``turn_detected``."""
        self._finish("cancelled", {"type": "cancelled", "reason": reason}, now)

    def get_timer(self) -> float | None:
        """When the next event is due."""
        return self._due_at

    def handle_timer(self, *, now: float) -> None:
        """Send all that is due; each delta is timed from the one before, so a late timer does not slow the rest."""
        while self._due_at is not None and self._due_at <= now:
            at, self._due_at = self._due_at, None
            self._advance(at)

    def _create(self) -> None:
        self.is_created = True
        self._stage.channel.send("response.created", response=self._show("in_progress", None, None))

    def _schedule_first(self, now: float) -> None:
        fault = self._find_fault("slow_first_delta")
        self._due_at = now + self._terms.first_delta_s + (fault.seconds if fault else 0.0)

    def _advance(self, at: float) -> None:
        if not self.is_created:
            self._create()
            if not self.needs_thought:
                self._schedule_first(at)
        elif self._strikes(at):
            return
        elif self._current is None:
            self._begin_next(at)
        elif self._current.is_finished:
            self._current.finish("completed")
            self._current = None
            self._due_at = at
        elif self._is_over_budget():
            self._finish("incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, at)
        else:
            self._step(self._current, at)

    def _begin_next(self, at: float) -> None:
        if not self._waiting:
            self._finish("completed", None, at)
            return
        self._current = self._waiting.popleft()
        self._current.begin(len(self.outputs))
        self.outputs.append(self._current)
        self._due_at = at

    def _step(self, output: Output, at: float) -> None:
        delay = output.step()
        self._next_at = at if delay is None else at + delay
        self._awaits_speech = delay is None
        self._due_at = None if delay is None else self._next_at

    def _strikes(self, at: float) -> bool:
        """Whether a fault takes this step's place."""
        for kind in ("stall", "fail", "drop"):
            fault = self._find_fault(kind)
            if fault is None or kind in self._spent or self.audio_ms < fault.after_ms:
                continue
            self._spent.add(kind)
            if kind == "stall":
                self._due_at = at + fault.seconds if fault.seconds > 0 else None
            elif kind == "fail":
                error = {"type": "server_error", "code": fault.code, "message": "The response failed, as scripted."}
                self._finish("failed", {"type": "failed", "error": error}, at)
            else:
                self._stage.channel.push(Drop())
                self.is_done = True
            return True
        return False

    def _is_over_budget(self) -> bool:
        budget = self._terms.max_output_tokens
        return isinstance(budget, int) and self._count().total >= budget

    def _count(self) -> Tokens:
        return count_items(output.item for output in self.outputs)

    def _make_output(self, step: Step) -> Output:
        if not isinstance(step, Say):
            return FunctionCall(self._stage, step.name, dict(step.arguments))
        if self._terms.modality == "text":
            return TextMessage(self._stage, step.text)
        return AudioMessage(self._stage, step.text)

    def _finish(self, status: str, details: Json | None, now: float) -> None:
        if self._current is not None:
            self._current.finish("incomplete")
            self._current = None
        self.is_done = True
        self.needs_thought = False
        self._due_at = None
        usage = report(self._terms.given, self._terms.cached, self._count())
        channel = self._stage.channel
        channel.send("response.done", response=self._show(status, details, usage))
        channel.send("rate_limits.updated", rate_limits=self._limits.spend(usage["total_tokens"], now=now))

    def _show(self, status: str, details: Json | None, usage: Json | None) -> Json:
        stage, terms = self._stage, self._terms
        voice = {"format": stage.format.to_json(), "voice": stage.voice}
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [output.item.to_json() for output in self.outputs],
            "conversation_id": terms.conversation_id,
            "output_modalities": [terms.modality],
            "max_output_tokens": terms.max_output_tokens,
            "audio": {"output": voice},
            "usage": usage,
            "metadata": terms.metadata,
        }
