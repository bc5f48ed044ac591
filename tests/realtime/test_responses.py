import json
from collections import deque
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.realtime.events import Output, ResponseCreated, ResponseDone, ResponseRefused, Send
from sipagent.realtime.responses import (
    LIMITS_S,
    MAX_OVER,
    MAX_RETRIES,
    RETRY_S,
    TRANSITIONS,
    Act,
    Input,
    ResponseGate,
    ResponseRequest,
    State,
)

BUSY = "conversation_already_has_active_response"
MOOT = "response_cancel_not_active"
PLAIN = ResponseRequest()


class Bench:
    """A gate, its clock, and what came out of it."""

    def __init__(self, *, server_creates: bool = False) -> None:
        self.outputs: list[Output] = []
        self.now = 0.0
        self.serial = 0
        self.gate = ResponseGate(self.outputs, self.event_id, server_creates=server_creates)

    def event_id(self, command: str) -> str:
        self.serial += 1
        return f"{command}_{self.serial}"

    def take(self) -> list[Any]:
        """What came out, messages as dicts."""
        taken = [json.loads(each.data) if isinstance(each, Send) else each for each in self.outputs]
        self.outputs.clear()
        return taken

    def create(self, request: ResponseRequest = PLAIN) -> str:
        """Ask, expect the message, and return its event id."""
        self.gate.create(request, now=self.now)
        (message,) = self.take()
        assert message["type"] == "response.create"
        return str(message["event_id"])

    def created(self, response_id: str, create_id: str | None) -> None:
        metadata = None if create_id is None else {"create_id": create_id}
        self.gate.receive_created({"id": response_id, "metadata": metadata}, now=self.now)

    def done(self, response_id: str, create_id: str | None = None, status: str = "completed") -> None:
        metadata = None if create_id is None else {"create_id": create_id}
        self.gate.receive_done({"id": response_id, "status": status, "metadata": metadata}, now=self.now)

    def error(self, code: str | None, event_id: str | None, message: str = "") -> bool:
        command = (event_id or "").partition("_")[0]
        error = {"code": code, "event_id": event_id, "message": message}
        return self.gate.receive_error(error, command, now=self.now)

    def cancel(self) -> list[Any]:
        self.gate.cancel(now=self.now)
        return self.take()

    def active(self, response_id: str = "resp_1") -> None:
        self.created(response_id, self.create())
        assert self.take() == [ResponseCreated(response_id)]


def over(response_id: str, status: str = "completed", reason: str | None = None) -> ResponseDone:
    return ResponseDone(response_id, status, None, reason=reason)


def test_every_state_ends_and_every_input_is_of_use() -> None:
    assert {state for state, happened in TRANSITIONS if happened is Input.OVERDUE} == set(State)
    assert set(LIMITS_S) == set(State) - {State.IDLE}
    assert {happened for _, happened in TRANSITIONS} | {Input.STRAY_CREATED} == set(Input)
    assert {act for _, act in TRANSITIONS.values()} == set(Act)


def test_no_transition_leads_from_one_live_response_to_another() -> None:
    opening = {Act.OPEN, Act.OPEN_OVERTAKING}
    starts = {state for (state, _), (_, act) in TRANSITIONS.items() if act in opening}
    assert starts == {State.IDLE, State.CREATING, State.DOOMED}
    assert {state for (state, _), (_, act) in TRANSITIONS.items() if act is Act.SEND_CREATE} == {State.IDLE}


def test_a_response_from_asking_to_done() -> None:
    bench = Bench()
    create_id = bench.create()
    assert bench.gate.has_live_response
    assert not bench.gate.is_live("resp_1")
    bench.created("resp_1", create_id)
    assert bench.take() == [ResponseCreated("resp_1")]
    assert bench.gate.is_live("resp_1")
    assert not bench.gate.is_live("resp_2")
    bench.done("resp_1", create_id)
    assert bench.take() == [over("resp_1")]
    assert not bench.gate.has_live_response
    assert not bench.gate.is_live("resp_1")
    assert bench.gate.get_timer() is None


