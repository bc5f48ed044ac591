"""Steps of several runs brought together, the limit beside them, and the verdict."""

import pytest

from sipagent.bench.bars import BARS, Bar
from sipagent.bench.limit import Limit
from sipagent.bench.plan import Plan
from sipagent.bench.ramp import Climbed, Ramp
from sipagent.bench.steps import FIGURES, Step, bring_together
from sipagent.bench.verdict import Judgement, Load, judge, shortcomings


def step(calls: int, cpu_us: float | None, *, flaws: tuple[str, ...] = ()) -> Step:
    percent = None if cpu_us is None else cpu_us / 10_000
    return Step(calls, not flaws, {"cpu_us": cpu_us, "cpu_percent": percent}, flaws)


def test_steps_of_several_runs_become_medians() -> None:
    runs = [[step(50, 900), step(100, 800)], [step(50, 1000)], [step(50, 5000)]]
    together = bring_together(runs)
    assert [each.calls for each in together] == [50, 100]
    assert [each.figures["cpu_us"] for each in together] == [1000, 800]


def test_a_step_is_clean_when_it_was_so_more_often_than_not() -> None:
    good, bad = step(50, 1), step(50, 1, flaws=("late",))
    assert bring_together([[good], [good], [bad]])[0].is_clean
    middle = bring_together([[good], [bad], [bad]])[0]
    assert (middle.is_clean, middle.flaws) == (False, ("late",))


def test_what_was_measured_anew_counts_with_its_last_time() -> None:
    assert bring_together([[step(50, 9, flaws=("late",)), step(50, 1)]])[0].figures["cpu_us"] == 1


def test_what_was_never_known_stays_unknown() -> None:
    assert bring_together([[step(50, None)]])[0].with_limit(Limit(400, 10, 3)).figures["ratio_to_limit"] is None


def test_a_ratio_carries_the_spread_of_the_limit() -> None:
    limit = Limit.of([400, 420, 380])
    assert (limit.us, limit.spread_us, limit.count) == (400, 20, 3)
    figures = step(300, 1000).with_limit(limit).figures
    assert figures["ratio_to_limit"] == pytest.approx(2.5)
    assert figures["ratio_spread"] == pytest.approx(0.125)


def test_a_step_that_failed_has_no_figures_and_is_not_clean() -> None:
    failed = Step.failed(100, "the program ended with status -9")
    middle = bring_together([[failed], [failed], [step(100, 900)]])[0]
    assert (middle.is_clean, middle.flaws) == (False, failed.flaws)
    assert middle.figures["cpu_us"] == 900


def test_the_knee_of_several_runs_is_the_middle_one() -> None:
    flaw = ("late",)
    climbed = Climbed(Ramp(Plan(), (50, 100)))
    good, bad = [step(50, 1), step(100, 1)], [step(50, 1), *[step(100, 1, flaws=flaw)] * 2]
    climbed.runs += [good, bad, good]
    assert (climbed.knees, climbed.knee, climbed.is_open) == ([100, 50, 100], 100, True)


CPU = Bar("CPU a call", "plain, energy", "cpu_percent", "at most", 0.12, "%", 300)
MORE = Bar("Silero's", "plain, fused", "cpu_percent", "at most", 0.02, "%", 300, beyond="plain, energy")
KNEE = Bar("clean calls", "plain, energy", "knee", "at least", 750, "calls")


def loads(cpu_us: float, fused_us: float, knee: int | None) -> dict[str, Load]:
    return {"plain, energy": Load(knee, [step(300, cpu_us)]), "plain, fused": Load(None, [step(300, fused_us)])}


def test_what_reaches_its_bars_is_met() -> None:
    judgements = judge(loads(1200, 1390, 750), [CPU, MORE, KNEE])
    assert [judgement.is_met for judgement in judgements] == [True, True, True]


def test_what_misses_its_bar_is_told() -> None:
    found = loads(1300, 1600, 740)
    judgements = judge(found, [CPU, MORE, KNEE])
    assert [judgement.is_met for judgement in judgements] == [False, False, False]
    assert [*shortcomings(found, judgements, wants_all=True, calls=300)] == [
        "CPU a call at 300 calls: 0.13, wanted at most 0.12 %",
        "Silero's at 300 calls: 0.03, wanted at most 0.02 %",
        "clean calls: 740, wanted at least 750 calls",
    ]


def test_what_was_not_measured_falls_short_only_of_the_whole() -> None:
    judgements = judge(loads(1200, 1400, None), [KNEE])
    assert judgements == [Judgement(KNEE, None)]
    assert [*shortcomings({}, judgements, wants_all=False, calls=300)] == []
    assert [*shortcomings({}, judgements, wants_all=True, calls=300)] == [
        "clean calls: not measured, wanted at least 750 calls"
    ]


def test_a_step_that_is_judged_has_to_be_clean() -> None:
    load = Load(None, [step(300, 1, flaws=("2 packets lost",)), step(400, 1, flaws=("late",))])
    assert [*shortcomings({"plain": load}, [], wants_all=True, calls=300)] == [
        "plain: 300 calls are not clean: 2 packets lost"
    ]


def test_every_bar_is_of_a_figure_that_there_is() -> None:
    known = {"knee", *FIGURES, *step(1, 1).with_limit(None).figures}
    assert {bar.figure for bar in BARS} <= known
