"""The kernel's routes, stood for by a table, and what is made of them."""

import pytest

from sipagent.aio import routes as routes_module
from sipagent.aio.routes import MAX_WATCHED, ROUTE_AGE_S, Routes
from sipagent.sip.nat import View

FAR, NEAR, SELF, LOOP = "203.0.113.5", "10.0.0.99", "10.0.0.7", "127.0.0.2"
EXTERNAL = "198.51.100.1"


class Kernel:
    """Its table may change, and it counts how often it is asked."""

    def __init__(self) -> None:
        self.table = {FAR: "10.0.0.7", NEAR: "10.0.0.7", SELF: "10.0.0.7", LOOP: "127.0.0.1"}
        self.asked: list[str] = []
        self.now = 0.0

    def local_address_toward(self, remote: tuple[str, int]) -> str:
        self.asked.append(remote[0])
        if remote[0] not in self.table:
            raise OSError("no route")
        return self.table[remote[0]]

    def routes(self, external: str | None = None) -> Routes:
        return Routes(external, clock=lambda: self.now)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(routes_module, "local_address_toward", kernel.local_address_toward)
    return kernel


def test_the_external_address_is_for_those_beyond_our_networks(kernel: Kernel) -> None:
    routes = kernel.routes(EXTERNAL)
    told = [routes.toward((host, 5060), 5062) for host in (FAR, NEAR, SELF, LOOP)]
    assert told == [(EXTERNAL, 5062), ("10.0.0.7", 5062), ("10.0.0.7", 5062), ("127.0.0.1", 5062)]


def test_the_kernel_is_asked_once_a_while(kernel: Kernel) -> None:
    routes = kernel.routes()
    for port in (5060, 5070):
        assert routes.toward((FAR, port), port) == ("10.0.0.7", port)
    assert kernel.asked == [FAR]
    kernel.table[FAR] = "10.0.0.8"
    kernel.now = ROUTE_AGE_S - 0.1
    assert routes.toward((FAR, 5060), 5060) == ("10.0.0.7", 5060)
    kernel.now = ROUTE_AGE_S
    assert routes.toward((FAR, 5060), 5060) == ("10.0.0.8", 5060)


def test_a_flood_of_sources_costs_little_memory(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "MAX_ROUTES", 2)
    routes = kernel.routes()
    for host in (FAR, NEAR, SELF):
        routes.toward((host, 5060), 5060)
    assert list(routes._seen) == [(SELF, 5060)]
    assert list(routes._locals) == [SELF]


def test_without_a_route_nothing_is_remembered(kernel: Kernel) -> None:
    routes = kernel.routes()
    with pytest.raises(OSError, match="no route"):
        routes.toward(("192.0.2.1", 5060), 5060)
    kernel.table["192.0.2.1"] = "10.0.0.7"
    assert routes.toward(("192.0.2.1", 5060), 5060) == ("10.0.0.7", 5060)


def test_what_others_saw_counts_at_once_and_is_news_once(kernel: Kernel) -> None:
    routes = kernel.routes()
    assert routes.toward((FAR, 5060), 5060) == ("10.0.0.7", 5060)
    by_registrar = View(("198.51.100.2", 50_000), 5060)
    assert not routes.discover(("10.0.0.7", 5060), (FAR, 3478), 5060), "no NAT, no news"
    assert routes.discover((EXTERNAL, 40_000), (FAR, 3478), 5060)
    assert not routes.discover((EXTERNAL, 40_000), (FAR, 3478), 5060)
    assert routes.toward((FAR, 5060), 5060) == (EXTERNAL, 40_000)
    assert routes.learn(FAR, by_registrar)
    assert not routes.learn(FAR, by_registrar)
    assert routes.toward((FAR, 5060), 5060) == ("198.51.100.2", 50_000)


class TestWatch:
    def test_a_change_is_noticed_once_and_counts_at_once(self, kernel: Kernel) -> None:
        routes = kernel.routes()
        routes.watch(FAR)
        routes.toward((FAR, 5060), 5060)
        assert not routes.look()
        kernel.table[FAR] = "10.0.0.8"
        assert routes.look() == {FAR}
        assert routes.toward((FAR, 5060), 5060) == ("10.0.0.8", 5060)
        assert not routes.look()

    def test_a_network_that_is_gone_is_no_news_until_it_is_back(self, kernel: Kernel) -> None:
        routes = kernel.routes()
        routes.watch(FAR)
        del kernel.table[FAR]
        assert [routes.look(), routes.look()] == [frozenset(), frozenset()]
        kernel.table[FAR] = "10.0.0.7"
        assert [routes.look(), routes.look()] == [{FAR}, frozenset()]

    def test_nobody_watched_is_never_news(self, kernel: Kernel) -> None:
        routes = kernel.routes()
        kernel.table[FAR] = "10.0.0.8"
        assert not routes.look()

    def test_what_is_watched_is_bounded(self, kernel: Kernel) -> None:
        routes = kernel.routes()
        for number in range(MAX_WATCHED + 5):
            routes.watch(f"192.0.2.{number}")
        routes.watch("192.0.2.0")
        kernel.asked.clear()
        routes.look()
        assert len(kernel.asked) == MAX_WATCHED