def test_the_request_is_written_out() -> None:
    bench = Bench()
    bench.gate.create(ResponseRequest("Say hello.", tools_allowed=False), now=0)
    assert bench.take() == [
        {
            "type": "response.create",
            "event_id": "create_1",
            "response": {"metadata": {"create_id": "create_1"}, "instructions": "Say hello.", "tool_choice": "none"},
        }
    ]


def test_a_second_request_waits_for_the_first_response_and_the_latest_wins() -> None:
    bench = Bench()
    bench.active()
    bench.gate.create(ResponseRequest("second"), now=0)
    bench.gate.create(ResponseRequest("third"), now=0)
    assert bench.take() == []
    assert bench.gate.has_live_response
    bench.done("resp_1")
    done, create = bench.take()
    assert done == over("resp_1")
    assert create["response"]["instructions"] == "third"
    assert bench.gate.state is State.CREATING


def test_cancel_sends_the_id_and_silences_at_once() -> None:
    bench = Bench()
    bench.active()
    bench.gate.create(PLAIN, now=0)
    (message,) = bench.cancel()
    assert message["type"] == "response.cancel"
    assert message["response_id"] == "resp_1"
    assert not bench.gate.is_live("resp_1")
    assert not bench.gate.has_live_response
    assert bench.cancel() == []
    bench.done("resp_1", status="cancelled")
    assert bench.take() == [over("resp_1", "cancelled")]


def test_a_request_after_a_cancellation_waits_for_the_end() -> None:
    bench = Bench()
    bench.active()
    bench.cancel()
    bench.gate.create(PLAIN, now=0)
    assert bench.take() == []
    bench.done("resp_1", status="cancelled")
    assert [type(each) for each in bench.take()] == [ResponseDone, dict]


def test_cancel_while_creating_is_sent_when_the_id_is_known() -> None:
    bench = Bench()
    create_id = bench.create()
    assert bench.cancel() == []
    assert not bench.gate.has_live_response
    bench.created("resp_1", create_id)
    (message,) = bench.take()
    assert (message["type"], message["response_id"]) == ("response.cancel", "resp_1")
    assert not bench.gate.is_live("resp_1")
    bench.done("resp_1", create_id, "cancelled")
    assert bench.take() == [over("resp_1", "cancelled")]
    assert bench.gate.state is State.IDLE


def test_nothing_to_cancel_ends_the_waiting() -> None:
    bench = Bench()
    bench.active()
    (message,) = bench.cancel()
    assert not bench.error(MOOT, message["event_id"])
    assert bench.take() == [over("resp_1", "cancelled", "no_answer")]
    assert bench.gate.state is State.IDLE
    bench.done("resp_1")
    assert bench.take() == []


@pytest.mark.parametrize(("code", "message"), [(MOOT, ""), (None, "Cancellation failed: no active response found")])
def test_nothing_to_cancel_is_understood_without_event_id(code: str | None, message: str) -> None:
    bench = Bench()
    bench.active()
    bench.cancel()
    assert not bench.error(code, None, message)
    assert bench.gate.state is State.IDLE


def test_a_late_word_on_an_old_cancellation_does_not_touch_the_next_response() -> None:
    bench = Bench()
    bench.active()
    (message,) = bench.cancel()
    bench.done("resp_1")
    assert bench.take() == [over("resp_1")]
    bench.active("resp_2")
    assert not bench.error(MOOT, message["event_id"])
    assert bench.take() == []
    assert bench.gate.is_live("resp_2")


@pytest.mark.parametrize("create_id", ["create_99", None])
def test_a_response_nobody_asked_for_is_cancelled(create_id: str | None) -> None:
    bench = Bench()
    bench.created("resp_9", create_id)
    (message,) = bench.take()
    assert (message["type"], message["response_id"]) == ("response.cancel", "resp_9")
    assert not bench.gate.is_live("resp_9")
    assert bench.gate.is_cancelled("resp_9")
    assert bench.gate.state is State.IDLE


def test_a_second_live_response_is_cancelled_and_the_first_goes_on() -> None:
    bench = Bench(server_creates=True)
    bench.active()
    bench.created("resp_2", None)
    (message,) = bench.take()
    assert message["response_id"] == "resp_2"
    assert bench.gate.is_live("resp_1")


