"""Two hundred calls, each in a network of its own; ``World(seed)`` in a failure is all it takes to see it again."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from sim.link import LinkSettings
from sim.scenario import KINDS, Scenario, draw
from sim.world import World

from sipagent.call import events
from sipagent.sdp.negotiation import SrtpMode

SEEDS = 200
GROUPS = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_worlds(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        World(seed).run()


def test_the_seeds_hold_something_of_everything() -> None:
    drawn = [draw(World(seed).random("scenario")) for seed in range(SEEDS)]
    assert len({scenario.name for scenario in drawn}) == len(KINDS)
    assert max(scenario.rtp[0].loss for scenario in drawn) == 0.2
    assert max(scenario.sip[1].loss for scenario in drawn) == 0.3
    assert max(scenario.sip[0].reorder for scenario in drawn) > 0.1
    assert max(scenario.rtp[1].duplicate for scenario in drawn) > 0.1
    assert {scenario.transport for scenario in drawn} == {"UDP", "TCP"}
    ways = {(scenario.changes_by, scenario.allows_update, scenario.reliable_ringing) for scenario in drawn}
    assert len(ways) == 8


EXPECTED: dict[str, set[type]] = {
    "ordinary": {events.Answered, events.AgentStarted, events.CallerSaid, events.AgentSaid},
    "barge_in": {events.BargedIn, events.Truncated, events.CallerSaid},
    "mumbling": {events.AgentPaused, events.AgentResumed},
    "hold": {events.HeldByPeer},
    "keys": {events.DigitPressed},
    "tool": {events.ToolCalled, events.ToolReturned},
    "goodbye": {events.ToolCalled},
    "transfer": {events.TransferStarted, events.TransferProgressed, events.Transferred, events.TransferFailed},
    "faults": {events.ModelFailed},
    "server_detection": {events.BargedIn, events.CallerSaid},
    "deaf_agent": {events.SpeechStarted},
}
REASONS = {
    "ordinary": "bye",
    "caller_hangs_up": "cancelled",
    "agent_hangs_up": "hung_up",
    "goodbye": "agent",
    "transfer": "transferred",
    "drain": "drained",
    "vanish": "no_media",
    "session_timer": "expired",
    "too_long": "max_duration",
    "faults": "rejected_503",
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__.lstrip("_"))
def test_on_a_good_network_every_kind_is_what_it_says(make: Callable[[Random], Scenario]) -> None:
    """A scenario in which nothing happens would prove nothing."""
    ways = [("reinvite", True), ("update", True), ("reinvite", False)] * 2
    scenarios = [
        replace(make(Random(seed)), changes_by=changes_by, allows_update=allows_update)
        for seed, (changes_by, allows_update) in enumerate(ways)
    ]
    worlds = [World(seed, scenario).run() for seed, scenario in enumerate(scenarios)]
    facts = [fact for world in worlds for fact in world.agent.facts]
    name = worlds[0].scenario.name
    assert {type(fact) for fact in facts} >= EXPECTED.get(name, set())
    reasons = {fact.reason for fact in facts if isinstance(fact, events.Ended)}
    assert reasons >= ({REASONS[name]} if name in REASONS else set())
    sent = [side.sip.kinds for world in worlds for side in (world.caller, world.agent)]
    assert any("UPDATE" in kinds for kinds in sent) == (name in ("hold", "codec", "glare", "session_timer"))
    if name == "glare":
        assert sum(side.sip.glares for world in worlds for side in (world.caller, world.agent)) > 0
    if name == "codec":
        assert all(world.agent.rtp.payload_types == {0, 8} for world in worlds)
    if name == "deaf_agent":
        assert not any(isinstance(fact, events.BargedIn) for fact in facts)


def test_a_failure_names_its_world() -> None:
    world = World(11)
    world.agent.far = world.agent
    with pytest.raises(AssertionError, match=r"^World\(seed=11\) \(\w+\) at \d+\.\d{3} s: "):
        world.run()


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__.lstrip("_"))
def test_every_kind_with_srtp(make: Callable[[Random], Scenario]) -> None:
    """The ears of the world have the keys, so that all the invariants hold; a bad network is part of it."""
    bad = LinkSettings(0.05, 0.03, loss=0.02, duplicate=0.1, reorder=0.1, reorder_s=0.05)
    modes: list[tuple[SrtpMode, SrtpMode]] = [("required", "optional"), ("optional", "required")]
    for seed, srtp in enumerate(modes):
        world = World(seed, replace(make(Random(seed)), srtp=srtp, rtp=(bad, bad))).run()
        legs = [world.caller.leg] + ([world.agent.leg] if world.agent.call else [])
        for leg in legs:
            stats = leg.stats
            assert (leg._media is None) or leg._media.srtp is not None
            assert stats.unauthenticated <= 0.2 * (stats.packets_received + stats.from_strangers) + 10, (
                "not repeats only"
            )
