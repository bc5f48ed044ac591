"""``sipagent bench``: its options, and which of its commands does what with them."""

import argparse
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sipagent.bench import bars, latency
from sipagent.bench.capacity import (
    QUICK_STEP_S,
    QUICK_STEPS,
    RUNS,
    STEP_S,
    STEPS,
    measure_all,
    measure_one,
    show_capacity,
)
from sipagent.bench.foreign import Foreign
from sipagent.bench.latency import measure_latency
from sipagent.bench.plan import MAX_CALLS, Plan
from sipagent.bench.ramp import Ramp
from sipagent.bench.records import PAGE, RECORD, keep, publish
from sipagent.bench.setup import measure_setup
from sipagent.bench.soak import measure_soak
from sipagent.errors import SipagentError

QUICK_SETUP_S = 5.0
QUICK_SOAK_CALLS, QUICK_SOAK_CALL_S, QUICK_SOAK_MINUTES = 10, 2.0, 0.25

SUMMARY = "measure how many calls this machine carries, what each costs, and how long things take"

WORDS = """\
Real SIP calls with real RTP against a model that speaks the Realtime protocol over real WebSockets, all on this
machine; figures go to build/bench.json and build/performance.md. Exit status 1 when the figures are beyond their bars,
or say nothing."""

LESSON = f"""\
what to measure:
  (nothing)  what the bars ask for, in half an hour: the ramp plain and with TLS, {bars.CALLS} calls with Silero's model
  capacity   one ramp: 50, 100, 200 … calls, until one is too much, and the knee
  latency    a few calls, finely measured; turns judged by the model, and here
  setup      new calls a second, each a second long: how soon they are answered
  soak       calls at all times for minutes: nothing may grow

examples:
  sipagent bench --quick
  sipagent bench capacity --tls --vad fused --max 500 --runs 1
  sipagent bench capacity --target sip:agent@192.0.2.7:5060 --max 100
  sipagent bench latency --calls 50 --seconds 20 --stall
  sipagent bench setup --rate 100 --seconds 60
  sipagent bench soak --calls 100 --call-s 60 --minutes 20

reading the figures:
  The program has a core to itself, callers and model share the others; on fewer than two cores the figures say little.
  A step is clean when hardly a packet is lost or late and no call failed. The limit is a C program that does only what
  the kernel must be asked for, measured in the same minutes: the ratio to it holds on any machine. Callers and limit
  are built by cc; without it they are in Python, and it is said. A bridge elsewhere (--target) is judged by what its
  caller hears: with --pid, its process on this machine, by its processor time as well.
"""

COMMANDS = ("capacity", "latency", "setup", "soak")