def test_created_twice_is_created_once() -> None:
    bench = Bench()
    create_id = bench.create()
    bench.created("resp_1", create_id)
    bench.created("resp_1", create_id)
    assert bench.take() == [ResponseCreated("resp_1")]
    assert bench.gate.is_live("resp_1")


def test_done_twice_is_done_once_and_created_after_done_is_nothing() -> None:
    bench = Bench()
    bench.active()
    bench.done("resp_1")
    bench.done("resp_1")
    bench.created("resp_1", "create_1")
    assert bench.take() == [over("resp_1")]


def test_done_without_created_ends_the_waiting() -> None:
    bench = Bench()
    create_id = bench.create()
    bench.done("resp_1", create_id, "cancelled")
    assert bench.take() == [over("resp_1", "cancelled")]
    assert bench.gate.state is State.IDLE


def test_done_of_another_response_does_not_end_the_waiting() -> None:
    bench = Bench()
    bench.create()
    bench.done("resp_0", "create_0")
    assert bench.take() == [over("resp_0")]
    assert bench.gate.state is State.CREATING


def test_a_server_that_echoes_no_metadata_is_understood() -> None:
    bench = Bench()
    bench.create()
    bench.created("resp_1", None)
    assert bench.take() == [ResponseCreated("resp_1")]
    bench.done("resp_1")
    bench.take()
    bench.create()
    bench.cancel()
    bench.created("resp_2", None)
    assert bench.take()[0]["response_id"] == "resp_2"


def test_a_server_that_names_no_response_is_understood() -> None:
    bench = Bench()
    bench.create()
    bench.gate.receive_created({}, now=0)
    assert bench.take() == [ResponseCreated("")]
    assert bench.gate.is_live("")
    bench.gate.receive_done({}, now=0)
    assert bench.take() == [over("", "")]
    assert bench.gate.state is State.IDLE


def test_busy_is_tried_again_after_a_while() -> None:
    bench = Bench()
    bench.gate.create(ResponseRequest("hello"), now=0)
    (create,) = bench.take()
    assert not bench.error(BUSY, create["event_id"])
    assert bench.take() == []
    assert bench.gate.has_live_response
    assert bench.gate.get_timer() == RETRY_S
    bench.gate.handle_timer(now=RETRY_S - 0.01)
    assert bench.take() == []
    bench.gate.handle_timer(now=RETRY_S)
    (again,) = bench.take()
    assert again["response"]["instructions"] == "hello"
    assert again["event_id"] != create["event_id"]


def test_busy_is_tried_again_at_once_when_what_blocked_is_done() -> None:
    bench = Bench()
    bench.error(BUSY, bench.create())
    bench.done("resp_0")
    assert [type(each) for each in bench.take()] == [ResponseDone, dict]


def test_busy_without_event_id_is_understood() -> None:
    bench = Bench()
    bench.create()
    assert not bench.error(None, None, "Conversation already has an active response in progress: resp_0")
    assert bench.gate.get_timer() == RETRY_S


def test_busy_in_a_row_ends_in_a_refusal() -> None:
    bench = Bench()
    bench.gate.create(PLAIN, now=0)
    for _ in range(MAX_RETRIES):
        (create,) = bench.take()
        assert not bench.error(BUSY, create["event_id"])
        bench.now += RETRY_S
        bench.gate.handle_timer(now=bench.now)
    (create,) = bench.take()
    assert bench.error(BUSY, create["event_id"], "busy")
    assert bench.take() == [ResponseRefused("transient", BUSY, "busy")]
    assert not bench.gate.has_live_response


def test_a_newer_request_takes_the_place_of_the_one_to_be_tried_again() -> None:
    bench = Bench()
    bench.error(BUSY, bench.create(ResponseRequest("old")))
    bench.gate.create(ResponseRequest("new"), now=0)
    assert bench.take() == []
    bench.gate.handle_timer(now=RETRY_S)
    assert bench.take()[0]["response"]["instructions"] == "new"


def test_cancel_forgets_the_one_to_be_tried_again() -> None:
    bench = Bench()
    bench.error(BUSY, bench.create())
    assert bench.cancel() == []
    assert bench.gate.get_timer() is None
    assert not bench.gate.has_live_response


