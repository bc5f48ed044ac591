"""What the page for Prometheus says after things have happened."""

import asyncio
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipagent.aio.figures import Figures, Tally
from sipagent.call.admission import Verdict
from sipagent.control.metrics import MediaTotals, Metrics
from sipagent.rtp.emodel import judge


class State:
    """What the metrics read at a scrape."""

    def __init__(self) -> None:
        self.calls = 0
        self.sip: Counter[str] = Counter()
        self.lines = 0
        self.verdict = Verdict(None, calls=0, room=500)
        self.refusals: Counter[str] = Counter()
        self.metrics = Metrics(
            active_calls=lambda: self.calls,
            registered_lines=lambda: self.lines,
            sip_counters=lambda: self.sip,
            verdict=lambda: self.verdict,
            refusals=lambda: self.refusals,
        )

    def read(self) -> dict[str, float]:
        self.metrics.look()
        text = self.metrics.write().body.decode()
        return {
            sample.name + "".join(f" {label}={value}" for label, value in sample.labels.items()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def state() -> State:
    return State()


def test_everything_is_there_before_anything_happened(state: State) -> None:
    values = state.read()
    assert values["sipagent_active_calls"] == 0
    assert values["sipagent_truncates_total"] == 0
    assert values["sipagent_invite_to_ok_seconds_count"] == 0
    assert values["process_resident_memory_bytes"] > 0


def test_state_is_read_at_the_scrape(state: State) -> None:
    state.calls = 3
    state.lines = 2
    state.sip["malformed"] += 2
    values = state.read()
    assert values["sipagent_active_calls"] == 3
    assert values["sipagent_registered_lines"] == 2
    assert values["sipagent_sip_total what=malformed"] == 2


def test_whether_a_call_would_be_taken_and_why_not(state: State) -> None:
    values = state.read()
    assert (values["sipagent_admission_open"], values["sipagent_admission_room"]) == (1, 500)
    state.verdict = Verdict("cpu", calls=300, room=0, cpu=0.82, late=0.02)
    state.refusals["cpu"] += 5
    values = state.read()
    assert (values["sipagent_admission_open"], values["sipagent_admission_room"]) == (0, 0)
    assert (values["sipagent_admission_cpu_ratio"], values["sipagent_admission_late_ratio"]) == (0.82, 0.02)
    assert values["sipagent_admission_refused_total reason=cpu"] == 5


def test_a_call(state: State) -> None:
    metrics = state.metrics
    metrics.call_answered(0.03)
    metrics.packet_forwarded(0.00008)
    metrics.agent_started(0.004)
    metrics.agent_paused(0.07)
    metrics.agent_resumed()
    metrics.barged_in()
    metrics.truncated()
    metrics.tool_returned()
    heard, reported = judge(loss=0.02), judge(loss=0.0, delay_ms=300.0)
    metrics.media_ended(MediaTotals(100, 90, lost=2, from_strangers=1, heard=heard, reported=reported))
    metrics.call_ended("bye", 42.0)
    values = state.read()
    assert values["sipagent_invite_to_ok_seconds_bucket le=0.02"] == 0
    assert values["sipagent_invite_to_ok_seconds_bucket le=0.05"] == 1
    assert values["sipagent_packet_to_websocket_seconds_bucket le=0.0001"] == 1
    assert values["sipagent_delta_to_rtp_seconds_bucket le=0.005"] == 1
    assert values["sipagent_barge_in_seconds_bucket le=0.08"] == 1
    assert values["sipagent_false_starts_total"] == 1
    assert values["sipagent_barge_ins_total"] == 1
    assert values["sipagent_truncates_total"] == 1
    assert values["sipagent_tools_total"] == 1
    assert values["sipagent_rtp_packets_total direction=sent"] == 100
    assert values["sipagent_rtp_packets_total direction=received"] == 90
    assert values["sipagent_rtp_lost_total"] == 2
    assert values["sipagent_rtp_strangers_total"] == 1
    assert values["sipagent_call_mos_bucket direction=received le=4.2"] == 0
    assert values["sipagent_call_mos_bucket direction=received le=4.3"] == 1
    assert values["sipagent_call_mos_sum direction=sent"] == reported.mos
    assert values["sipagent_call_loss_ratio_sum direction=received"] == 0.02
    assert values["sipagent_calls_total outcome=bye"] == 1
    assert values["sipagent_call_seconds_sum"] == 42


def test_a_refused_call_has_no_duration(state: State) -> None:
    state.metrics.model_failed("fatal")
    state.metrics.call_ended("rejected", None)
    values = state.read()
    assert values["sipagent_calls_total outcome=rejected"] == 1
    assert values["sipagent_call_seconds_count"] == 0
    assert values["sipagent_model_failures_total kind=fatal"] == 1


def test_more_packets_than_were_sent_are_no_negative_loss(state: State) -> None:
    state.metrics.media_ended(MediaTotals(sent=0, received=12, lost=-2, from_strangers=0))
    assert state.read()["sipagent_rtp_lost_total"] == 0


def test_two_sets_of_metrics_do_not_meet(state: State) -> None:
    state.metrics.truncated()
    assert State().read()["sipagent_truncates_total"] == 0


def test_recordings_that_failed(state: State) -> None:
    assert state.read()["sipagent_recordings_failed_total"] == 0
    state.metrics.recording_failed()
    assert state.read()["sipagent_recordings_failed_total"] == 1


def test_what_the_models_used(state: State) -> None:
    state.metrics.model_used(1_000, 0.25)
    state.metrics.model_used(500, None)  # a model of unknown prices
    values = state.read()
    assert (values["sipagent_model_tokens_total"], values["sipagent_model_usd_total"]) == (1_500, 0.25)


def test_what_workers_counted_adds_up() -> None:
    async def gather() -> Figures:
        tally = Tally()
        for number, each in enumerate(workers):
            each.metrics.look()
            tally.update(number, each.metrics.figures())
        return tally.sum()

    workers, front = [State(), State()], State()
    front.metrics = Metrics(
        active_calls=lambda: 7, sip_counters=lambda: {"requests": 5}, workers=lambda: (2, 1), others=gather
    )
    for number, worker in enumerate(workers, 1):
        worker.calls = 99  # the front knows better
        for _ in range(number):
            worker.metrics.call_answered(0.03)
            worker.metrics.call_ended("bye", 2.0)
        worker.metrics.engine_refuses("main", True)
    workers[1].metrics.call_ended("agent", 100.0)
    front.metrics.call_ended("worker_died", None)
    alone = front.read()
    asyncio.run(front.metrics.gather())
    values = front.read()
    assert values["sipagent_calls_total outcome=bye"] == 3
    assert values["sipagent_calls_total outcome=agent"] == 1
    assert values["sipagent_calls_total outcome=worker_died"] == 1
    assert values["sipagent_invite_to_ok_seconds_count"] == 3
    assert values["sipagent_invite_to_ok_seconds_bucket le=0.02"] == 0
    assert values["sipagent_invite_to_ok_seconds_bucket le=0.05"] == 3
    assert values["sipagent_invite_to_ok_seconds_sum"] == pytest.approx(0.09)
    assert values["sipagent_active_calls"] == 7
    assert values["sipagent_workers"] == 2
    assert values["sipagent_worker_deaths_total"] == 1
    assert values["sipagent_sip_total what=requests"] == 5
    assert values["sipagent_engine_refuses engine=main"] == 1
    assert values["process_resident_memory_bytes"] > 2 * alone["process_resident_memory_bytes"]
    assert values["process_start_time_seconds"] == alone["process_start_time_seconds"]
    names = [line.split(" ")[2] for line in front.metrics.write().body.decode().splitlines() if "# TYPE" in line]
    assert len(names) == len(set(names))
