"""What Prometheus is told: one typed method for each thing that happens, and a registry of our own.

What is a state rather than an event (open calls, the counters of the user agent) is read at the scrape, from callables,
so that keeping it costs a call nothing. No label holds what a stranger sent.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, Sample
from prometheus_client.registry import Collector

from sipagent.aio.figures import Figure, Figures
from sipagent.call.admission import Verdict
from sipagent.control.http import Page
from sipagent.rtp.session import Quality

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SETUP_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds; setting a call up waits for the model's connection, some network round trips away."""

PATH_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds; audio's way through this process takes microseconds, and at most a tick of 20 ms when it has to wait."""

BARGE_IN_BUCKETS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Seconds; a person notices from about 0.2 on."""

GAP_BUCKETS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0, 10.0, 20.0)
"""Seconds; until 1.5 a caller takes it for thought."""

DURATION_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds."""


MOS_BUCKETS = (1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.3, 4.4)
"""Below 3.5 people complain; G.711 without a flaw is 4.41."""

LOSS_BUCKETS = (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Fractions; from 0.01 on it is heard."""


STATES = frozenset(
    {
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        REFUSES := "sipagent_engine_refuses",
    }
)
"""Gauges that add up over processes; the others are told by the one in front alone."""

NOTHING = Verdict(None, calls=0, room=0)
"""Before the first look."""


@dataclass(frozen=True, slots=True)
class MediaTotals:
    """What one call's RTP came to, in packets."""

    sent: int
    received: int
    lost: int
    from_strangers: int
    heard: Quality | None = None
    """How the caller sounded, ``None`` when nothing came."""
    reported: Quality | None = None
    """How the agent sounded, by the caller's reports, ``None`` without any."""


class _State(Collector):
    """What the callables said at the last look."""

    def __init__(
        self,
        active_calls: Callable[[], int],
        registered_lines: Callable[[], int],
        sip_counters: Callable[[], Mapping[str, int]],
        shell_counters: Callable[[], Mapping[str, int]],
        workers: Callable[[], tuple[int, int]],
        verdict: Callable[[], Verdict],
        refusals: Callable[[], Mapping[str, int]],
    ) -> None:
        self._workers = workers
        self._active_calls = active_calls
        self._registered_lines = registered_lines
        self._sip_counters = sip_counters
        self._shell_counters = shell_counters
        self._judge = verdict
        self._refusals = refusals
        self._calls = 0
        self._lines = 0
        self._up, self._deaths = workers()
        self._sip: Mapping[str, int] = {}
        self._shell: Mapping[str, int] = {}
        self._verdict = NOTHING
        self._refused: Mapping[str, int] = {}

    def look(self) -> None:
        """Read them."""
        self._calls, self._lines = self._active_calls(), self._registered_lines()
        self._sip, self._shell = dict(self._sip_counters()), dict(self._shell_counters())
        self._up, self._deaths = self._workers()
        self._verdict, self._refused = self._judge(), dict(self._refusals())

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("sipagent_active_calls", "Calls that have not ended.", self._calls)
        yield GaugeMetricFamily(
            "sipagent_registered_lines", "Lines that are registered where they are to be.", self._lines
        )
        yield GaugeMetricFamily("sipagent_workers", "Processes that run calls.", self._up)
        yield CounterMetricFamily("sipagent_worker_deaths", "Those that died, with their calls.", self._deaths)
        yield _family("sip", "What the SIP user agent counted, by its own names.", self._sip)
        yield _family("shell", "What the sockets and the clock refused, lost and skipped.", self._shell)
        yield _family("admission_refused", "Calls that found no room, by why.", self._refused, label="reason")
        for name, words, value in _gauges(self._verdict):
            yield GaugeMetricFamily(f"sipagent_admission_{name}", words, value)


def _gauges(verdict: Verdict) -> Iterator[tuple[str, str, float]]:
    """Whether a call would be taken, and what that is judged by."""
    yield "open", "Whether there is room for one more call.", verdict.refusal is None
    yield "room", "How many more calls would be taken.", verdict.room
    yield "cpu_ratio", "Of one core, with max_calls: auto; what new calls will take is added.", verdict.cpu
    yield "late_ratio", "Of the beats, those more than 10 ms late, with max_calls: auto.", verdict.late


def _family(name: str, words: str, counts: Mapping[str, int], *, label: str = "what") -> CounterMetricFamily:
    family = CounterMetricFamily(f"sipagent_{name}", words, labels=[label])
    for what, count in sorted(counts.items()):
        family.add_metric([what], count)
    return family


class _Sum:
    """The metrics of this process, those of others added."""

    def __init__(self, ours: CollectorRegistry, theirs: Figures) -> None:
        self._ours = ours
        self._theirs = theirs

    def collect(self) -> Iterable[Metric]:
        """Yield each metric once."""
        rest = dict(self._theirs.counts) | dict(self._theirs.states)
        for metric in self._ours.collect():
            metric.samples = [
                sample._replace(value=sample.value + rest.pop((metric.name, sample.name, _labels(sample)), 0.0))
                for sample in metric.samples
            ]
            for figure in [figure for figure in rest if figure[0] == metric.name]:
                metric.add_sample(figure[1], dict(figure[2]), rest.pop(figure))
            if metric.name == REFUSES:
                metric.samples = [sample._replace(value=min(1.0, sample.value)) for sample in metric.samples]
            yield metric


def _labels(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(sample.labels.items()))


class Metrics:
    """All the metrics of one process, and of its workers.

    :param active_calls: how many calls have not ended.
    :param registered_lines: how many lines are registered.
    :param sip_counters: the counters of the user agent.
    :param shell_counters: the counters of the shell.
    :param workers: how many processes run calls, and how many that did so died.
    :param others: fetches what the workers have counted, where calls are run by others than us.
    :param verdict: whether a call would be taken.
    :param refusals: how many were not, by why.
    """

    def __init__(
        self,
        *,
        active_calls: Callable[[], int],
        sip_counters: Callable[[], Mapping[str, int]],
        registered_lines: Callable[[], int] = int,
        shell_counters: Callable[[], Mapping[str, int]] = dict,
        workers: Callable[[], tuple[int, int]] = lambda: (1, 0),
        others: Callable[[], Awaitable[Figures]] | None = None,
        verdict: Callable[[], Verdict] = lambda: NOTHING,
        refusals: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        registry = CollectorRegistry()
        self._state = _State(active_calls, registered_lines, sip_counters, shell_counters, workers, verdict, refusals)
        self._others = others
        self._theirs = Figures({}, {})
        registry.register(self._state)
        ProcessCollector(registry=registry)
        self._registry = registry
        self._calls = Counter("sipagent_calls", "Calls that ended, by how.", ["outcome"], registry=registry)
        self._durations = self._histogram("call_seconds", "From answer to end.", DURATION_BUCKETS)
        self._setup = self._histogram("invite_to_ok_seconds", "From INVITE to 200 OK.", SETUP_BUCKETS)
        self._up = self._histogram("packet_to_websocket_seconds", "A caller's packet on its way in.", PATH_BUCKETS)
        self._down = self._histogram("delta_to_rtp_seconds", "An item's first audio on its way out.", PATH_BUCKETS)
        self._pauses = self._histogram("barge_in_seconds", "From speech to the agent's silence.", BARGE_IN_BUCKETS)
        self._false_starts = self._counter("false_starts", "Pauses of the agent for what was no interruption.")
        self._barge_ins = self._counter("barge_ins", "Interruptions of the agent by its caller.")
        self._truncates = self._counter("truncates", "Items cut to what the caller heard.")
        self._tools = self._counter("tools", "Tools whose output went to the model.")
        self._packets = Counter("sipagent_rtp_packets", "RTP packets.", ["direction"], registry=registry)
        self._lost = self._counter("rtp_lost", "RTP packets that callers sent and that never came.")
        self._strangers = self._counter("rtp_strangers", "RTP packets dropped: not from the call's other end.")
        self._recordings_failed = self._counter("recordings_failed", "Recordings that ended before their calls.")
        self._mos = self._by_direction("call_mos", "How a call sounded, by the E-model.", MOS_BUCKETS)
        self._loss = self._by_direction("call_loss_ratio", "The part of a call's packets that was lost.", LOSS_BUCKETS)
        self._tokens = self._counter("model_tokens", "Tokens of models, input and output together, by their count.")
        self._cost = self._counter("model_usd", "What they cost in USD, where the prices are known.")
        self._sessions_lost = self._counter("sessions_lost", "Sessions with a model that broke in mid-call.")
        self._resumed = self._histogram("session_gap_seconds", "Without a model, until another session.", GAP_BUCKETS)
        self._stalls = self._counter("model_stalls", "Models that were silent for too long when it was their turn.")
        self._rolled_over = self._counter("sessions_rolled_over", "Sessions left for another before their end.")
        self._refusing = Gauge(
            "sipagent_engine_refuses", "Whether an engine refuses all calls.", ["engine"], registry=registry
        )
        self._model_failures = Counter("sipagent_model_failures", "Failed models.", ["kind"], registry=registry)

    def call_answered(self, seconds: float) -> None:
        """A call was answered, this long after its INVITE."""
        self._setup.observe(seconds)

    def call_ended(self, outcome: str, seconds: float | None) -> None:
        """A call ended; ``outcome`` is one of our own words, ``seconds`` is since its answer, if there was one."""
        self._calls.labels(outcome).inc()
        if seconds is not None:
            self._durations.observe(seconds)

    def packet_forwarded(self, seconds: float) -> None:
        """A caller's packet reached the model's WebSocket, this long after it was read. Not for every packet."""
        self._up.observe(seconds)

    def agent_started(self, seconds: float) -> None:
        """An item's first frame went out, this long after its first audio came in."""
        self._down.observe(seconds)

    def agent_paused(self, seconds: float) -> None:
        """A caller made a sound over the agent, whose last audible packet went out this long after its beginning."""
        self._pauses.observe(seconds)

    def agent_resumed(self) -> None:
        """It was no interruption."""
        self._false_starts.inc()

    def barged_in(self) -> None:
        """A caller interrupted the agent."""
        self._barge_ins.inc()

    def truncated(self) -> None:
        """The model was told how much of an item was heard."""
        self._truncates.inc()

    def tool_returned(self) -> None:
        """A tool's output, or the sentence about its failure, went to the model."""
        self._tools.inc()

    def media_ended(self, totals: MediaTotals) -> None:
        """A call's RTP came to its end."""
        self._packets.labels("sent").inc(totals.sent)
        self._packets.labels("received").inc(totals.received)
        self._lost.inc(max(0, totals.lost))
        self._strangers.inc(totals.from_strangers)
        for direction, quality in ("received", totals.heard), ("sent", totals.reported):
            if quality is not None:
                self._mos.labels(direction).observe(quality.mos)
                self._loss.labels(direction).observe(quality.loss)

    def recording_failed(self) -> None:
        """A recording ended early; the call goes on. From any thread."""
        self._recordings_failed.inc()

    def model_failed(self, kind: Literal["fatal", "transient"]) -> None:
        """A model could not be used, or not any more."""
        self._model_failures.labels(kind).inc()

    def model_lost(self) -> None:
        """A session was lost in mid-call."""
        self._sessions_lost.inc()

    def model_resumed(self, seconds: float) -> None:
        """A call that lost its session has another, so long after."""
        self._resumed.observe(seconds)

    def model_stalled(self) -> None:
        """A model was silent for too long when it was its turn."""
        self._stalls.inc()

    def session_rolled_over(self) -> None:
        """A call left a session that neared its end."""
        self._rolled_over.inc()

    def engine_refuses(self, name: str, refuses: bool) -> None:
        """An engine of the configuration refuses all, or does not any more."""
        self._refusing.labels(name).set(refuses)

    def model_used(self, tokens: int, usd: float | None) -> None:
        """A call came to so many tokens, and to so many USD where the prices are known."""
        self._tokens.inc(tokens)
        self._cost.inc(usd or 0.0)

    def look(self) -> None:
        """Read what is a state, on the loop of the calls; to be followed by :meth:`write` or :meth:`figures`."""
        self._state.look()

    async def gather(self) -> None:
        """The same, and fetch what others have counted."""
        if self._others is not None:
            self._theirs = await self._others()
        self.look()

    def figures(self) -> Figures:
        """Return what adds up with the figures of other processes; like :meth:`write`, in any thread."""
        counts: dict[Figure, float] = {}
        states: dict[Figure, float] = {}
        for metric in self._registry.collect():
            if metric.type == "gauge" and metric.name not in STATES:
                continue
            where = states if metric.type == "gauge" else counts
            for sample in metric.samples:
                if not sample.name.endswith("_created"):  # a time of day
                    where[metric.name, sample.name, _labels(sample)] = sample.value
        return Figures(counts, states)

    def write(self) -> Page:
        """Return everything in Prometheus' text format; it takes milliseconds, and may be called in any thread."""
        return Page(generate_latest(_Sum(self._registry, self._theirs)), CONTENT_TYPE)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"sipagent_{name}", help_text, buckets=buckets, registry=self._registry)

    def _by_direction(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"sipagent_{name}", help_text, ["direction"], buckets=buckets, registry=self._registry)

    def _counter(self, name: str, help_text: str) -> Counter:
        return Counter(f"sipagent_{name}", help_text, registry=self._registry)
