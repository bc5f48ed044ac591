"""Writes ``docs/performance.md`` from what was measured; what stands there by hand between two marks is kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from sipagent.bench.bars import (
    LATE_S,
    MAX_DEVIATION_P99_MS,
    MAX_LATE_SHARE,
    MAX_LOST_SHARE,
    MAX_SETUP_P95_MS,
    MAX_UPLINK_P99_MS,
)

BEGIN: Final = "<!-- by hand: begin -->"
END: Final = "<!-- by hand: end -->"

Data: TypeAlias = Mapping[str, Any]
Column: TypeAlias = tuple[str, Callable[[Data], str]]

HEAD = """# How many calls, and what each costs

`sipagent bench` writes this page from what it measures, so on your machine it says what is true there: `make bench`, or
`sipagent bench --page performance.md`. `sipagent bench --help` tells what else there is.
"""

HOW = f"""## How it is measured

Real SIP calls with real RTP, in which both sides speak and are silent, and callers interrupt; a model that speaks the
Realtime protocol over real WebSockets stands for the service. Every packet of a caller's goes up as a message of its
own, which is the most work there is. Reordering, RTCP, transcript events and the ledger of what was heard are on.
Program, callers and model are processes of their own; the program has a core (or as many as it has workers) to itself,
callers and model share the rest. The callers' media is C, a thread that beats each millisecond and takes the kernel's
time of arrival, so that nobody is woken by what the program sends; the model is Python. Packets bear the time at which
they were made, in samples too quiet to hear.

- CPU is what the kernel accounts to the program and its children, for each second of each call, in a step's window.
- The limit is a C program of the system calls that none can spare, for as many calls, on the same core and in the same
  run.
- Deviation is how far the agent's packets are off an even 20 ms grid when the kernel hands them to the caller. Late are
  those more than {LATE_S * 1000:g} ms off.
- Uplink is a caller's packet to its message at the model; setup is INVITE to 200 OK; stop is a caller's first packet of
  speech to the last one of an agent's who is interrupted.
- A step is clean when at most {MAX_LOST_SHARE:.2%} of packets are lost and {MAX_LATE_SHARE:.1%} late, deviation p99 is
  at most {MAX_DEVIATION_P99_MS:g} ms, uplink p99 {MAX_UPLINK_P99_MS:g} ms, setup p95 {MAX_SETUP_P95_MS:g} ms, no call
  ended, and no rate missed what it should be by more than 3 %. The knee is the last clean number of calls.
"""

HAND = f"""{BEGIN}

{END}
"""


def write_page(record: Data, page: Path, *, picture: str | None) -> str:
    """Return the page.

    :param page: the one there is, of which the hand-written part is kept.
    :param picture: the name of the file beside it; ``None`` when there is none.
    """
    kept = hand_written(page.read_text("utf-8")) if page.exists() else HAND
    return "\n".join([HEAD, *_sections(record, picture), kept, HOW])


def hand_written(text: str) -> str:
    """Return the part between the marks, with them; an empty one when there are none."""
    _, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return f"{begin}{inside}{end}\n" if end else HAND


def _sections(record: Data, picture: str | None) -> Iterator[str]:
    capacity = record.get("capacity")
    if capacity is not None:
        yield from _capacity(capacity, picture)
    if "target" in record:
        yield from _target(record["target"])
    if "setup" in record:
        yield from _setup(record["setup"])
    if "soak" in record:
        yield from _soak(record["soak"])


def _capacity(capacity: Data, picture: str | None) -> Iterator[str]:
    yield machine_line(capacity)
    if capacity.get("missing"):
        yield f"**In doubt: {capacity['missing']}.**\n"
    if capacity["verdict"]:
        yield "## What it is held to\n"
        yield table(VERDICT, capacity["verdict"])
    yield "## The ramp\n"
    if picture is not None:
        yield f"![CPU, lateness and delay by the number of calls]({picture})\n"
    for load in capacity["loads"]:
        yield f"### {load['title']}: {_knee(load)}\n"
        yield table(STEPS, load["steps"])
        yield from _notes(load)


def _target(target: Data) -> Iterator[str]:
    """Another's bridge: what its callers heard."""
    yield "## Another bridge\n"
    yield machine_line({**target, "limit_in": None})
    for load in target["loads"]:
        yield f"### {load['title']}: {_knee(load)}\n"
        yield table(TARGET, load["steps"])
        yield from _notes(load)