def test_a_refusal_is_told() -> None:
    bench = Bench()
    assert bench.error("rate_limit_exceeded", bench.create(), "slow down")
    assert bench.take() == [ResponseRefused("transient", "rate_limit_exceeded", "slow down")]
    assert bench.error("invalid_value", bench.create(), "bad")
    assert bench.take() == [ResponseRefused("fatal", "invalid_value", "bad")]
    assert bench.gate.state is State.IDLE


@pytest.mark.parametrize("code", [BUSY, "rate_limit_exceeded"])
def test_a_refusal_of_what_was_cancelled_is_not_told(code: str) -> None:
    bench = Bench()
    create_id = bench.create()
    bench.cancel()
    assert not bench.error(code, create_id)
    assert bench.take() == []
    assert bench.gate.state is State.IDLE


def test_a_refusal_frees_the_way_for_the_one_that_waits() -> None:
    bench = Bench()
    create_id = bench.create()
    bench.gate.create(ResponseRequest("next"), now=0)
    assert bench.error("server_error", create_id)
    refused, create = bench.take()
    assert isinstance(refused, ResponseRefused)
    assert create["response"]["instructions"] == "next"


def test_an_error_that_concerns_no_response_changes_nothing() -> None:
    bench = Bench()
    bench.active()
    assert not bench.error("invalid_value", "truncate_5")
    assert not bench.error(BUSY, None)
    assert not bench.error(MOOT, None)
    assert bench.take() == []
    assert bench.gate.is_live("resp_1")


def test_an_unanswered_request_is_given_up_and_its_late_response_cancelled() -> None:
    bench = Bench()
    create_id = bench.create()
    assert bench.gate.get_timer() == LIMITS_S[State.CREATING]
    bench.gate.handle_timer(now=LIMITS_S[State.CREATING])
    assert bench.take() == [ResponseRefused("transient", None, "the model did not answer response.create")]
    bench.created("resp_1", create_id)
    assert bench.take()[0]["response_id"] == "resp_1"
    assert not bench.gate.is_live("resp_1")


def test_an_unanswered_request_that_was_cancelled_is_forgotten() -> None:
    bench = Bench()
    bench.create()
    bench.cancel()
    bench.gate.handle_timer(now=LIMITS_S[State.DOOMED])
    assert bench.take() == []
    assert bench.gate.state is State.IDLE


def test_a_response_that_stalls_is_cancelled_and_then_given_up() -> None:
    bench = Bench()
    bench.active()
    bench.gate.heard(now=20.0)
    bench.gate.handle_timer(now=30.0)
    assert bench.take() == []
    assert bench.gate.get_timer() == 50.0
    bench.gate.handle_timer(now=50.0)
    assert bench.take()[0]["type"] == "response.cancel"
    assert bench.gate.get_timer() == 55.0
    bench.gate.handle_timer(now=55.0)
    assert bench.take() == [over("resp_1", "cancelled", "no_answer")]
    assert bench.gate.get_timer() is None


def test_a_timer_that_is_not_due_does_nothing() -> None:
    bench = Bench()
    bench.gate.handle_timer(now=100.0)
    bench.create()
    bench.gate.handle_timer(now=9.9)
    assert bench.take() == []
    assert bench.gate.state is State.CREATING


def test_the_servers_own_response_is_live() -> None:
    bench = Bench(server_creates=True)
    bench.created("resp_1", None)
    assert bench.take() == [ResponseCreated("resp_1")]
    assert bench.gate.is_live("resp_1")


def test_the_servers_own_response_overtakes_ours_which_is_refused_and_asked_again() -> None:
    bench = Bench(server_creates=True)
    create_id = bench.create(ResponseRequest("ours"))
    bench.created("resp_auto", None)
    assert bench.take() == [ResponseCreated("resp_auto")]
    bench.error(BUSY, create_id)
    assert bench.take() == []
    bench.done("resp_auto")
    done, create = bench.take()
    assert done == over("resp_auto")
    assert create["response"]["instructions"] == "ours"


def test_the_servers_own_response_overtakes_ours_and_is_over_before_it() -> None:
    bench = Bench(server_creates=True)
    create_id = bench.create()
    bench.created("resp_auto", None)
    bench.done("resp_auto")
    bench.take()
    bench.created("resp_1", create_id)
    assert bench.take() == [ResponseCreated("resp_1")]


