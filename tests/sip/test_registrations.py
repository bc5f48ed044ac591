"""Many registrations in one user agent; what one does is with the registration."""

from random import Random

from sip.peers import ALICE, Endpoint, respond
from sip.test_registration import TCP, make_account

from sipagent.sip.events import Flow, Locate, Ping, Unregistered
from sipagent.sip.message import Request, parse_message
from sipagent.sip.registration import CROWD_MAX_S
from sipagent.sip.ua import UserAgent

ACCOUNTS = 2_000


class Office(Endpoint):
    """So many accounts, all over one connection."""

    def __init__(self, accounts: int = ACCOUNTS, flow: Flow = TCP) -> None:
        super().__init__(ALICE)
        self.names = [f"line{number}" for number in range(accounts)]
        self.flow = flow
        self.agent = UserAgent(
            accounts=[make_account(name=name, contact_user=name, credentials=None) for name in self.names],
            random=Random(1),
        )

    def collect(self, until: float) -> list[float]:
        """When REGISTERs are sent, each accepted at once."""
        times = []
        while (at := self.agent.get_timer()) is not None and at <= until:
            self.agent.handle_timer(now=at)
            times += [at] * self.accept(at)
        return times

    def accept(self, now: float) -> int:
        """Answer what was sent; return how many that were."""
        count = 0
        while (output := self.agent.poll()) is not None:
            if isinstance(output, Locate):
                self.agent.located(output.query, [self.flow], now=now)
            elif isinstance(output, Ping):
                self.agent.receive_pong(output.flow, now=now)
            elif hasattr(output, "data"):
                request = parse_message(output.data)
                assert isinstance(request, Request)
                self.agent.receive_message(respond(request, 200, contact=str(request.contact)), self.flow, now=now)
                count += 1
            else:
                self.events.append(output)
        return count


def most_a_second(times: list[float]) -> int:
    return max(sum(int(at) == second for at in times) for second in {int(at) for at in times})


def assert_spread(times: list[float], start: float) -> None:
    assert len(times) == ACCOUNTS
    assert start <= min(times) <= max(times) <= start + CROWD_MAX_S
    assert most_a_second(times) <= 1.5 * ACCOUNTS / CROWD_MAX_S


def test_they_begin_spread_and_lose_their_connection_spread() -> None:
    office = Office()
    for name in office.names:
        office.agent.register(name, now=0.0)
    assert_spread(office.collect(100.0), 0.0)
    assert office.agent.registrations == ACCOUNTS
    office.agent.transport_failed(TCP, now=100.0)
    office.agent.transport_failed(TCP, now=100.0)
    assert_spread(office.collect(100.0 + CROWD_MAX_S), 100.0)
    office.agent.address_changed(now=130.0)
    assert_spread(office.collect(130.0 + CROWD_MAX_S), 130.0)


def test_a_few_are_no_crowd() -> None:
    office = Office(5)
    for name in office.names:
        office.agent.register(name, now=0.0)
    assert max(office.collect(10.0)) <= 0.1


def test_the_user_agent_is_idle_when_all_have_left() -> None:
    office = Office(3)
    for name in office.names:
        office.agent.register(name, now=0.0)
    office.collect(1.0)
    for name in office.names:
        office.agent.unregister(name, now=1.0)
    assert not office.agent.is_idle
    assert office.accept(1.0) == 3
    assert office.agent.is_idle
    office.accept(1.0)
    left = [event.account for event in office.events if isinstance(event, Unregistered)]
    assert left == office.names
    assert office.agent._registrations._by_flow == {}
