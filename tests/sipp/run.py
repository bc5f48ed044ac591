"""Runs SIPp's scenarios against sipagent: ``python tests/sipp/run.py [NAME …]``, all of them without a name.

A scenario is a pair: ``NAME.xml`` is what SIPp does, and ``NAME.yaml`` (an :class:`Expectation`) is what has to come of
it at our end. They run side by side, each with its own name in the Call-ID: by that its calls are found in the log.

Where the expectation has ``lines``, SIPp is their PBX: it waits, and a server of the scenario's own registers with it,
or calls somebody through it.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))  # for who starts this by hand

from program import ROOT, Entry, Model, Server, free_port, is_free

FOLDER = Path(__file__).parent

HOST = "127.0.0.1"

SIDE_BY_SIDE = 24
"""Scenarios at a time: most of them wait most of the time."""

CROWD = 10
"""So many calls at once are played one crowd after the other: SIPp's own audio is the first to starve."""

MEDIA_PORT = 6000
MEDIA_PORTS_A_CALL = 6
MEDIA_PORTS_SPARE = 12
"""Runs side by side each have their own; SIPp looks no further when its first ones are taken."""

STARTING = threading.Semaphore(2)
"""Servers that may start at once: each takes a second of a processor, and more would only wait for each other."""

END_S = 5.0
"""How long after SIPp's end a call may take to end in our log."""

PATIENCE_MS = 10_000
"""How long SIPp waits for a message, where the scenario doesn't say."""

TOLERANCE = 25
"""Packets more or less: SIPp's pauses are not exact. Besides, on a busy machine beats are let go, which is counted."""

EXPECTED_ERRORS = frozenset({"model_failed", "engine_refuses_all"})
"""Errors in the log that some scenarios are about; any other is a fault."""

FAULTS = {
    "slow": "slow_session seconds=2.5",  # a ringing is repeated after 0.5, 1.5 and 3.5 s: between two of them
    "wrong_key": "refuse_handshake status=401",
    "losing": "drop after_ms=1000",
}
"""What the models of some servers do; the others have the embedded one, in good health, or none at all."""

Transport: TypeAlias = Literal["udp", "tcp"]
ServerName: TypeAlias = Literal[
    "healthy", "slow", "unreachable", "wrong_key", "losing", "draining", "small", "ipv6", "guarded", "closed"
]

SETTINGS: dict[str, dict[str, Any]] = {
    "losing": {
        "agents": {
            "tested": {
                "engine": "model",
                "instructions": "Be brief.",
                "greeting": "Greet the caller.",
                "continuity": {"give_up_s": 0},  # the call is to end with its model
            }
        }
    },
    "small": {"sip": {"max_calls": 2}},
    "guarded": {"lines": [{"name": "phones", "agent": "tested", "callers": {"alice": "wonderland"}}]},
    "closed": {"lines": [{"name": "trunk", "agent": "tested", "peers": ["192.0.2.0/24"]}]},
}
"""What some servers are told besides."""

LOCAL = {"url": "local"}
"""The embedded model."""

HOSTS = {"ipv6": "::1"}
"""Where some servers listen; the others at 127.0.0.1."""


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a scenario needs, and what has to come of it."""

    server: ServerName = "healthy"
    lines: tuple[dict[str, Any], ...] = ()
    """Of a server of its own. In their texts ``{sipp}`` is where SIPp waits, ``{nobody}`` where nobody does."""
    dials: str | None = None
    """Whom the first of those lines then calls."""
    log: tuple[str | dict[str, dict[str, Any]], ...] = ()
    """What that server logs besides its calls, as ``events``."""
    transports: dict[Transport, int] = msgspec.field(default_factory=lambda: {"udp": 1})
    """How many times SIPp plays the scenario over each, all at once."""
    options: tuple[str, ...] = ()
    """For SIPp."""
    seconds: int = 30
    """SIPp gives up after so many."""
    needs_root: bool = False
    terminate_on: str | None = None
    """The event at which the server is sent SIGTERM."""
    invited: int = 1
    """How many calls of ours each play makes."""
    events: tuple[str | dict[str, dict[str, Any]], ...] = ()
    """What each of those calls logs, in this order, with others in between; a mapping gives some of the fields, and
    of a text how it begins."""
    counts: dict[str, int] = {}
    """What each of them logs so many times, no more and no less."""
    never: tuple[str, ...] = ()
    """What none of them logs."""
    silent_s: float = 0.0
    """For how long of each call nothing was sent."""
    packet_ms: int = 20
    """How much a packet of ours holds."""
    received: int = 0
    """RTP packets in each call, at least."""
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario over one transport."""

    scenario: str
    transport: Transport
    calls: int
    expectation: Expectation
    media_port: int = 0
    """The first of those that are its own."""

    @property
    def name(self) -> str:
        """Unique; the Call-ID ends with it, and where the scenario does not say whom SIPp calls, it is that."""
        return f"{self.scenario}-{self.transport}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run; without faults it went right."""

    faults: tuple[str, ...]
    seconds: float


