"""Whether a response may be asked for: at most one is live, at most one more waits its turn.

The server refuses a second response while one is active, ignores a cancellation before the response exists, and tells
both only later; so this machine keeps our side of the story, as the table of transitions says. A response of ours is
recognised by the ``create_id`` in its metadata, which the server echoes; one that turns up when nobody waits for it
any more is cancelled by its id, never heard.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sipagent.realtime import protocol
from sipagent.realtime.events import Output, ResponseCreated, ResponseDone, ResponseRefused, Send
from sipagent.realtime.failures import (
    OWN_ERRORS,
    ErrorTable,
    classify,
    failure_kind,
    means_busy,
    means_nothing_to_cancel,
)
from sipagent.realtime.protocol import MAX_MESSAGE_CHARACTERS, Event, identifier, mapping, text
from sipagent.recent import remember

RETRY_S: Final = 0.5
"""How long to wait when a response we never saw blocks ours, unless its end is seen sooner."""

MAX_RETRIES: Final = 8
"""After so many refusals in a row (4 s) the caller has waited long enough to be told something."""

MAX_OVER: Final = 16
"""How many ended responses are remembered, to know a late word of theirs; more than two are never in flight."""

CREATE_ID: Final = "create_id"


class State(Enum):
    """Where the one response is."""

    IDLE = auto()
    CREATING = auto()
    """Asked for; its id is not known yet."""
    DOOMED = auto()
    """Cancelled while CREATING; the cancellation is sent when its id is known."""
    ACTIVE = auto()
    CANCELLING = auto()
    """The cancellation is sent; nothing of it is heard any more."""


class Input(Enum):
    """What can happen."""

    ASK = auto()
    CREATED = auto()
    """The awaited response exists."""
    SERVER_CREATED = auto()
    """A response of the server's own exists: its turn detection made it."""
    STRAY_CREATED = auto()
    """A response exists that nobody waits for: asked for by nobody, or given up."""
    CANCEL = auto()
    DONE = auto()
    BUSY = auto()
    """Ours was refused because another is active."""
    REFUSED = auto()
    MOOT = auto()
    """There was nothing to cancel."""
    OVERDUE = auto()


LIMITS_S = {
    State.CREATING: 10.0,  # response.created is the server's receipt and takes no thinking
    State.DOOMED: 10.0,
    State.ACTIVE: 30.0,  # without any word of it: a reasoning model is quiet for a while, never for so long
    State.CANCELLING: 5.0,
}
"""How long a state may last, so that a lost answer makes the agent late and not mute."""


class Act(Enum):
    """What to do about it."""

    NOTHING = auto()
    SEND_CREATE = auto()
    SEND_CANCEL = auto()
    OPEN = auto()
    """Tell that a response is live."""
    OPEN_OVERTAKING = auto()
    """The same, while ours may still be on its way."""
    CLOSE = auto()
    CLOSE_UNTOLD = auto()
    """Tell that the response is over, for the server does not."""
    FORGET = auto()
    """Await nothing any more."""
    POSTPONE = auto()
    """Put the request back, to be asked again when the present response is over."""
    RETRY = auto()
    """Put the request back, to be asked again in a while."""
    REFUSE = auto()
    """Tell that the response asked for will not come."""


