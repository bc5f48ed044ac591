"""The notebook of one call: everything that happened on both sides, on one clock, and what follows from it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import quantiles
from typing import TypeVar

from sipagent.call import events, phone
from sipagent.call.events import Fact
from sipagent.call.phone import PhoneOutput

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds: how many, the median and the 95th percentile."""

    count: int
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Spread | None":
        """Sum up some seconds; ``None`` when there are none."""
        if not seconds:
            return None
        ordered = sorted(value * 1000 for value in seconds)
        if len(ordered) == 1:
            return cls(1, ordered[0], ordered[0])
        cuts = quantiles(ordered, n=20, method="inclusive")
        return cls(len(ordered), cuts[9], cuts[18])

    def __str__(self) -> str:
        one = f"{self.p50_ms:.1f} ms"
        return one if self.count == 1 else f"p50 {one}, p95 {self.p95_ms:.1f} ms ({self.count})"


@dataclass(slots=True)
class Notebook:
    """Entries in the order in which they happened; times are of the monotonic clock."""

    entries: list[tuple[float, Fact | PhoneOutput]] = field(default_factory=list)

    def note(self, fact: Fact | PhoneOutput, now: float) -> None:
        """Write something down."""
        self.entries.append((now, fact))

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Everything of one kind."""
        return [fact for _, fact in self.entries if isinstance(fact, kind)]

    def when(self, kind: type[object]) -> float | None:
        """When the first of a kind happened."""
        return next((at for at, fact in self.entries if isinstance(fact, kind)), None)

    def _began_at(self) -> float:
        """When the recording begins: with the answer, or what is heard before; if there is none, the first thing."""
        answered_at = self.when(phone.EarlyMediaHeard) or self.when(phone.PickedUp)
        if answered_at is None:
            return self.entries[0][0] if self.entries else 0.0
        return answered_at

    def transcript(self) -> Iterable[tuple[float, str, str]]:
        """What was said: seconds since the call began, who, and what."""
        began_at = self._began_at()
        for at, fact in self.entries:
            match fact:
                case phone.LineSaid(text):
                    yield at - began_at, "caller", text
                case events.AgentSaid(text):
                    yield at - began_at, "agent", text
                case events.CallerSaid(text) if text:
                    yield at - began_at, "heard", text
                case events.ToolCalled(name, arguments):
                    yield at - began_at, "tool", f"{name}({arguments})"
                case events.ToolReturned(_, output):
                    yield at - began_at, "tool", f"→ {output}"
                case events.DigitPressed(digit):
                    yield at - began_at, "key", digit
                case events.Truncated(_, _, audio_end_ms, received_ms):
                    yield at - began_at, "cut", f"after {audio_end_ms} ms of {received_ms} ms"

    def as_data(self) -> list[dict[str, object]]:
        """For a file: seconds since the call began, kind, and fields."""
        began_at = self._began_at()
        return [
            {"at_s": round(at - began_at, 4), "kind": type(fact).__name__} | asdict(fact) for at, fact in self.entries
        ]
