"""The arithmetic of the bench, on counts made up for the purpose."""

from array import array

import numpy as np
import pytest

from sipagent.bench.caller import CallerFigures
from sipagent.bench.figures import (
    Measurement,
    conclude,
    count_lost,
    deviation,
    extend,
    grid_deviations,
    grid_shift,
)
from sipagent.bench.generator import GeneratorFigures
from sipagent.bench.model import ModelFigures
from sipagent.bench.plan import Plan
from sipagent.bench.process import Usage

SECONDS = 10
PACKETS = 50 * SECONDS


def test_sequence_numbers_are_extended_over_the_wrap_and_past_a_reordering() -> None:
    assert extend([65_534, 65_535, 1, 0, 2]).tolist() == [65_534, 65_535, 65_537, 65_536, 65_538]


def test_an_even_sender_does_not_deviate() -> None:
    numbers = np.arange(65_500, 65_700) % 0x10000
    assert grid_deviations(numbers, 1000.0 + 0.02 * np.arange(200)).max() < 1e-9


def test_a_late_packet_deviates_and_moves_no_other() -> None:
    arrived_at = 5.0 + 0.02 * np.arange(101)
    arrived_at[40] += 0.007
    deviations = grid_deviations(np.arange(101), arrived_at)
    assert deviations[40] == pytest.approx(0.007)
    assert np.delete(deviations, 40).max() < 1e-9


def test_a_lost_packet_leaves_a_place_in_the_grid() -> None:
    numbers = np.delete(np.arange(101), 30)
    assert grid_deviations(numbers, 0.02 * numbers).max() < 1e-9
    assert count_lost(numbers) == 1


def test_a_sender_that_drifts_deviates() -> None:
    assert grid_deviations(np.arange(500), 0.0201 * np.arange(500)).max() == pytest.approx(0.02495)


def test_a_stall_shifts_the_grid_once() -> None:
    arrived_at = 0.02 * np.arange(2000)
    arrived_at[900:] += 0.04
    deviations = grid_deviations(np.arange(2000), arrived_at)
    assert np.count_nonzero(deviations > 0.001) == 100
    assert grid_shift(np.arange(2000), arrived_at) == pytest.approx(0.04)


def test_an_even_sender_does_not_shift() -> None:
    assert grid_shift(np.arange(600), 0.02 * np.arange(600)) == pytest.approx(0.0)
    assert grid_shift([], []) == 0.0


def test_duplicates_and_reordering_are_no_loss() -> None:
    assert count_lost([65_535, 1, 0, 1, 2]) == 0
    assert count_lost([]) == 0


def test_deviation_is_of_all_calls_together() -> None:
    together = deviation([np.zeros(99), np.full(1, 0.004)])
    assert (together.p50_ms, together.max_ms) == (0.0, 4.0)
    assert 0.0 < together.p99_ms < 4.0


def test_nothing_arrived_is_no_good_figure() -> None:
    assert deviation([grid_deviations([], [])]).p99_ms == float("inf")


def caller(*, packets: int = PACKETS, late: float = 0.0) -> CallerFigures:
    return CallerFigures(
        sent=PACKETS,
        sequence_numbers=array("H", range(packets)),
        arrived_at=array("d", [0.02 * number for number in range(packets)]),
        first_delta=[0.004, 0.016],
        stop=[0.05],
        late=array("d", [late]),
    )


def measurement(
    *,
    packets: int = PACKETS,
    cpu_s: float = 0.04,
    ended: tuple[str, ...] = (),
    calls: int = 2,
    late: float = 0.0,
    others_s: float = 1.0,
    delays: tuple[float, ...] = (0.0001,),
) -> Measurement:
    callers = [caller(packets=packets, late=late), caller()]
    return conclude(
        Plan(calls=calls, seconds=SECONDS),
        answer=[0.002, 0.004],
        callers=GeneratorFigures(SECONDS, 0.0, ended, callers, cpu_s=others_s / 2),
        model=ModelFigures(
            SECONDS, 2 * PACKETS, frames=2 * PACKETS, unmarked=0, deltas=90, delays=delays, cpu_s=others_s / 2
        ),
        window_s=SECONDS,
        usages=(
            Usage(0, 0, 1000, 0),
            Usage(1.0, 1.0, 2000, 10),
            Usage(1.0 + cpu_s / 4, 1.0 + cpu_s * 3 / 4, 3000, 60),
        ),
    )


def test_a_load_comes_to_its_figures() -> None:
    found = measurement()
    assert found.cpu_us == pytest.approx(2000)
    assert found.system_share == pytest.approx(0.75)
    assert found.memory_per_call_bytes == 1000
    assert found.preemptions_per_s == 5
    assert found.rates.packets_out == 50
    assert found.rates.deltas == 4.5
    assert found.delta_to_packet is not None
    assert (found.delta_to_packet.count, found.delta_to_packet.p50_ms) == (4, 10.0)
    assert (found.packets, found.lost, found.late) == (2 * PACKETS, 0, 0)
    assert not [*found.faults(), *found.excesses(), *found.flaws(), *found.doubts()]


def test_callers_and_model_are_accounted_apart() -> None:
    others = measurement(others_s=2.0).others
    assert others.share == pytest.approx(0.2)
    assert others.generator_us == others.model_us == pytest.approx(50_000)


def test_a_load_that_missed_its_rate_is_invalid() -> None:
    (fault,) = measurement(packets=PACKETS * 9 // 10).faults()
    assert "packets out: 47.50" in fault


def test_a_call_that_ended_makes_the_load_invalid() -> None:
    assert [*measurement(ended=("bye", "bye")).faults()] == ["2 calls ended early: bye"]


def test_too_much_cpu_is_an_excess_of_many_calls() -> None:
    (excess,) = measurement(cpu_s=2.0, calls=50).excesses()
    assert "4,000 µs" in excess
    assert not [*measurement(cpu_s=0.08, calls=2).excesses()]


def test_a_model_that_hears_late_is_no_clean_step() -> None:
    (flaw,) = measurement(delays=(0.02,)).flaws()
    assert flaw == "uplink p99: 20.0 ms, more than 10"


def test_callers_who_are_late_or_dear_are_doubted() -> None:
    (busy,) = measurement(others_s=9.0).doubts()
    assert "90%" in busy
    (late,) = measurement(late=0.02).doubts()
    assert "late themselves" in late


def test_another_s_program_has_no_cpu() -> None:
    found = conclude(
        Plan(calls=1, seconds=SECONDS),
        answer=[],
        callers=GeneratorFigures(SECONDS, 0.0, (), [caller()]),
        model=None,
        window_s=SECONDS,
        usages=None,
    )
    assert (found.cpu_us, found.memory_per_call_bytes, found.rates.appends, found.packet_to_message) == (None,) * 4
    assert not [*found.flaws()]


def test_calls_that_come_and_go_are_measured_by_what_their_callers_sent() -> None:
    found = conclude(
        Plan(calls=7, seconds=SECONDS),
        answer=[],
        callers=GeneratorFigures(SECONDS, 0.0, (), [caller(), caller()], answer=[0.01]),
        model=None,
        window_s=SECONDS,
        usages=(Usage(0, 0, 0, 0), Usage(0, 0, 0, 0), Usage(0.02, 0, 0, 0)),
        is_steady=False,
    )
    assert found.call_seconds == 2 * SECONDS
    assert found.cpu_us == pytest.approx(1000)
    assert found.rates.packets_out == 50
    assert found.answer is not None
    assert found.answer.p95_ms == pytest.approx(10.0)