def load_runs() -> list[Run]:
    """Every scenario there is over every transport: the longest first, those of many calls when it is quiet again."""
    found = []
    for path in sorted(FOLDER.glob("*.xml")):
        expectation = msgspec.yaml.decode(path.with_suffix(".yaml").read_bytes(), type=Expectation)
        found += [Run(path.stem, *one, expectation) for one in expectation.transports.items()]
    found.sort(key=lambda run: (-run.expectation.seconds, run.calls))
    sizes = (MEDIA_PORTS_SPARE + MEDIA_PORTS_A_CALL * run.calls for run in found)
    ports = accumulate(sizes, initial=MEDIA_PORT)
    return [replace(run, media_port=port) for run, port in zip(found, ports, strict=False)]


def obstacle(run: Run) -> str | None:
    """Say why it can't be run here, if it can't."""
    if shutil.which("sipp") is None:
        return "SIPp is not installed: make tools"
    if run.expectation.needs_root and os.geteuid() != 0:
        return "SIPp replays captured packets only as root"
    return None


# The servers


class Servers:
    """Starts each server when it is first needed; use it as ``with``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self.one_crowd = threading.Lock()
        self._servers: dict[str, Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def get(self, name: ServerName) -> Server:
        """Return the server, started."""
        with self._lock:
            if name not in self._servers:
                settings = SETTINGS.get(name, {}) | {"engines": {"model": self._engine(name)}}
                server = Server(self._folder / name, settings, host=HOSTS.get(name, HOST))
                self._servers[name] = self._stack.enter_context(server)
            return self._servers[name]

    def faults(self) -> Iterator[str]:
        """Stop every server there is, and say what is wrong with how it ends."""
        for name, server in self._servers.items():
            if name != "draining" and (active := server.metrics()["sipagent_active_calls"]):
                yield f"{name}: {active:.0f} calls have not ended"
            if status := server.stop():
                yield f"{name}: exit status {status}"
            errors = [entry for entry in server.entries if entry["level"] in ("error", "critical")]
            yield from (f"{name}: {entry}" for entry in errors if entry["event"] not in EXPECTED_ERRORS)

    def _engine(self, name: ServerName) -> dict[str, str]:
        if name in FAULTS:
            return self._stack.enter_context(Model(FAULTS[name])).engine
        if name == "unreachable":
            return {"url": f"ws://127.0.0.1:{free_port()}/v1/realtime", "api_key": "any"}
        return LOCAL


# A run


def play(run: Run, servers: Servers, folder: Path) -> Outcome:
    """Let SIPp play the scenario, and judge."""
    with servers.one_crowd if run.calls >= CROWD else nullcontext():
        began_at = monotonic()
        faults = tuple(_play_pbx(run, folder) if run.expectation.lines else _play_caller(run, servers, folder))
        return Outcome(faults, monotonic() - began_at)


def _play_caller(run: Run, servers: Servers, folder: Path) -> Iterator[str]:
    """SIPp calls."""
    server = servers.get(run.expectation.server)
    host = HOSTS.get(run.expectation.server, HOST)
    address = f"[{host}]" if ":" in host else host
    sipp = Sipp(run, folder, address, f"{address}:{server.sip_port}", "-cid_str", f"%u-%p@{run.name}")
    _terminate_on_event(run, server)
    yield from sipp.finish()
    yield from _judge(run, server, lambda entry: entry["event"] == "invited" and _is_of(entry, run))


def _play_pbx(run: Run, folder: Path) -> Iterator[str]:
    """SIPp waits for what we send."""
    with ExitStack() as stack:
        with STARTING:
            sipp = Sipp(run, folder, HOST)
            settings = {"lines": _lines(run, sipp), "engines": {"model": LOCAL}}
            server = stack.enter_context(Server(folder / f"{run.name}-server", settings))
        if run.expectation.dials is not None:
            server.dial(run.expectation.lines[0]["name"], run.expectation.dials)
        _terminate_on_event(run, server)
        yield from sipp.finish()
        yield from _judge(run, server, lambda entry: entry["event"] in ("invited", "dialled"))
        if status := server.stop():
            yield f"exit status {status}"
        yield from _judge_log(run.expectation.log, server.entries)
        yield from (f"{entry}" for entry in server.entries if entry["level"] in ("error", "critical"))


def _lines(run: Run, sipp: "Sipp") -> Any:
    text = json.dumps(run.expectation.lines)
    for name, address in {"{sipp}": f"{HOST}:{sipp.port}", "{nobody}": f"{HOST}:{free_port()}"}.items():
        text = text.replace(name, address)
    return json.loads(text)


def _terminate_on_event(run: Run, server: Server) -> None:
    event = run.expectation.terminate_on
    if event is not None:
        server.wait_for(lambda entry: entry["event"] == event, timeout_s=END_S)
        server.terminate()


class Sipp:
    """SIPp, started.

    :param address: of its own.
    :param more: where it sends to, if it does not wait, and other options.
    """

    def __init__(self, run: Run, folder: Path, address: str, *more: str) -> None:
        count = str(run.calls)
        self.port = free_port()
        self._calls = run.calls
        self._errors, self._statistics = folder / f"{run.name}.errors", folder / f"{run.name}.csv"
        command = [
            "sipp", *more, "-sf", str(FOLDER / f"{run.scenario}.xml"), "-s", run.name,
            "-t", "t1" if run.transport == "tcp" else "u1", "-i", address, "-p", str(self.port),
            "-ci", HOST, "-cp", str(free_port()),
            "-mi", address, "-mp", str(_free_media_port(run)),
            "-m", count, "-l", count, "-r", count, "-recv_timeout", str(PATIENCE_MS),
            "-timeout", f"{run.expectation.seconds}s", "-timeout_error", "-nostdin",
            "-trace_err", "-error_file", str(self._errors), "-trace_stat", "-stf", str(self._statistics), "-fd", "1",
            *run.expectation.options,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def finish(self) -> Iterator[str]:
        """Wait for its end, and say what went wrong."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            is_told = self._errors.exists()
            text = self._errors.read_bytes() if is_told else output[-1000:]
            reason = text.decode("utf-8", "replace")
            yield f"SIPp's exit status is {self._process.returncode}: {reason.strip()}"
        successful = _read_statistics(self._statistics).get("SuccessfulCall(C)")
        if successful != str(self._calls):
            yield f"{successful} of {self._calls} successful"


