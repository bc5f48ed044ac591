"""Every scenario of SIPp's, run side by side against the real program; each test looks at what came of one."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sipp.run import SIDE_BY_SIDE, Outcome, Run, Servers, load_runs, obstacle, play

RUNS = load_runs()


class Bench:
    """Plays the runs that are wanted."""

    def __init__(self, servers: Servers, outcomes: dict[str, Future[Outcome]]) -> None:
        self.servers = servers
        self.outcomes = outcomes


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Begin all runs that were selected at once; a test then waits for its own."""
    folder = tmp_path_factory.mktemp("sipp")
    selected = {item.name for item in request.session.items}
    with Servers(folder) as servers, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        runs = [run for run in RUNS if f"test_scenario[{run.name}]" in selected and obstacle(run) is None]
        yield Bench(servers, {run.name: pool.submit(play, run, servers, folder) for run in runs})


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_scenario(run: Run, bench: Bench) -> None:
    reason = obstacle(run)
    if reason is not None:
        pytest.skip(reason)
    assert bench.outcomes[run.name].result().faults == ()


def test_every_server_ends_well(bench: Bench) -> None:
    for outcome in bench.outcomes.values():
        outcome.result()
    assert list(bench.servers.faults()) == []