TRANSITIONS: Final[dict[tuple[State, Input], tuple[State, Act]]] = {
    (State.IDLE, Input.ASK): (State.CREATING, Act.SEND_CREATE),
    (State.IDLE, Input.CREATED): (State.ACTIVE, Act.OPEN),  # a response of the server's own came and went before it
    (State.IDLE, Input.SERVER_CREATED): (State.ACTIVE, Act.OPEN_OVERTAKING),
    (State.IDLE, Input.BUSY): (State.IDLE, Act.RETRY),
    (State.IDLE, Input.REFUSED): (State.IDLE, Act.REFUSE),
    (State.IDLE, Input.CANCEL): (State.IDLE, Act.FORGET),
    (State.IDLE, Input.DONE): (State.IDLE, Act.NOTHING),
    (State.IDLE, Input.OVERDUE): (State.IDLE, Act.NOTHING),  # time for the retry
    #
    (State.CREATING, Input.CREATED): (State.ACTIVE, Act.OPEN),
    (State.CREATING, Input.SERVER_CREATED): (State.ACTIVE, Act.OPEN_OVERTAKING),
    (State.CREATING, Input.CANCEL): (State.DOOMED, Act.NOTHING),
    (State.CREATING, Input.DONE): (State.IDLE, Act.FORGET),
    (State.CREATING, Input.BUSY): (State.IDLE, Act.RETRY),
    (State.CREATING, Input.REFUSED): (State.IDLE, Act.REFUSE),
    (State.CREATING, Input.OVERDUE): (State.IDLE, Act.REFUSE),
    #
    (State.DOOMED, Input.CREATED): (State.CANCELLING, Act.SEND_CANCEL),
    (State.DOOMED, Input.SERVER_CREATED): (State.ACTIVE, Act.OPEN),
    (State.DOOMED, Input.DONE): (State.IDLE, Act.FORGET),
    (State.DOOMED, Input.BUSY): (State.IDLE, Act.FORGET),
    (State.DOOMED, Input.REFUSED): (State.IDLE, Act.FORGET),
    (State.DOOMED, Input.OVERDUE): (State.IDLE, Act.FORGET),
    #
    (State.ACTIVE, Input.CANCEL): (State.CANCELLING, Act.SEND_CANCEL),
    (State.ACTIVE, Input.DONE): (State.IDLE, Act.CLOSE),
    (State.ACTIVE, Input.BUSY): (State.ACTIVE, Act.POSTPONE),
    (State.ACTIVE, Input.REFUSED): (State.ACTIVE, Act.REFUSE),
    (State.ACTIVE, Input.OVERDUE): (State.CANCELLING, Act.SEND_CANCEL),
    #
    (State.CANCELLING, Input.DONE): (State.IDLE, Act.CLOSE),
    (State.CANCELLING, Input.MOOT): (State.IDLE, Act.CLOSE_UNTOLD),
    (State.CANCELLING, Input.OVERDUE): (State.IDLE, Act.CLOSE_UNTOLD),
}
"""What is not here changes nothing; a response created and not here is cancelled."""


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What to ask for; ``None`` keeps the session's own instructions."""

    instructions: str | None = None
    tools_allowed: bool = True


@dataclass(frozen=True, slots=True)
class _Fact:
    """An input's particulars."""

    now: float
    response_id: str = ""
    error: Event | None = None