def machine_line(part: Data) -> str:
    """Say where and how it was measured."""
    machine = part["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    count = part.get("runs")
    runs = f"; medians of {count} runs" if count and count > 1 else "; a single run" if count else ""
    limit = f"; the limit in {part['limit_in']}" if part.get("limit_in") else ""
    return (
        f"Measured on {machine['processor']}, {machine['available']} of {machine['processors']} cores, "
        f"{machine['memory_gb']:g} GB, {machine['system']}, {machine['python']}, {packages}{runs}{limit}.\n"
    )


def _knee(load: Data) -> str:
    if not load["knee"]:
        return "no clean step"
    more = " or more" if load["knee_is_open"] else ""
    return f"{load['knee']}{more} clean calls"


def _notes(load: Data) -> Iterator[str]:
    """Why steps are not clean, and where callers and model may be what was measured."""
    for step in load["steps"]:
        for kind, sentences in (("not clean", step["flaws"]), ("in doubt", step["doubts"])):
            if sentences:
                yield f"- {step['calls']} calls, {kind}: {'; '.join(sentences[:SENTENCES])}"
    if any(step["flaws"] or step["doubts"] for step in load["steps"]):
        yield ""


SENTENCES = 4
"""Of each kind and step; the file has all."""


def _setup(setup: Data) -> Iterator[str]:
    yield f"## New calls: {setup['per_s']:g} a second for {setup['seconds']:g} s\n"
    yield machine_line(setup)
    yield table(SETUP, [setup])


def _soak(soak: Data) -> Iterator[str]:
    yield f"## {soak['calls']} calls at all times, {soak['call_s']:g} s each, for {soak['minutes']:g} minutes\n"
    yield machine_line(soak)
    yield table(SOAK, [*_ends(soak["samples"])])
    yield table(TRENDS, soak["trends"])


def _ends(samples: Sequence[Data]) -> Iterator[Data]:
    """The beginning, the middle and the end."""
    if samples:
        for at in sorted({0, len(samples) // 2, len(samples) - 1}):
            yield samples[at]


def number(name: str, form: str = ",.0f", unit: str = "") -> Callable[[Data], str]:
    """Show a figure that may not be known."""

    def show(row: Data) -> str:
        value = row.get(name)
        return "–" if value is None else f"{value:{form}}{unit}"

    return show


def pair(first: str, second: str, form: str = ".1f") -> Callable[[Data], str]:
    """Show two."""
    return lambda row: f"{number(first, form)(row)} · {number(second, form)(row)}"


def _ratio(step: Data) -> str:
    ratio, spread = step.get("ratio_to_limit"), step.get("ratio_spread")
    return "–" if ratio is None else f"{ratio:.2f} ± {spread or 0.0:.2f}"


STEPS: Final[tuple[Column, ...]] = (
    ("calls", number("calls")),
    ("CPU a call, %", number("cpu_percent", ".3f")),
    ("× limit", _ratio),
    ("setup p95, ms", number("setup_p95_ms", ".1f")),
    ("deviation p50 · p99 · p99.9, ms", lambda row: f"{pair('deviation_p50_ms', 'deviation_p99_ms', '.2f')(row)} · "
     f"{number('deviation_p999_ms', '.2f')(row)}"),
    ("lost · late", pair("lost", "late", ".0f")),
    ("uplink p50 · p99, ms", pair("uplink_p50_ms", "uplink_p99_ms", ".2f")),
    ("stop p50 · p95, ms", pair("stop_p50_ms", "stop_p95_ms", ".0f")),
    ("kB a call", number("memory_kb")),
    ("callers · model, µs", pair("generator_us", "model_us", ".0f")),
    ("clean", lambda row: "yes" if row["is_clean"] else "no"),
)  # fmt: skip

TARGET: Final[tuple[Column, ...]] = (
    *(column for column in STEPS[:-1] if not column[0].startswith(("× limit", "uplink", "callers"))),
    ("reply p50 · p95, ms", pair("reply_p50_ms", "reply_p95_ms", ".0f")),
    STEPS[-1],
)
"""Reply: from a caller's last packet of speech to the agent's first."""

VERDICT: Final[tuple[Column, ...]] = (
    ("what", lambda row: row["what"] + (f", {row['calls']} calls" if row["calls"] else "")),
    ("measured", number("value", ".3g")),
    ("bar", lambda row: f"{row['sense']} {row['bar']:g} {row['unit']}"),
    ("met", lambda row: {True: "yes", False: "**no**", None: "not measured"}[row["is_met"]]),
)

SETUP: Final[tuple[Column, ...]] = (
    ("calls", number("attempts")),
    ("failed", number("failed")),
    ("setup p50 · p95 · p99, ms", lambda row: f"{pair('setup_p50_ms', 'setup_p95_ms')(row)} · "
     f"{number('setup_p99_ms', '.1f')(row)}"),
    ("of one core", number("core_share", ".0%")),
    ("bar: p95, ms", number("bar_ms", "g")),
)  # fmt: skip

SOAK: Final[tuple[Column, ...]] = (
    ("minute", number("minute", ".1f")),
    ("memory, MB", number("memory_mb", ".1f")),
    ("descriptors", number("descriptors")),
    ("UDP ports", number("ports")),
    ("threads", number("threads")),
    ("tasks", number("tasks")),
    ("CPU a call, %", number("cpu_percent", ".3f")),
    ("late packets", number("late_share", ".4%")),
    ("deviation p99, ms", number("deviation_p99_ms", ".2f")),
    ("setup p95, ms", number("setup_p95_ms", ".1f")),
)

TRENDS: Final[tuple[Column, ...]] = (
    ("trend, a minute", lambda row: row["what"]),
    ("measured", lambda row: f"{row['slope']:.3g} {row['unit']}"),
    ("at most", lambda row: f"{row['most']:g} {row['unit']}"),
    ("flat", lambda row: "yes" if row["is_flat"] else "**no**"),
)


def table(columns: Sequence[Column], rows: Sequence[Data]) -> str:
    """Write a table."""
    lines = [[title for title, _ in columns], ["---"] * len(columns)]
    lines += [[show(row) for _, show in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
