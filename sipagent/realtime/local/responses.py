"""The responses of a session: one at a time in its conversation, a few beside it; who may begin, what each knows."""

from collections.abc import Sequence
from functools import partial

from sipagent.realtime.local import schema
from sipagent.realtime.local.brain import Prompt, Thinker, Turn
from sipagent.realtime.local.calendar import Calendar
from sipagent.realtime.local.configuration import Configuration, check_response, read_format
from sipagent.realtime.local.conversation import Conversation
from sipagent.realtime.local.item import Item, parse_item
from sipagent.realtime.local.output import Stage
from sipagent.realtime.local.response import Response, Terms
from sipagent.realtime.local.settings import LocalSettings
from sipagent.realtime.local.usage import RateLimits, Tokens, count_items, count_text
from sipagent.realtime.local.wire import Channel, Json, RequestError, missing, wrong_type

MAX_PARALLEL = 4
"""Out-of-band responses at once; a client uses one to classify, seldom two."""
CONTEXT_ITEMS = 128
"""What a response is given of the conversation: set phrases refer no further back, and a long call costs no more."""
MAX_INPUT_ITEMS = 256
"""Items in the ``input`` of one response."""


class Responses:
    """Creates, feeds and ends responses."""

    def __init__(
        self,
        channel: Channel,
        configuration: Configuration,
        conversation: Conversation,
        settings: LocalSettings,
        brain: Thinker,
        calendar: Calendar,
    ) -> None:
        self.conversation_id = channel.make_id("conv")
        self.has_spoken = False
        self.faults = settings.faults
        """Those of this connection."""
        self._channel = channel
        self._configuration = configuration
        self._conversation = conversation
        self._settings = settings
        self._brain = brain
        self._calendar = calendar
        self._limits = RateLimits()
        self._active: Response | None = None
        self._all: list[tuple[Response, Json, Sequence[Item]]] = []
        self._count = 0
        self._cached = Tokens()

    @property
    def active(self) -> Response | None:
        """The response that is writing to the default conversation."""
        return self._active

    def create(self, value: object, *, now: float) -> Sequence[Item]:
        """Begin a response.

        :returns: the items given with it, which may want hearing.
        :raises RequestError: a parameter is wrong, or another response is active.
        """
        parameters = check_response(value, self._configuration.model)
        is_default = parameters.get("conversation", "auto") == "auto"
        if is_default and self._active is not None:
            message = (
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise RequestError(message, code="conversation_already_has_active_response")
        if len(self._all) > MAX_PARALLEL:
            raise RequestError("Too many responses at once.", code="rate_limit_exceeded", kind="rate_limit_error")
        given = self._parse_input(parameters.get("input"))
        known = self._conversation.newest(CONTEXT_ITEMS) if given is None else given
        response = self._make_response(parameters, known, is_default)
        self._all.append((response, parameters, known))
        if is_default:
            self._active = response
        response.start(now=now)
        return given or ()

    def cancel(self, response_id: object, *, now: float) -> None:
        """End the response of this id, or the active one for ``None``.

        :raises RequestError: there is none such, or its response.created is not out yet.
        """
        for response, _, _ in self._all:
            wanted = response is self._active if response_id is None else response.id == response_id
            if wanted and response.is_created:
                response.cancel("client_cancelled", now=now)
                self._reap()
                return
        raise RequestError("Cancellation failed: no active response found", code="response_cancel_not_active")

    def interrupt(self, *, now: float) -> None:
        """End the active response because the caller speaks."""
        if self._active is not None and self._active.is_created:
            self._active.cancel("turn_detected", now=now)
            self._reap()

    def receive_speech(self, request_id: int, audio: bytes, *, now: float) -> None:
        """Give a rendering to the response that asked for it; one that has been cancelled since wants it no more."""
        any(response.receive_speech(request_id, audio, now=now) for response, _, _ in self._all)

    def think(self, *, now: float) -> None:
        """Let every response think that has not, and whose items have all been heard."""
        for response, parameters, known in self._all:
            if response.needs_thought and not any(item.is_awaited for item in known):
                response.think(self._brain.think(self._make_prompt(parameters, known, now)), now=now)

    def get_timer(self) -> float | None:
        """When the next event of any of them is due."""
        return min((at for response, _, _ in self._all if (at := response.get_timer()) is not None), default=None)

    def handle_timer(self, *, now: float) -> None:
        """Send what is due."""
        for response, _, _ in list(self._all):
            response.handle_timer(now=now)
        self._reap()

    def _reap(self) -> None:
        self.has_spoken = self.has_spoken or any(response.audio_ms > 0 for response, _, _ in self._all)
        self._all = [entry for entry in self._all if not entry[0].is_done]
        if self._active is not None and self._active.is_done:
            self._active = None

    def _make_response(self, parameters: Json, known: Sequence[Item], is_default: bool) -> Response:
        self._count += 1
        session = self._configuration
        sound = session.output | parameters.get("audio", {}).get("output", {})
        voice = sound["voice"] if isinstance(sound["voice"], str) else sound["voice"]["id"]
        stage = Stage(
            self._channel,
            self._conversation if is_default else None,
            self._channel.make_id("resp"),
            read_format(sound["format"]),
            voice,
            sound["speed"],
            self._settings.delta_ms,
            self._settings.pace,
        )
        agreed: Json = session.values | parameters
        given = count_items(known) + Tokens(text=count_text(agreed["instructions"]))
        terms = Terms(
            agreed["output_modalities"][0],
            agreed["max_output_tokens"],
            parameters.get("metadata"),
            self.conversation_id if is_default else None,
            self._settings.first_delta_s,
            given,
            self._cached,
        )
        if is_default:
            self._cached = given
        find_fault = partial(self.faults.find, number=self._count)
        return Response(stage, terms, self._limits, find_fault)

    def _parse_input(self, value: object) -> list[Item] | None:
        """The items that take the conversation's place; references are to items of the conversation."""
        if value is None:
            return None
        if not isinstance(value, list):
            raise wrong_type("response.input", "an array")
        if len(value) > MAX_INPUT_ITEMS:
            raise schema.invalid("response.input", f"more than {MAX_INPUT_ITEMS} items.")
        return [self._parse_input_item(one, f"response.input[{n}]") for n, one in enumerate(value)]

    def _parse_input_item(self, value: object, path: str) -> Item:
        if isinstance(value, dict) and value.get("type") == "item_reference":
            if "id" not in value:
                raise missing(f"{path}.id")
            return self._conversation.require(value["id"], "referenc", "invalid_value")
        make_id = self._channel.make_id
        return parse_item(
            value,
            path,
            new_id=make_id("item"),
            new_function_call_id=make_id("call"),
            audio_format=self._configuration.input_format,
        )

    def _make_prompt(self, parameters: Json, known: Sequence[Item], now: float) -> Prompt:
        agreed: Json = self._configuration.values | parameters
        names = {item.fields["call_id"]: item.fields["name"] for item in known if item.type == "function_call"}
        return Prompt(
            self._configuration.values["instructions"],
            parameters.get("instructions"),
            tuple(_remember(item, names) for item in known),
            agreed["tools"],
            agreed["tool_choice"],
            self._calendar.read(now),
        )


def _remember(item: Item, names: dict[str, str]) -> Turn:
    match item.type:
        case "function_call":
            return Turn("call", item.fields["arguments"], item.fields["name"])
        case "function_call_output":
            return Turn("result", item.fields["output"], names.get(item.fields["call_id"], ""))
        case _:
            is_cut = any(part.is_truncated for part in item.content) or item.status == "incomplete"
            return Turn(item.role, item.memory, is_cut=is_cut)