def test_ours_refused_for_good_behind_the_servers_own_is_told() -> None:
    bench = Bench(server_creates=True)
    create_id = bench.create()
    bench.created("resp_auto", None)
    assert bench.error("invalid_value", create_id, "bad")
    assert bench.take() == [ResponseCreated("resp_auto"), ResponseRefused("fatal", "invalid_value", "bad")]
    assert bench.gate.is_live("resp_auto")


@pytest.mark.parametrize("ends_first", [True, False])
def test_cancelling_the_servers_own_cancels_ours_behind_it(ends_first: bool) -> None:
    bench = Bench(server_creates=True)
    create_id = bench.create()
    bench.created("resp_auto", None)
    if ends_first:
        bench.done("resp_auto")
    bench.gate.cancel(now=0)
    bench.take()
    bench.created("resp_1", create_id)
    assert bench.take()[0]["response_id"] == "resp_1"
    assert not bench.gate.is_live("resp_1")


def test_ours_was_cancelled_and_the_servers_own_is_heard() -> None:
    bench = Bench(server_creates=True)
    create_id = bench.create()
    bench.cancel()
    bench.created("resp_auto", None)
    assert bench.take() == [ResponseCreated("resp_auto")]
    bench.done("resp_auto")
    bench.take()
    bench.created("resp_1", create_id)
    assert bench.take()[0]["type"] == "response.cancel"


def test_what_failed_is_told_with_its_class() -> None:
    bench = Bench()
    bench.active()
    details = {"type": "failed", "error": {"type": "x", "code": "inference_rate_limit_exceeded", "message": "slow"}}
    bench.gate.receive_done({"id": "resp_1", "status": "failed", "status_details": details}, now=0)
    assert bench.take() == [
        ResponseDone("resp_1", "failed", None, "inference_rate_limit_exceeded", "slow", failure="transient")
    ]


@pytest.mark.parametrize(
    ("usage", "expected"), [(None, None), ({}, {}), ({"total_tokens": 9}, {"total_tokens": 9}), ([], None)]
)
def test_usage_may_be_null(usage: Any, expected: Any) -> None:
    bench = Bench()
    bench.active()
    details = {"type": "incomplete", "reason": "max_output_tokens"}
    response = {"id": "resp_1", "status": "incomplete", "status_details": details, "usage": usage}
    bench.gate.receive_done(response, now=0)
    assert bench.take() == [ResponseDone("resp_1", "incomplete", expected, "max_output_tokens")]


def test_ended_responses_are_remembered_in_bounds() -> None:
    bench = Bench()
    for serial in range(1000):
        bench.done(f"resp_{serial}")
    assert len(bench.take()) == 1000
    assert len(bench.gate._over) == MAX_OVER


class FaithfulServer:
    """The server's rules about responses, over a link that delays both ways and keeps the order."""

    def __init__(self, bench: Bench, *, makes_own: bool, echoes: bool) -> None:
        self.bench = bench
        self.makes_own = makes_own
        self.echoes = echoes
        self.inbox: deque[dict[str, Any]] = deque()
        self.outbox: deque[tuple[str, dict[str, Any]]] = deque()
        self.live: dict[str, Any] | None = None
        self.serial = 0
        self.refused_busy = 0

    def start(self, metadata: Any) -> None:
        self.serial += 1
        self.live = {"id": f"resp_{self.serial}", "metadata": metadata if self.echoes else None}
        self.outbox.append(("created", dict(self.live)))

    def finish(self, status: str) -> None:
        if self.live is not None:
            self.outbox.append(("done", self.live | {"status": status}))
            self.live = None

    def receive(self) -> None:
        """Take the client's next message off the link."""
        if not self.inbox:
            return
        message = self.inbox.popleft()
        if message["type"] == "response.create":
            if self.live is not None:
                self.refused_busy += 1
                self.outbox.append(("error", {"code": BUSY, "event_id": message["event_id"]}))
            else:
                self.start(message["response"]["metadata"])
        elif self.live is not None and message["response_id"] == self.live["id"]:
            self.finish("cancelled")
        else:
            self.outbox.append(("error", {"code": MOOT, "event_id": message["event_id"]}))

    def deliver(self) -> None:
        """Give the client the server's next message."""
        if not self.outbox:
            return
        kind, body = self.outbox.popleft()
        gate, now = self.bench.gate, self.bench.now
        if kind == "created":
            gate.receive_created(body, now=now)
        elif kind == "done":
            gate.receive_done(body, now=now)
        else:
            gate.receive_error(body, body["event_id"].partition("_")[0], now=now)


