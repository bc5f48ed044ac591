"""Follows every call: writes it in the log, counts it in the metrics, and remembers why no call would be taken."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from logging import DEBUG
from typing import TYPE_CHECKING, Protocol

from sipagent.agent.builtin import KEY_TOOLS
from sipagent.aio.log import get_logger
from sipagent.call import events
from sipagent.call.events import Fact
from sipagent.control.metrics import MediaTotals, Metrics
from sipagent.rtp.session import RtpStats

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

QUIET = (events.SpeechStarted, events.SpeechStopped, events.AgentStarted, events.ModelComplained)
"""Facts of which there are many a call; they are for who looks closely."""


class Follower(Protocol):
    """Somebody who follows the calls for a while: the demonstration."""

    def follow(self, call_id: str, fact: Fact, now: float) -> None:
        """Take a fact."""

    def follow_delay(self, path: str, seconds: float) -> None:
        """Take a delay."""


class CallObserver:
    """An :class:`~sipagent.aio.call.Observer`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._engines: dict[str, str] = {}
        self.follower: Follower | None = None
        self._log = get_logger().bind()  # as logging is set up now: to find that out for every line takes as long again
        self.model_trouble: str | None = None
        """Why the model can't be used until somebody mends a setting; ``None`` when it can."""
        self.on_trouble: Callable[[str | None], None] | None = None
        """Is told whenever that changes."""

    def observe(self, call_id: str, fact: Fact, *, now: float) -> None:
        """Take a fact."""
        self._write(call_id, fact)
        self._count(fact, now)
        if self.follower is not None:
            self.follower.follow(call_id, fact, now)

    def follow(self, call_id: str, fact: Fact, now: float) -> None:
        """Take a fact that a worker has written and counted."""
        if self.follower is not None:
            self.follower.follow(call_id, fact, now)

    def follow_delay(self, path: str, seconds: float) -> None:
        """Take a delay that a worker has counted."""
        if self.follower is not None:
            self.follower.follow_delay(path, seconds)

    def take_trouble(self, trouble: str | None) -> None:
        """Take why no call would be taken, ``None`` when it would, from who knows better than we."""
        self._set_trouble(trouble)

    def observe_engine(self, name: str, reason: str | None) -> None:
        """Take note that an engine is of no use until a person mends it, and why; or that it is again."""
        if reason is None:
            self._engines.pop(name, None)
            self._log.info("engine_back", engine=name)
        else:
            self._engines[name] = reason
            self._log.error("engine_refuses_all", engine=name, reason=reason)
        self._metrics.engine_refuses(name, reason is not None)
        self._set_trouble(next(iter(self._engines.values()), None))

    def observe_delay(self, path: str, seconds: float) -> None:
        """Take a delay."""
        if self.follower is not None:
            self.follower.follow_delay(path, seconds)
        if path == "packet_to_model":
            self._metrics.packet_forwarded(seconds)
        else:
            self._metrics.agent_started(seconds)

    def observe_crash(self, call_id: str, error: Exception) -> None:
        """Take a bug that ended a call."""
        self._log.error("call_crashed", call=call_id, exc_info=error)
        self._metrics.call_ended("crashed", None)

    def observe_tool_error(self, name: str, error: BaseException) -> None:
        """Take an exception that a tool raised; the model is told in a sentence."""
        self._log.warning("tool_failed", tool=name, exc_info=error)

    def observe_program_error(self, call_id: str, error: Exception) -> None:
        """Take an exception that the user's program for a call raised; the call goes on."""
        self._log.error("program_failed", call=call_id, exc_info=error)

    def observe_recording_error(self, call_id: str, reason: str) -> None:
        """Take the end of a recording; the call goes on."""
        self._log.error("recording_failed", call=call_id, reason=reason)
        self._metrics.recording_failed()

    def _write(self, call_id: str, fact: Fact) -> None:
        is_quiet = isinstance(fact, QUIET)
        if is_quiet and not self._log.is_enabled_for(DEBUG):
            return
        fields = {"call": call_id} | _fields_of(fact)
        if isinstance(fact, events.DigitPressed):
            del fields["digit"]  # it may be of a card's number
        if isinstance(fact, events.ToolCalled | events.ToolReturned) and fact.name in KEY_TOOLS:
            fields = {name: value for name, value in fields.items() if name not in ("arguments", "output")}
        name = _snake(type(fact).__name__)
        if isinstance(fact, events.ModelFailed):
            self._log.error(name, **fields)
        elif is_quiet:
            self._log.debug(name, **fields)
        else:
            self._log.info(name, **fields)

    def _count(self, fact: Fact, now: float) -> None:
        metrics = self._metrics
        match fact:
            case events.Answered(_, setup_s):
                metrics.call_answered(setup_s)
            case events.AgentPaused(onset_at):
                metrics.agent_paused(now - onset_at)
            case events.AgentResumed():
                metrics.agent_resumed()
            case events.BargedIn():
                metrics.barged_in()
            case events.Truncated():
                metrics.truncated()
            case events.ToolReturned():
                metrics.tool_returned()
            case events.Ended(reason, duration_s, media, tokens, cost_usd):
                metrics.call_ended(reason, duration_s or None)
                metrics.model_used(tokens, cost_usd)
                if media is not None:
                    metrics.media_ended(_totals_of(media))
            case _:
                self._count_model(fact)

    def _count_model(self, fact: Fact) -> None:
        metrics = self._metrics
        match fact:
            case events.ModelReady() if not self._engines:
                self._set_trouble(None)
            case events.ModelFailed(kind, _, message):
                metrics.model_failed("fatal" if kind == "fatal" else "transient")
                if kind == "fatal":
                    self._set_trouble(message)
            case events.ModelLost():
                metrics.model_lost()
            case events.ModelResumed(gap_ms):
                metrics.model_resumed(gap_ms / 1000)
            case events.ModelStalled():
                metrics.model_stalled()
            case events.SessionRolledOver():
                metrics.session_rolled_over()

    def _set_trouble(self, trouble: str | None) -> None:
        if trouble != self.model_trouble:
            self.model_trouble = trouble
            if self.on_trouble is not None:
                self.on_trouble(trouble)


def _totals_of(media: RtpStats) -> MediaTotals:
    heard = media.heard if media.packets_received else None
    counts = media.packets_sent, media.packets_received, media.lost, media.from_strangers
    return MediaTotals(*counts, heard, media.sent)


def _fields_of(fact: "DataclassInstance") -> dict[str, object]:
    """What it holds, by name; nothing is copied, for the log keeps nothing."""
    return {field.name: _short(getattr(fact, field.name)) for field in fields(fact)}


def _short(value: object) -> object:
    """As the log takes it, with no more digits than anybody reads."""
    match value:
        case None | str() | int():
            return value
        case float():
            return round(value, 3)
        case dict():
            return {name: _short(within) for name, within in value.items()}
        case list() | tuple():
            return [_short(within) for within in value]
    return _fields_of(value) if is_dataclass(value) and not isinstance(value, type) else value


@cache
def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
