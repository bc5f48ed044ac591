"""Two hundred calls of each kind of outage: none is lost, and the caller is not left in silence."""

from random import Random

import pytest
from sim.outage import NOISE, Outage, OutageWorld

from sipagent.call import events
from sipagent.call.continuity import ContinuitySettings

RUNS = 200
GAP_S = 0.3
"""How long a caller may hear nothing after the loss."""
RESUMED_S = 1.5
"""Within so long there is another session, for 95 of 100."""


def percentile(values: list[float], share: float) -> float:
    """The value that so many are not above."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def play(make: object, seeds: int = RUNS) -> list[OutageWorld]:
    """Calls of a kind."""
    return [OutageWorld(seed, make(Random(f"outage:{seed}"))).run() for seed in range(seeds)]  # type: ignore[operator]


def cut(random: Random) -> Outage:
    """The socket is cut in mid-word, in the greeting or in the story."""
    on = random.randint(1, 2)
    return Outage(f"drop connection=1 on={on} after_ms={random.randint(20, 700)}")


LATE = ((0.6, "tell me a story"), (11.0, "what time is it"))
"""A second question after a model that stalled is given up."""


def stall(random: Random) -> Outage:
    """The model falls silent for good, before its first sound or in the middle of it."""
    after_ms = random.choice([0, random.randint(20, 900)])
    settings = ContinuitySettings(filler=NOISE, lost_s=4.0)
    return Outage(f"stall connection=1 on=2 after_ms={after_ms}", continuity=settings, phrases=LATE, ends_at=14.0)


def busy(random: Random) -> Outage:
    """The socket is cut, and the server refuses the next one or two with 429."""
    refused = "; ".join(f"refuse_handshake status=429 on={n}" for n in range(2, 2 + random.randint(1, 2)))
    return Outage(f"drop connection=1 on=2 after_ms={random.randint(20, 2000)}; {refused}")


def limit(random: Random) -> Outage:
    """The server ends each session after so long, and says so beforehand only in the session it makes."""
    seconds = random.uniform(4.0, 7.0)
    return Outage(
        f"expire seconds={seconds:.2f}",
        phrases=((0.6, "count to ten"), (6.0, "what time is it"), (9.0, "what time is it")),
        continuity=ContinuitySettings(filler=NOISE, max_session_s=seconds),
        ends_at=11.5,
    )


def kill(random: Random) -> Outage:
    """The model's process is killed at any moment, and is back in less than a second."""
    return Outage(kill_at=random.uniform(0.3, 4.5), down_s=random.uniform(0.0, 0.8))


KINDS = {make.__name__: make for make in (cut, stall, busy, kill)}


@pytest.mark.parametrize("name", KINDS)
def test_no_call_is_lost_and_nobody_is_left_in_silence(name: str) -> None:
    worlds = play(KINDS[name])
    gaps: list[float] = []
    silences: list[float] = []
    for world in worlds:
        where = f"{name}, OutageWorld({world.seed})"
        assert world.ended is not None
        assert world.ended.reason == "bye", f"{where}: lost: {world.ended}"
        assert world.of(events.ModelLost), f"{where}: nothing happened"
        resumed = world.of(events.ModelResumed)
        assert resumed, f"{where}: no other session"
        gaps += [one.gap_ms / 1000 for one in resumed]
        assert max(world.silences) <= GAP_S, f"{where}: silence: {world.silences}"
        silences += world.silences
        heard = [fact.text for at, fact in world.facts if isinstance(fact, events.AgentSaid)]
        assert any(text.startswith("It is ") for text in heard), f"{where}: the last question has no answer: {heard}"
    p95 = percentile(gaps, 0.95)
    p50 = percentile(gaps, 0.5)
    print(f"\n{name}: {len(worlds)} calls, 0 lost; without a session {p50:.2f} s p50, {p95:.2f} s p95,", end=" ")
    print(f"in silence {max(silences):.2f} s at most")
    assert p95 <= RESUMED_S


def test_a_stall_is_noticed_within_two_seconds() -> None:
    for world in play(stall, 20):
        (stalled, *_) = world.of(events.ModelStalled)
        assert stalled.silent_s <= 2.05
        assert max(world.silences) <= GAP_S


def test_a_session_is_left_before_its_end_and_nobody_hears_it() -> None:
    worlds = play(limit)
    for world in worlds:
        where = f"limit, OutageWorld({world.seed})"
        assert world.ended is not None
        assert world.ended.reason == "bye", where
        assert world.of(events.SessionRolledOver) or world.of(events.ModelResumed), where
        assert all(one.gap_ms <= 200 for one in world.of(events.ModelResumed)), where
        said = [fact.text for fact in world.of(events.AgentSaid)]
        assert sum(text.endswith("AM.") for text in said) + len(world.of(events.ModelLost)) >= 2, f"{where}: {said}"
        if not world.of(events.ModelLost):
            assert sum(text.startswith("It is ") for text in said) == 2, f"{where}: {said}"
        assert len([text for text in said if text.startswith("One")]) <= 1, f"{where}: said twice: {said}"
    rolled = sum(len(world.of(events.SessionRolledOver)) for world in worlds)
    lost = sum(len(world.of(events.ModelLost)) for world in worlds)
    print(f"\nlimit: {len(worlds)} calls, 0 lost; {rolled} sessions left in time, {lost} in the middle of a sentence")


@pytest.mark.parametrize("status", [401])
def test_a_wrong_key_in_mid_call_ends_it_without_a_storm(status: int) -> None:
    def refused(random: Random) -> Outage:
        cut = f"drop connection=1 on=2 after_ms={random.randint(20, 2000)}"
        return Outage(f"{cut}; refuse_handshake status={status} on=2")

    for world in play(refused):
        assert world.ended is not None
        assert world.ended.reason == "model_failed"
        assert len(world._models.connections) == 2, "one attempt"
