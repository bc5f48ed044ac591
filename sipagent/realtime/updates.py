"""Changes to a session while it talks: only what differs is sent, and the server's word for it is awaited.

One is awaited at a time; of those that are asked for meanwhile the latest follows it. The audio goes on all the while.
What the caller's ear is used to stays: the voice, which a server refuses to change once it has been heard, and the
format; so does the model.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from sipagent.realtime import protocol
from sipagent.realtime.events import Output, Send, SessionUpdated, UpdateRefused
from sipagent.realtime.protocol import MAX_MESSAGE_CHARACTERS, Event, identifier, text
from sipagent.realtime.settings import SessionSettings, differences, session_object

CONTAINERS = ("audio", "input", "output")
"""What a server merges field by field; any other value is replaced as a whole."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What waits for the server's word."""

    event_id: str
    settings: SessionSettings
    due_at: float


class Updates:
    """Those of one session.

    :param settings: what the server has confirmed.
    :param outputs: where messages and events go.
    :param event_id: makes a fresh event id for the command named.
    """

    def __init__(self, settings: SessionSettings, outputs: list[Output], event_id: Callable[[str], str]) -> None:
        self.settings = settings
        """As the server has confirmed them."""
        self._outputs = outputs
        self._event_id = event_id
        self._asked: _Asked | None = None
        self._next: SessionSettings | None = None

    @property
    def due_at(self) -> float:
        """When the server has had enough time; infinity when nothing is awaited."""
        return self._asked.due_at if self._asked is not None else inf

    def ask(self, settings: SessionSettings, *, now: float) -> None:
        """Ask for other settings; :class:`SessionUpdated` or :class:`UpdateRefused` comes of it."""
        current = self.settings
        settings = replace(
            settings,
            model=current.model,
            voice=current.voice,
            audio_format=current.audio_format,
            dialect=current.dialect,
            setup_timeout_s=current.setup_timeout_s,
        )
        if self._asked is not None:
            if self._next is not None:
                self._refuse(None, "another change took its place")
            self._next = settings
            return
        changed = changes(session_object(current), session_object(settings))
        if not changed:
            self.settings = settings
            self._outputs.append(SessionUpdated())
            return
        event_id = self._event_id("change")
        self._asked = _Asked(event_id, settings, now + settings.setup_timeout_s)
        self._outputs.append(Send(protocol.update_session(event_id, {"type": "realtime", **changed})))

    def receive_updated(self, session: Event, *, now: float) -> bool:
        """Take ``session.updated``; say whether one was awaited."""
        if self._asked is None:
            return False
        settings = self._asked.settings
        wrong = [*differences(settings, session), *_kept(self.settings, settings, session)]
        if wrong:
            self._refuse(None, f"the model did not take the change: {'; '.join(wrong)}")
        else:
            self.settings = settings
            self._outputs.append(SessionUpdated())
        self._go_on(now)
        return True

    def receive_error(self, error: Event, *, now: float) -> bool:
        """Take an error; say whether it answers a change."""
        if self._asked is None or text(error, "event_id") != self._asked.event_id:
            return False
        self._refuse(identifier(error, "code") or None, text(error, "message")[:MAX_MESSAGE_CHARACTERS])
        self._go_on(now)
        return True

    def handle_timer(self, *, now: float) -> None:
        """Give up what the server does not answer."""
        if now >= self.due_at:
            self._refuse(None, "the model did not answer session.update")
            self._go_on(now)

    def _refuse(self, code: str | None, message: str) -> None:
        self._outputs.append(UpdateRefused(code, message))

    def _go_on(self, now: float) -> None:
        self._asked = None
        following, self._next = self._next, None
        if following is not None:
            self.ask(following, now=now)


def changes(old: Event, new: Event) -> Event:
    """Return what of a session is to be sent to make another of it; what is no more there becomes null."""
    changed: Event = {}
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if name in CONTAINERS and isinstance(before, dict) and isinstance(after, dict):
            after = changes(before, after)
            if after:
                changed[name] = after
        elif before != after:
            changed[name] = after
    return changed


def _kept(old: SessionSettings, new: SessionSettings, session: Event) -> list[str]:
    """What the server still has as it was; of what it does not tell, nothing is known."""
    kept = []
    if old.instructions != new.instructions and session.get("instructions") == old.instructions:
        kept.append("the instructions are as they were")
    tools = session.get("tools")
    wanted = _names(new.tools)
    if isinstance(tools, list) and _names(old.tools) != wanted and _names(tools) != wanted:
        kept.append("the tools are others")
    return kept


def _names(tools: object) -> list[str]:
    each = tools if isinstance(tools, list | tuple) else ()
    return [name for tool in each if isinstance(tool, dict) and (name := identifier(tool, "name"))]