class ResponseGate:
    """The only owner of "may I ask for a response?".

    :param outputs: where messages and events go.
    :param event_id: makes a fresh event id for the command named.
    :param server_creates: whether the server makes responses by itself, by its turn detection.
    :param can_cancel: whether the server takes ``response.cancel``. If not, a response that we end runs on, unheard.
    :param errors: what its errors mean.
    """

    def __init__(
        self,
        outputs: list[Output],
        event_id: Callable[[str], str],
        *,
        server_creates: bool,
        can_cancel: bool = True,
        errors: ErrorTable = OWN_ERRORS,
    ) -> None:
        self._outputs = outputs
        self._event_id = event_id
        self.server_creates = server_creates
        """Whether the server makes responses by itself."""
        self._can_cancel = can_cancel
        self._errors = errors
        self._limits_s = LIMITS_S if can_cancel else {**LIMITS_S, State.CANCELLING: LIMITS_S[State.ACTIVE]}
        self._living = {State.ACTIVE} if can_cancel else {State.ACTIVE, State.CANCELLING}
        self._state = State.IDLE
        self._alive_at = 0.0
        self.due_at: float | None = None
        """When the present state has lasted too long; in IDLE, when to ask again. ``None`` for never."""
        self._response_id = ""
        self._awaited = ""  # the event id of the response.create that is not answered yet
        self._cancel_id = ""  # the event id of the last response.cancel
        self._request = ResponseRequest()
        self._deferred: ResponseRequest | None = None
        self._retries = 0
        self._over: list[str] = []
        self._strays: list[str] = []

    @property
    def state(self) -> State:
        """Where the one response is."""
        return self._state

    @property
    def has_live_response(self) -> bool:
        """Whether a response speaks, or will without further asking."""
        return self._state in (State.CREATING, State.ACTIVE) or self._deferred is not None

    def is_live(self, response_id: str) -> bool:
        """Whether what comes of this response is to be heard; the live one is meant where the server names none."""
        return self._state is State.ACTIVE and response_id in (self._response_id, "")

    def is_cancelled(self, response_id: str) -> bool:
        """Whether we are ending this response; what still comes of it was begun before our word came."""
        is_present = self._state is State.CANCELLING and response_id == self._response_id
        return is_present or response_id in self._strays

    def heard(self, *, now: float) -> None:
        """The present response gave a sign of life."""
        self._alive_at = now

    def create(self, request: ResponseRequest, *, now: float) -> None:
        """Ask for a response now, or when the present one is over, in the place of one that waits already."""
        self._deferred = request
        self._ask_when_free(now)

    def cancel(self, *, now: float) -> None:
        """End the present response, and forget the one that waits."""
        self._deferred = None
        self._step(Input.CANCEL, _Fact(now))

    def receive_created(self, response: Event, *, now: float) -> None:
        """``response.created``. A response that nobody waits for is cancelled."""
        response_id = identifier(response, "id")
        if response_id in self._over or self._is_known(response_id):
            return
        if not self._step(self._whose(response), _Fact(now, response_id)) and response_id:
            remember(self._strays, response_id, MAX_OVER)
            self._cancel(self._event_id("cancel"), response_id)

    def receive_done(self, response: Event, *, now: float) -> None:
        """``response.done``, which around interruptions may come without ``response.created``."""
        response_id = identifier(response, "id")
        if response_id in self._over:
            return
        if response_id:
            remember(self._over, response_id, MAX_OVER)
        self._outputs.append(_done(response_id, response, self._errors))
        if self._is_present(response_id, response):
            self._step(Input.DONE, _Fact(now, response_id))

    def receive_error(self, error: Event, command: str, *, now: float) -> bool:
        """An error that may concern a response.

        :param command: what it answers, by our event id; ``""`` when it does not say.
        :returns: whether it was told, as :class:`ResponseRefused`.
        """
        event_id = text(error, "event_id")
        busy = means_busy(error)
        fact = _Fact(now, error=error)
        if self._awaited and (event_id == self._awaited or (busy and not command)):
            refusal = Input.BUSY if busy and self._retries < MAX_RETRIES else Input.REFUSED
            told = refusal is Input.REFUSED and self._state is not State.DOOMED
            self._step(refusal, fact)
            return told
        if self._cancel_id and (event_id == self._cancel_id or (means_nothing_to_cancel(error) and not command)):
            self._step(Input.MOOT, fact)
        return False

    def get_timer(self) -> float | None:
        """When the present state has lasted too long."""
        return self.due_at

    def handle_timer(self, *, now: float) -> None:
        """Move on from a state that has lasted too long."""
        if self.due_at is None or now < self.due_at:
            return
        if self._state in self._living and now < self._alive_at + LIMITS_S[State.ACTIVE]:
            self.due_at = self._alive_at + LIMITS_S[State.ACTIVE]
        else:
            self._step(Input.OVERDUE, _Fact(now))

    def _whose(self, response: Event) -> Input:
        create_id = text(mapping(response, "metadata"), CREATE_ID)
        if create_id:
            return Input.CREATED if create_id == self._awaited else Input.STRAY_CREATED
        if self.server_creates:
            return Input.SERVER_CREATED
        return Input.CREATED if self._awaited else Input.STRAY_CREATED  # some servers echo no metadata

    def _is_known(self, response_id: str) -> bool:
        return self._state in (State.ACTIVE, State.CANCELLING) and response_id in (self._response_id, "")

    def _is_present(self, response_id: str, response: Event) -> bool:
        match self._state:
            case State.ACTIVE | State.CANCELLING:
                return self._is_known(response_id)
            case State.CREATING | State.DOOMED:
                return self._whose(response) is Input.CREATED
            case State.IDLE:
                return True  # whatever blocked ours is gone

    def _step(self, happened: Input, fact: _Fact) -> bool:
        transition = TRANSITIONS.get((self._state, happened))
        if transition is None:
            return False
        self._state, act = transition
        limit = self._limits_s.get(self._state)
        self.due_at = None if limit is None else fact.now + limit
        self._alive_at = fact.now
        self._act(act, fact)
        self._ask_when_free(fact.now)
        return True

    def _ask_when_free(self, now: float) -> None:
        if self._state is State.IDLE and self.due_at is None and self._deferred is not None:
            self._request, self._deferred = self._deferred, None
            self._step(Input.ASK, _Fact(now))

    def _act(self, act: Act, fact: _Fact) -> None:
        match act:
            case Act.SEND_CREATE:
                self._send_create()
            case Act.SEND_CANCEL:
                self._send_cancel(fact.response_id or self._response_id)
            case Act.OPEN:
                self._awaited = ""
                self._retries = 0
                self._open(fact.response_id)
            case Act.OPEN_OVERTAKING:
                self._open(fact.response_id)
            case Act.CLOSE:
                self._response_id = ""
            case Act.CLOSE_UNTOLD:
                self._close_untold()
            case Act.FORGET:
                self._awaited = ""
            case Act.POSTPONE:
                self._postpone()
            case Act.RETRY:
                self._postpone()
                self.due_at = fact.now + RETRY_S
            case Act.REFUSE:
                self._refuse(fact.error)

    def _send_create(self) -> None:
        self._awaited = self._event_id("create")
        response: Event = {"metadata": {CREATE_ID: self._awaited}}
        if self._request.instructions is not None:
            response["instructions"] = self._request.instructions
        if not self._request.tools_allowed:
            response["tool_choice"] = "none"
        self._outputs.append(Send(protocol.create_response(self._awaited, response)))

    def _send_cancel(self, response_id: str) -> None:
        self._response_id = response_id
        self._awaited = ""
        self._cancel_id = self._event_id("cancel")
        self._cancel(self._cancel_id, response_id)

    def _cancel(self, event_id: str, response_id: str) -> None:
        if self._can_cancel:
            self._outputs.append(Send(protocol.cancel_response(event_id, response_id)))

    def _open(self, response_id: str) -> None:
        self._response_id = response_id
        self._outputs.append(ResponseCreated(response_id))

    def _close_untold(self) -> None:
        if self._response_id:
            remember(self._over, self._response_id, MAX_OVER)
        self._outputs.append(ResponseDone(self._response_id, "cancelled", None, reason="no_answer"))
        self._response_id = ""

    def _postpone(self) -> None:
        self._awaited = ""
        self._retries += 1
        self._deferred = self._deferred or self._request

    def _refuse(self, error: Event | None) -> None:
        self._awaited = ""
        self._retries = 0
        if error is None:
            self._outputs.append(ResponseRefused("transient", None, "the model did not answer response.create"))
        else:
            code, kind = identifier(error, "code") or None, failure_kind(classify(error, own=self._errors))
            self._outputs.append(ResponseRefused(kind, code, text(error, "message")[:MAX_MESSAGE_CHARACTERS]))


def _done(response_id: str, response: Event, errors: ErrorTable) -> ResponseDone:
    usage = response.get("usage")
    details = mapping(response, "status_details")
    error = mapping(details, "error")
    status = identifier(response, "status")
    return ResponseDone(
        response_id,
        status,
        usage if isinstance(usage, dict) else None,
        reason=identifier(error, "code") or identifier(details, "reason") or None,
        message=text(error, "message")[:MAX_MESSAGE_CHARACTERS] or None,
        failure=failure_kind(classify(error, own=errors)) if status == "failed" else None,
    )