class Witness:
    """Follows the outputs and holds the gate to its promises."""

    def __init__(self, server: FaithfulServer) -> None:
        self.server = server
        self.live: str | None = None

    def collect(self) -> None:
        for output in self.server.bench.take():
            if isinstance(output, dict):
                self.server.inbox.append(output)
            elif isinstance(output, ResponseCreated):
                assert self.live is None
                self.live = output.response_id
            elif isinstance(output, ResponseDone) and output.response_id == self.live:
                self.live = None


ACTIONS = st.lists(st.sampled_from(["create", "cancel", "receive", "deliver", "finish", "own", "wait"]), max_size=80)


@given(actions=ACTIONS, makes_own=st.booleans(), echoes=st.booleans(), wants_answer=st.booleans())
def test_at_most_one_live_response_whatever_the_timing(
    actions: list[str], makes_own: bool, echoes: bool, wants_answer: bool
) -> None:
    bench = Bench(server_creates=makes_own)
    server = FaithfulServer(bench, makes_own=makes_own, echoes=echoes or makes_own)
    witness = Witness(server)
    for action in actions:
        match action:
            case "create":
                bench.gate.create(PLAIN, now=bench.now)
            case "cancel":
                bench.gate.cancel(now=bench.now)
                assert not bench.gate.has_live_response
            case "receive":
                server.receive()
            case "deliver":
                server.deliver()
            case "finish":
                server.finish("completed")
            case "own" if makes_own and server.live is None:
                server.start(None)
            case "wait":
                bench.now += 0.3
                bench.gate.handle_timer(now=bench.now)
        witness.collect()
    settle(bench, server, witness)
    assert bench.gate.state is State.IDLE
    assert bench.gate.get_timer() is None
    assert witness.live is None
    if not makes_own:
        assert server.refused_busy == 0
    bench.gate.create(PLAIN, now=bench.now)
    if not wants_answer:
        bench.gate.cancel(now=bench.now)
    made = server.serial
    witness.collect()
    settle(bench, server, witness)
    assert server.serial == made + 1
    assert not bench.gate.has_live_response


def settle(bench: Bench, server: FaithfulServer, witness: Witness) -> None:
    """Let every message arrive and every response end."""
    for _ in range(200):
        server.receive()
        server.finish("completed")
        server.deliver()
        due_at = bench.gate.get_timer()
        if due_at is not None and not server.inbox and not server.outbox:
            bench.now = max(bench.now, due_at)
            bench.gate.handle_timer(now=bench.now)
        witness.collect()


@given(seed=st.integers(0, 2**32))
def test_any_order_of_inputs_keeps_the_bounds(seed: int) -> None:
    random = Random(seed)
    bench = Bench(server_creates=random.choice([True, False]))
    names = ["", "resp_1", "resp_2", "resp_3"]
    for _ in range(100):
        bench.now += random.choice([0.0, 0.1, 6.0, 40.0])
        create_id = random.choice([None, f"create_{bench.serial}", "create_1"])
        match random.randrange(7):
            case 0:
                bench.gate.create(PLAIN, now=bench.now)
            case 1:
                bench.gate.cancel(now=bench.now)
            case 2:
                bench.created(random.choice(names), create_id)
            case 3:
                bench.done(random.choice(names), create_id)
            case 4:
                bench.error(random.choice([BUSY, MOOT, "server_error", None]), random.choice([create_id, "cancel_2"]))
            case 5:
                bench.gate.handle_timer(now=bench.now)
            case _:
                bench.gate.heard(now=bench.now)
        assert len(bench.take()) <= 3
        assert bench.gate.get_timer() is not None or bench.gate.state is State.IDLE
