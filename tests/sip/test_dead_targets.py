"""No call sticks to a dead target, and none is dead for ever."""

from sipagent.sip.dead_targets import DEAD_S, MAX_DEAD, DeadTargets
from sipagent.sip.events import Flow

A, B, C = (Flow("UDP", (f"192.0.2.{n}", 5060)) for n in (1, 2, 3))


def test_a_dead_target_comes_last_and_comes_back() -> None:
    dead = DeadTargets()
    assert dead.put_last([A, B, C], now=0.0) == [A, B, C]
    dead.add(A, now=0.0)
    assert dead.put_last([A, B, C], now=DEAD_S - 0.1) == [B, C, A]
    assert dead.put_last([A, B, C], now=DEAD_S) == [A, B, C]
    assert len(dead) == 0


def test_when_all_are_dead_the_one_longest_dead_is_tried_first() -> None:
    dead = DeadTargets()
    for at, target in enumerate((C, A, B)):
        dead.add(target, now=float(at))
    assert dead.put_last([A, B, C], now=10.0) == [C, A, B]


def test_a_transport_of_a_host_may_be_dead_alone() -> None:
    dead = DeadTargets()
    tcp = Flow("TCP", A.remote)
    dead.add(tcp, now=0.0)
    assert dead.put_last([tcp, A], now=1.0) == [A, tcp]


def test_a_crowd_is_forgotten_from_its_oldest() -> None:
    dead = DeadTargets()
    for port in range(MAX_DEAD + 10):
        dead.add(Flow("UDP", ("192.0.2.1", port)), now=0.0)
    assert len(dead) == MAX_DEAD
    old, new = Flow("UDP", ("192.0.2.1", 0)), Flow("UDP", ("192.0.2.1", MAX_DEAD))
    assert dead.put_last([new, old], now=1.0) == [old, new]