def _free_media_port(run: Run) -> int:
    first, last = run.media_port, run.media_port + MEDIA_PORTS_SPARE
    return next(port for port in range(first, last, 4) if all(map(is_free, range(port, port + 4))))


def _read_statistics(path: Path) -> dict[str, str]:
    """The last line of SIPp's statistics, by column."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))[-1]


# What we logged of it


def _judge(run: Run, server: Server, begins: Callable[[Entry], bool]) -> Iterator[str]:
    expectation = run.expectation
    wanted = expectation.invited * run.calls
    begun = server.wait_for_calls(begins, wanted, timeout_s=END_S)
    if begun != wanted:
        yield f"{begun} calls in our log instead of {wanted}"
    for call in server.calls_where(begins):
        try:
            server.wait_for(_is_end_of(call), timeout_s=END_S)
        except TimeoutError:
            yield f"call {call} has not ended"
            return
    for call, entries in server.calls_where(begins).items():
        faults = [*_judge_call(expectation, entries), *_judge_media(expectation, entries, _skipped_beats(server))]
        yield from (f"call {call}: {fault}" for fault in faults)


def _skipped_beats(server: Server) -> float:
    try:
        return server.metrics()['sipagent_shell_total{what="skipped_beats"}']
    except OSError:  # it has drained, and is gone
        return 0.0


def _is_of(entry: Entry, run: Run) -> bool:
    return str(entry["sip_call_id"]).endswith(f"@{run.name}")


def _is_end_of(call: str) -> Callable[[Entry], bool]:
    return lambda entry: entry["event"] == "ended" and entry["call"] == call


def _judge_call(expectation: Expectation, entries: Sequence[Entry]) -> Iterator[str]:
    events = [str(entry["event"]) for entry in entries]
    yield from _judge_log(expectation.events, entries)
    for name, count in expectation.counts.items():
        if events.count(name) != count:
            yield f"{events.count(name)} times {name} instead of {count}"
    yield from (
        f"never to be: {entry}" for entry in entries if entry["event"] in expectation.never and not _is_race(entry)
    )
    if entries[-1]["event"] != "ended":
        yield f"{entries[-1]['event']} after its end"


def _is_race(entry: Entry) -> bool:
    """Whether it only says that our cancel met the end of the response on its way."""
    return entry.get("code") == "response_cancel_not_active"


def _judge_log(wanted: Sequence[str | dict[str, dict[str, Any]]], entries: Sequence[Entry]) -> Iterator[str]:
    """Find entries in their order."""
    rest = iter(entries)
    for event in wanted:
        name, fields = next(iter(event.items())) if isinstance(event, dict) else (event, {})
        if not any(entry["event"] == name and _has(entry, fields) for entry in rest):
            yield f"no {name} {fields or ''} in its place among: {' '.join(str(entry['event']) for entry in entries)}"
            return


def _has(entry: Entry, fields: dict[str, Any]) -> bool:
    def fits(value: object, wanted: object) -> bool:
        return value.startswith(wanted) if isinstance(value, str) and isinstance(wanted, str) else value == wanted

    return all(fits(entry.get(name), wanted) for name, wanted in fields.items())


def _judge_media(expectation: Expectation, entries: Sequence[Entry], skipped_beats: float) -> Iterator[str]:
    ended = next(entry for entry in entries if entry["event"] == "ended")
    media = ended["media"]
    sent = round(max(0.0, ended["duration_s"] - expectation.silent_s) * 1000 / expectation.packet_ms)
    if not -TOLERANCE - skipped_beats <= media["packets_sent"] - sent <= TOLERANCE:
        yield f"{media['packets_sent']} packets sent instead of {sent}"
    if media["packets_received"] < expectation.received:
        yield f"{media['packets_received']} packets received, which is less than {expectation.received}"
    if media["lost"] != expectation.lost:
        yield f"{media['lost']} packets lost instead of {expectation.lost}"


# By hand


def main(names: Sequence[str]) -> int:
    """Run the scenarios of these names, print a line for each, and return the exit status."""
    runs = load_runs()
    unknown = set(names) - {run.scenario for run in runs}
    if unknown:
        print(f"no such scenario: {', '.join(unknown)}; there are {', '.join(sorted({run.scenario for run in runs}))}")
        return 2
    runs = [run for run in runs if not names or run.scenario in names]
    with (
        tempfile.TemporaryDirectory() as name,
        Servers(Path(name)) as servers,
        ThreadPoolExecutor(SIDE_BY_SIDE) as pool,
    ):
        faults = _play_all(runs, servers, Path(name), pool)
        for fault in servers.faults():
            print(f"FAILED  {fault}")
            faults += 1
    return 1 if faults else 0


def _play_all(runs: Sequence[Run], servers: Servers, folder: Path, pool: ThreadPoolExecutor) -> int:
    """Print what comes of each; return how many went wrong."""
    futures: dict[Future[Outcome], Run] = {}
    for run in runs:
        if (reason := obstacle(run)) is not None:
            print(f"skipped {run.name}: {reason}")
        else:
            futures[pool.submit(play, run, servers, folder)] = run
    for future in as_completed(futures):
        run, outcome = futures[future], future.result()
        verdict = "FAILED" if outcome.faults else "ok"
        print(f"{verdict:7} {run.name:24} {run.calls:3} calls {outcome.seconds:6.1f} s", flush=True)
        for fault in outcome.faults:
            print(f"        {fault}")
    return sum(bool(future.result().faults) for future in futures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