_PROGRAM = frozenset({"tls", "vad", "workers"})
MEANT: Mapping[str | None, Set[str]] = {
    None: {"max", "steps", "runs"},
    "capacity": {"max", "steps", "runs", "target", "pid", "detection", *_PROGRAM},
    "latency": {"calls", "stall", "config_out", *_PROGRAM},
    "setup": {"rate", "detection", *_PROGRAM},
    "soak": {"calls", "call_s", "minutes", "detection", *_PROGRAM},
}
"""The options that mean something to each command, besides those that do to all."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what can be asked for."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = WORDS, LESSON
    parser.add_argument("command_of_bench", nargs="?", metavar="WHAT", choices=COMMANDS, help=", ".join(COMMANDS))
    parser.add_argument("--quick", action="store_true", help="a look: one run, few steps, seconds")
    parser.add_argument("--seconds", type=_positive, metavar="S", help=f"to measure, a step ({STEP_S:g})")
    parser.add_argument("--page", type=Path, metavar="FILE", help=f"write the report there ({PAGE})")
    parser.add_argument("--realtime", action="store_true", help="on a busy machine: let nothing interrupt the program")
    _add_ramp(parser.add_argument_group("the ramp (capacity)"))
    _add_program(parser.add_argument_group("the program under test"))
    _add_others(parser.add_argument_group("latency, setup, soak"))


def _add_ramp(group: Any) -> None:
    group.add_argument("--max", type=_count, metavar="N", help=f"climb no further ({STEPS[-1]})")
    group.add_argument(
        "--steps", type=_count, nargs="+", metavar="N", help=f"numbers of calls ({STEPS[0]}, {STEPS[1]}, …)"
    )
    group.add_argument("--runs", type=_count, metavar="N", help=f"how often, for medians ({RUNS})")
    group.add_argument("--target", metavar="URI", help="another bridge: sip:user@host:port, over UDP, G.711")
    group.add_argument("--pid", type=int, metavar="PID", help="its process, when it is on this machine")


def _add_program(group: Any) -> None:
    group.add_argument("--tls", action="store_true", help="encrypt its connections to the model")
    group.add_argument("--vad", choices=("energy", "silero", "fused"), default="energy", help="by what it tells speech")
    group.add_argument("--detection", choices=("server", "local"), default="server", help="who judges turns (server)")
    group.add_argument("--workers", type=_count, metavar="N", help="its worker processes")
    group.add_argument("--stall", action="store_true", help="latency: hold up its control port and log meanwhile")
    group.add_argument("--config-out", type=Path, metavar="FILE", help="latency: keep the settings that it ran on")


def _add_others(group: Any) -> None:
    usual = latency.USUAL
    group.add_argument("--calls", type=_count, metavar="N", help=f"at once ({usual.calls}; soak: {bars.SOAK_CALLS})")
    group.add_argument("--rate", type=_positive, metavar="N", help=f"new calls a second ({bars.SETUP_PER_S:g})")
    group.add_argument("--call-s", type=_positive, metavar="S", help=f"soak: length of a call ({bars.SOAK_CALL_S:g})")
    group.add_argument("--minutes", type=_positive, metavar="M", help=f"soak: for so long ({bars.SOAK_MINUTES:g})")


def run(arguments: argparse.Namespace, console: Console) -> bool:
    """Do it; return whether all is well.

    :raises SipagentError: when it can't be measured.
    """
    _refuse_idle(arguments)
    commands = {
        None: _run_all,
        "capacity": _run_capacity,
        "latency": _run_latency,
        "setup": _run_setup,
        "soak": _run_soak,
    }
    part, data = commands[arguments.command_of_bench](arguments, console)
    keep(part, data)
    page = publish(arguments.page or PAGE)
    where = f"Figures: {RECORD} · report: {page} · the program's logs: build/bench-*.log"
    console.print(where, style="dim", markup=False)  # a path may look like markup
    return bool(data["ok"])


def _refuse_idle(given: argparse.Namespace) -> None:
    """Refuse options that would be ignored.

    :raises SipagentError: naming one.
    """
    parser = argparse.ArgumentParser()
    add_options(parser)
    command = given.command_of_bench
    for name in sorted(frozenset().union(*MEANT.values()) - MEANT[command]):
        if getattr(given, name) != parser.get_default(name):
            fit = ", ".join(each or "bench alone" for each, names in MEANT.items() if name in names)
            raise SipagentError(f"--{name.replace('_', '-')} is not for {command or 'bench alone'}, but for: {fit}")


def _run_all(given: argparse.Namespace, console: Console) -> tuple[str, dict[str, Any]]:
    found = measure_all(
        console=console,
        runs=_runs(given),
        steps=_steps(given),
        seconds=given.seconds or (QUICK_STEP_S if given.quick else STEP_S),
        quick=given.quick,
        is_realtime=given.realtime,
    )
    show_capacity(found, console=console)
    return "capacity", found.as_data()


def _run_capacity(given: argparse.Namespace, console: Console) -> tuple[str, dict[str, Any]]:
    foreign = Foreign(given.target, pid=given.pid) if given.target else None
    ramp = Ramp(_plan(given, Plan(seconds=QUICK_STEP_S if given.quick else STEP_S)), _steps(given), not given.quick)
    found = measure_one(ramp, console=console, runs=_runs(given), foreign=foreign)
    show_capacity(found, console=console)
    return ("target" if foreign else "capacity"), found.as_data()


def _run_latency(given: argparse.Namespace, console: Console) -> tuple[str, dict[str, Any]]:
    plan = _plan(given, latency.QUICK if given.quick else latency.USUAL)
    return "latency", measure_latency(plan, console=console, config_out=given.config_out).as_data()


def _run_setup(given: argparse.Namespace, console: Console) -> tuple[str, dict[str, Any]]:
    plan = _plan(given, Plan(seconds=QUICK_SETUP_S if given.quick else bars.SETUP_S))
    return "setup", measure_setup(plan, per_s=given.rate or bars.SETUP_PER_S, console=console).as_data()


def _run_soak(given: argparse.Namespace, console: Console) -> tuple[str, dict[str, Any]]:
    quick = given.quick
    plan = _plan(given, Plan(calls=QUICK_SOAK_CALLS if quick else bars.SOAK_CALLS))
    call_s = given.call_s or (QUICK_SOAK_CALL_S if quick else bars.SOAK_CALL_S)
    minutes = given.minutes or (QUICK_SOAK_MINUTES if quick else bars.SOAK_MINUTES)
    return "soak", measure_soak(plan, call_s=call_s, minutes=minutes, console=console).as_data()


def _plan(given: argparse.Namespace, usual: Plan) -> Plan:
    return replace(
        usual,
        calls=given.calls or usual.calls,
        seconds=given.seconds or usual.seconds,
        detection=given.detection,
        vad=given.vad,
        tls=given.tls,
        workers=given.workers,
        is_realtime=given.realtime,
        stalls=given.stall,
    )


def _runs(given: argparse.Namespace) -> int:
    return int(given.runs or (1 if given.quick else RUNS))


def _steps(given: argparse.Namespace) -> tuple[int, ...]:
    """Those that were asked for, up to the most, which is one itself."""
    usual = QUICK_STEPS if given.quick else STEPS
    most = min(given.max or max(given.steps or usual), MAX_CALLS)
    steps = {calls for calls in given.steps or usual if calls <= most}
    return tuple(sorted(steps | {most}))


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_CALLS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_CALLS}")
    return number


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number
