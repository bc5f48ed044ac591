"""One gives the signs of life for all who share a flow."""

from dataclasses import replace

from sipagent.sip.events import Event, Flow, FlowDead
from sipagent.sip.flows import Flows

TCP = Flow("TCP", ("192.0.2.1", 5060), ("192.0.2.9", 5060))
UDP = replace(TCP, transport="UDP")


class Keeper:
    def __init__(self) -> None:
        self.told: list[str] = []

    def lead(self, *, now: float) -> None:
        self.told.append("lead")

    def receive_pong(self, *, now: float) -> None:
        self.told.append("pong")

    def receive_death(self, *, now: float) -> None:
        self.told.append("death")


def make(flow: Flow = TCP, count: int = 3) -> tuple[Flows, list[Keeper], list[Event]]:
    emitted: list[Event] = []
    flows, keepers = Flows(emitted.append), [Keeper() for _ in range(count)]
    for keeper in keepers:
        flows.join(flow, keeper, now=0.0)
    return flows, keepers, emitted


def test_the_first_leads_and_hears_the_pongs() -> None:
    flows, (first, *others), _ = make()
    flows.receive_pong(replace(TCP, local=("198.51.100.1", 1)), now=1.0)
    flows.receive_pong(UDP, now=1.0)
    assert first.told == ["lead", "pong"]
    assert [other.told for other in others] == [[], []]


def test_when_the_first_leaves_the_next_leads() -> None:
    flows, (first, second, third), _ = make()
    flows.leave(TCP, second, now=1.0)
    flows.leave(TCP, first, now=1.0)
    flows.leave(TCP, first, now=1.0)
    flows.receive_pong(TCP, now=2.0)
    assert (first.told, second.told, third.told) == (["lead"], [], ["lead", "pong"])
    flows.leave(TCP, third, now=3.0)
    flows.receive_pong(TCP, now=3.0)
    assert len(flows) == 0


def test_death_is_for_all_and_a_connection_is_closed_once() -> None:
    for flow, closed in ((TCP, [FlowDead(TCP)]), (UDP, [])):
        flows, keepers, emitted = make(flow)
        flows.die(flow, now=1.0)
        assert [keeper.told[-1] for keeper in keepers] == ["death"] * 3
        assert (emitted, len(flows)) == (closed, 0)


def test_flows_are_told_apart() -> None:
    flows, (first,), _ = make(count=1)
    other = Keeper()
    flows.join(UDP, other, now=0.0)
    assert other.told == ["lead"]
    flows.die(UDP, now=1.0)
    assert (first.told, len(flows)) == (["lead"], 1)
