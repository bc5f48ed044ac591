"""The session that is to take the present one's place: sought with patience, with one engine after the other.

An attempt that fails is followed by the next, later each time and by chance. An engine that a person has to mend is
not asked again. When none is left, or the time is up, there is a :attr:`Successor.failure`.
"""

from collections.abc import Callable, Sequence
from math import inf
from random import Random
from typing import TypeAlias

from sipagent.call import events
from sipagent.call.continuity import ATTEMPTS, delay_before
from sipagent.realtime import events as model
from sipagent.realtime.model_session import ModelSession
from sipagent.realtime.settings import SessionSettings

MakeSession: TypeAlias = Callable[[SessionSettings], ModelSession]


class Successor:
    """One at a time.

    :param settings: of each engine, by its number.
    :param emit: takes commands to the shell, and facts.
    """

    def __init__(
        self,
        settings: Sequence[SessionSettings],
        *,
        make: MakeSession,
        emit: Callable[[events.Output], None],
        random: Random,
    ) -> None:
        self._settings = settings
        self._make = make
        self._emit = emit
        self._random = random
        self._engines: list[int] = []
        self._attempt = 0
        self._retry_at = inf
        self._until = inf
        self._expires_at: int | None = None
        self._has_connection = False
        self.last_number = 0
        """Of all connections there were; the next one has the next."""
        self.session: ModelSession | None = None
        """The one that is being set up, or is ready."""
        self.is_ready = False
        self.failure: model.SessionFailed | None = None
        """Why there will be none; to be taken away by whoever wanted one."""

    @property
    def engine(self) -> int:
        """With whom the session is."""
        return self._engines[0]

    @property
    def is_sought(self) -> bool:
        """Whether one is being sought, or is ready."""
        return bool(self._engines)

    @property
    def expires_at(self) -> int | None:
        """When the server ends the session that is ready, in Unix seconds."""
        return self._expires_at

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        if not self._engines:
            return inf
        return min(self._retry_at, self.session.due_at if self.session is not None else inf)

    def seek(self, engine: int, *, until: float, now: float) -> None:
        """Begin with this engine, then the others; one that is sought already is given the new time.

        :param until: when no further attempt is begun.
        """
        self._until = until
        if self._engines:
            return
        others = [number for number in range(len(self._settings)) if number != engine]
        self._engines = [engine, *others]
        self._attempt = 0
        self._retry_at = now + delay_before(0, self._random)

    def skip(self, engine: int) -> None:
        """Take note that an engine is of no use until a person mends it."""
        if engine in self._engines:
            self._engines.remove(engine)

    def stop(self) -> None:
        """Seek no more, and close what there is."""
        self._drop()
        self._engines = []
        self._retry_at = inf

    def take(self) -> ModelSession:
        """Hand the session over; it is the present one from now on."""
        session = self.session
        assert session is not None
        self.session, self.is_ready, self._has_connection = None, False, False
        self._engines = []
        self._retry_at = inf
        return session

    def handle_timer(self, *, now: float) -> None:
        """Begin an attempt that is due, or give up one that takes too long."""
        if self.session is not None:
            self.session.handle_timer(now=now)
            self._drain(now)
        if now >= self._retry_at:
            self._retry_at = inf
            self._connect()

    def connected(self, *, now: float) -> None:
        """Take note that the connection is open."""
        if self.session is not None:
            self.session.open(now=now)
            self._drain(now)

    def receive(self, data: bytes | str, *, now: float) -> None:
        """Take a message."""
        if self.session is not None:
            self.session.receive_text(data, now=now)
            self._drain(now)

    def lost(self, code: int, reason: str, *, now: float) -> None:
        """Take note that the connection closed, or could not be opened."""
        self._has_connection = False
        if self.session is not None:
            self.session.connection_lost(code, reason, now=now)
            self._drain(now)

    def send(self, *, now: float) -> None:
        """Send what the session was told, on its own connection."""
        self._drain(now)

    def _connect(self) -> None:
        self.last_number += 1
        self.session = self._make(self._settings[self.engine])
        self._has_connection = True
        self._emit(events.ConnectModel(self.last_number, self.engine))

    def _drain(self, now: float) -> None:
        session = self.session
        while session is not None and session.outputs:
            match session.outputs.pop(0):
                case model.Send(data):
                    self._emit(events.SendComingModel(self.last_number, data))
                case model.SessionReady(session_id, expires_at):
                    self.is_ready, self._expires_at = True, expires_at
                    self._emit(events.ModelReady(session_id))
                case model.SessionFailed() as failed:
                    self._on_failed(failed, now)
                    return

    def _on_failed(self, failed: model.SessionFailed, now: float) -> None:
        self._drop()
        self._emit(events.AttemptFailed(failed.kind, failed.code, failed.message, self.engine))
        self._attempt += 1
        if failed.kind == "fatal":
            del self._engines[0]
            self._attempt = 0
        elif len(self._engines) > 1 and self._attempt % ATTEMPTS == 0:
            self._engines.append(self._engines.pop(0))
        retry_at = now + delay_before(self._attempt, self._random)
        if not self._engines or retry_at >= self._until:
            self._engines = []
            self.failure = failed
        else:
            self._retry_at = retry_at

    def _drop(self) -> None:
        self.session, self.is_ready = None, False
        if self._has_connection:
            self._has_connection = False
            self._emit(events.CloseModel(self.last_number))
