"""Who takes the time of the running program: a flame graph of it under load, and the same as figures.

The program is the one of ``sipagent bench``, with its callers and its model, and ``sampled/sampler.py`` inside it,
which says how far its figures go. It samples while the load is measured, and not before or after.
"""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Self

from sipagent.bench.figures import Measurement
from sipagent.bench.load import run_load
from sipagent.bench.plan import Plan, share_processors
from sipagent.errors import SipagentError

SAMPLED = Path(__file__).with_name("sampled")
LOOP = "Runner.run (asyncio/runners.py)"
"""What is outside it is the same for everybody; what is its own is uvloop's, which asks the kernel for news."""
LOOP_NAME = "event loop"

WIDTH, ROW, MARGIN = 1400.0, 17, 44
NARROW = 0.3
"""Units of the graph; what is narrower can't be seen."""
WARM, COLD = ("#f2a33c", "#f6bf5e", "#ef8d46", "#f8d070"), "#8fb8de"
"""Colours of Python, and of C and the kernel."""

SCRIPT = """
const all = [...document.querySelectorAll('.f')];
for (const one of all) one.addEventListener('click', () => {
  const from = +one.dataset.x, width = +one.dataset.w;
  for (const each of all) {
    const x = (each.dataset.x - from) / width * FULL, w = each.dataset.w / width * FULL;
    each.setAttribute('x', Math.max(0, x));
    each.setAttribute('width', Math.max(0, Math.min(FULL, x + w) - Math.max(0, x)));
  }
});
"""
"""A click on a bar makes it as wide as the graph; one on the lowest shows all again."""


@dataclass(slots=True)
class Bar:
    """A function, called from where it was called."""

    name: str
    own_s: float = 0.0
    """Without what it called."""
    under: dict[str, "Bar"] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """With it."""
        return self.own_s + sum(bar.total_s for bar in self.under.values())

    @property
    def depth(self) -> int:
        """How many rows it takes."""
        return 1 + max((bar.depth for bar in self.under.values()), default=0)

    def at(self, names: Sequence[str]) -> "Bar":
        """Return the bar that is reached by these names."""
        bar = self
        for name in names:
            bar = bar.under.setdefault(name, Bar(name))
        return bar

    @classmethod
    def read(cls, samples: Path) -> Self:
        """Put stacks together; what is around the event loop is left out."""
        root = cls("all threads")
        for names, seconds in json.loads(samples.read_text("utf-8"))["stacks"]:
            if LOOP in names:
                names = [names[0], LOOP_NAME, *names[names.index(LOOP) + 1 :]]
            root.at(names).own_s += seconds
        return root


@dataclass(frozen=True, slots=True)
class Share:
    """A function's part of all that was taken."""

    function: str
    own: float
    """Without what it called, in Python or C."""
    native: float
    """In C and the kernel, called by it."""
    total: float


class Follower:
    """Follows a load, and has its program sampled while it is measured."""

    def __init__(self) -> None:
        self._pid = 0

    def progress(self, what: str, share: float) -> None:
        """Begin and end with the measurement."""
        if what != "measuring":
            return
        if not self._pid:
            self._pid = find_program()
            os.kill(self._pid, signal.SIGUSR1)
        elif share >= 1:
            os.kill(self._pid, signal.SIGUSR2)


def find_program() -> int:
    """Return the process of ``sipagent run`` that the bench has started.

    :raises SipagentError: when there is none.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
        if parent == os.getpid() and b"sipagent" in words and b"run" in words:
            return int(entry.name)
    raise SipagentError("the program is not there to be sampled")


def sample_load(plan: Plan, *, folder: Path) -> tuple[Measurement, Bar]:
    """Run a load, and sample its program meanwhile.

    :raises SipagentError: when either fails.
    """
    samples = folder / "profile-samples.json"
    samples.unlink(missing_ok=True)
    paths = [str(SAMPLED), os.environ.get("PYTHONPATH", "")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "SIPAGENT_PROFILE": str(samples.resolve())}
    follower = Follower()
    load = run_load(plan, processors=share_processors(), folder=folder, progress=follower.progress)
    if not samples.exists():
        raise SipagentError(f"the program wrote no samples; see its log in {folder}")
    return load, Bar.read(samples)


def share_out(root: Bar) -> list[Share]:
    """Return what each function takes, the one that takes most for itself first."""
    own: dict[str, float] = defaultdict(float)
    native: dict[str, float] = defaultdict(float)
    total: dict[str, float] = defaultdict(float)
    for bar, above in _walk(root, ()):
        if is_native(bar.name):
            native[above[-1]] += bar.own_s
            own[above[-1]] += bar.own_s
            continue
        own[bar.name] += bar.own_s
        if bar.name not in above:
            total[bar.name] += bar.total_s
    all_s = root.total_s or 1.0
    shares = [Share(name, own[name] / all_s, native[name] / all_s, total[name] / all_s) for name in total]
    return sorted((share for share in shares if share.function != root.name), key=lambda share: -share.own)


def is_native(name: str) -> bool:
    """Whether a bar is a call into C."""
    return name.startswith("C: ")


def draw(root: Bar, *, title: str) -> str:
    """Return the graph as SVG, to be opened in a browser: the caller below, what it calls above it."""
    height = MARGIN + ROW * root.depth + 10
    bars = "\n".join(_draw(root, 0.0, WIDTH / (root.total_s or 1.0), height - 10 - ROW, root.total_s or 1.0))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height}" font-family="sans-serif"
font-size="11"><rect width="100%" height="100%" fill="white"/>
<text x="8" y="18" font-size="14">{escape(title)}</text>
<text x="8" y="34">Width is processor time. Orange is Python, blue is C and the kernel. A click zooms.</text>
{bars}
<script>{SCRIPT.replace("FULL", f"{WIDTH:g}")}</script>
</svg>
"""


def _draw(bar: Bar, x: float, scale: float, y: int, all_s: float) -> Iterator[str]:
    """Yield the bar and those above it."""
    width = bar.total_s * scale
    if width < NARROW:
        return
    colour = COLD if is_native(bar.name) else WARM[sum(map(ord, bar.name)) % len(WARM)]
    words = escape(f"{bar.name}: {bar.total_s / all_s:.1%}, {bar.own_s / all_s:.1%} its own")
    yield (
        f'<svg class="f" x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW}" data-x="{x:.2f}" data-w="{width:.2f}">'
        f'<title>{words}</title><rect width="100%" height="{ROW - 1}" fill="{colour}"/>'
        f'<text x="3" y="12">{escape(bar.name)}</text></svg>'
    )
    for under in sorted(bar.under.values(), key=lambda each: each.name):
        yield from _draw(under, x, scale, y - ROW, all_s)
        x += under.total_s * scale


def _walk(bar: Bar, above: tuple[str, ...]) -> Iterator[tuple[Bar, tuple[str, ...]]]:
    """Yield each bar, with the names of those below it."""
    yield bar, above
    for each in bar.under.values():
        yield from _walk(each, (*above, bar.name))


def threads(root: Bar) -> Mapping[str, float]:
    """Return the share of each thread."""
    return {name: bar.total_s / (root.total_s or 1.0) for name, bar in root.under.items()}
