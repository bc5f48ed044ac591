"""Changes to a GPT-Live session while it talks: instructions are added to, the tools of the model behind replaced.

What the model was told at the start stays told, so new instructions say that they take its place. Only the model
behind can be given other tools, and only where there has been one from the start.
"""

from collections.abc import Callable
from math import inf
from textwrap import wrap

from sipagent.realtime import live_protocol as wire
from sipagent.realtime.events import Output, Send, SessionUpdated, UpdateRefused
from sipagent.realtime.live_protocol import MAX_CONTENT_CHARACTERS
from sipagent.realtime.protocol import MAX_MESSAGE_CHARACTERS, Event, identifier, text
from sipagent.realtime.settings import SessionSettings

PREFACE = "From now on follow these instructions in the place of all before: "


class LiveUpdates:
    """Those of one session; one is awaited at a time, and what is asked for meanwhile is refused.

    :param outputs: where messages and events go.
    :param event_id: makes a fresh event id for the command named.
    """

    def __init__(self, settings: SessionSettings, outputs: list[Output], event_id: Callable[[str], str]) -> None:
        self._settings = settings
        self._has_backend = bool(settings.tools)
        self._outputs = outputs
        self._event_id = event_id
        self._awaited = ""
        self._asked = settings
        self.due_at = inf
        """When the server has had enough time; infinity when nothing is awaited."""

    def ask(self, settings: SessionSettings, *, now: float) -> None:
        """Ask for other instructions and tools; :class:`SessionUpdated` or :class:`UpdateRefused` comes of it."""
        before = self._settings
        if self._awaited:
            self._refuse(None, "another change is under way")
            return
        if settings.tools and not self._has_backend:
            self._refuse(None, "GPT-Live takes tools only where there were some from the start")
            return
        if settings.instructions != before.instructions:
            for piece in wrap(PREFACE + settings.instructions, MAX_CONTENT_CHARACTERS, replace_whitespace=False):
                self._outputs.append(Send(wire.append_content("instructions", self._event_id("instructions"), piece)))
        self._asked = settings
        if self._has_backend and (settings.tools, settings.instructions) != (before.tools, before.instructions):
            self._awaited = self._event_id("change")
            self.due_at = now + settings.setup_timeout_s
            self._outputs.append(Send(wire.update_session(self._awaited, settings)))
        else:
            self._accept()

    def receive_updated(self, event: Event) -> None:
        """Take ``session.updated``."""
        if self._awaited and identifier(event, "client_event_id") in (self._awaited, ""):
            self._accept()

    def receive_error(self, error: Event) -> bool:
        """Take an error; say whether it answers a change."""
        if not self._awaited or text(error, "client_event_id") != self._awaited:
            return False
        self._refuse(identifier(error, "code") or None, text(error, "message")[:MAX_MESSAGE_CHARACTERS])
        self._awaited, self.due_at = "", inf
        return True

    def handle_timer(self, *, now: float) -> None:
        """Give up what the server does not answer."""
        if now >= self.due_at:
            self._refuse(None, "the model did not answer session.update")
            self._awaited, self.due_at = "", inf

    def _accept(self) -> None:
        self._settings = self._asked
        self._awaited, self.due_at = "", inf
        self._outputs.append(SessionUpdated())

    def _refuse(self, code: str | None, message: str) -> None:
        self._outputs.append(UpdateRefused(code, message))
