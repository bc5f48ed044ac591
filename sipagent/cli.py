"""The command line: run, call, check, demo, model and bench."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from sipagent.agent.agent import Agent
from sipagent.aio import log, loop
from sipagent.aio.model_server import ModelSettings, run_model
from sipagent.aio.tls import Tls
from sipagent.aio.voice import open_voice
from sipagent.aio.zygote import Zygote
from sipagent.app import Application
from sipagent.audio.codecs import available_codecs
from sipagent.bench import command as bench
from sipagent.call.phone import CODECS
from sipagent.checkup import run_checkup
from sipagent.config import Config, LineConfig, load
from sipagent.demo import Demo
from sipagent.dial import Cue, DialSettings, dial
from sipagent.errors import SipagentError
from sipagent.lines import make_account
from sipagent.realtime.local.faults import KINDS, FaultScript
from sipagent.realtime.local.settings import LocalSettings
from sipagent.serving import by_name, configure, find_agents, make_zygote, run_until_stopped, set_up_log

CONFIG = Path("config.yaml")
"""The file that is read when none is named."""

OVER_AGENT_MS = 1500
"""How long the agent has spoken when ``--interrupt`` speaks."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status: 0 well, 1 it fell short, 2 it could not be tried."""
    arguments = _parser().parse_args(argv)
    console = Console()
    try:
        return 0 if arguments.command(arguments, console) else 1
    except SipagentError as error:
        Console(stderr=True).print(f"[red]sipagent:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        return 130


# run, demo


def _run(arguments: argparse.Namespace, console: Console) -> bool:
    agents = find_agents(arguments.what)
    if agents is None:
        config, known = load(arguments.what), {}
    else:
        known = by_name(agents)
        config = configure(agents, arguments.config)
    with make_zygote(config, agents=known) as zygote:
        set_up_log(config)
        loop.run(_serve(config, console, places_call=arguments.demo, stays=True, agents=known, zygote=zygote))
    return True


def _demo(arguments: argparse.Namespace, console: Console) -> bool:
    config = load(arguments.config)
    level = "warning"  # the demonstration itself tells what happened
    with make_zygote(config, level=level) as zygote:
        set_up_log(config, level=level)
        return loop.run(_serve(config, console, places_call=True, stays=False, zygote=zygote))


async def _serve(
    config: Config,
    console: Console,
    *,
    places_call: bool,
    stays: bool,
    agents: Mapping[str, Agent] | None = None,
    zygote: Zygote | None = None,
) -> bool:
    application = Application(config, trusts_itself=places_call, agents=agents, zygote=zygote)
    await application.start()
    try:
        went_right = await _place_call(application, console) if places_call else True
        if stays:
            await run_until_stopped(application, console)
    finally:
        await application.stop()
    return went_right


async def _place_call(application: Application, console: Console) -> bool:
    demo = Demo(console=console)
    application.follow(demo)
    voice = await open_voice()
    try:
        return await demo.run(application.uri("127.0.0.1"), voice)
    finally:
        application.follow(None)
        await voice.close()


# call


class _AddCue(argparse.Action):
    """Keeps the cues of a call in the order in which they are written."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        kind = (option_string or "").lstrip("-")
        cues = [
            *(getattr(namespace, self.dest) or ()),
            Cue("say", values, OVER_AGENT_MS) if kind == "interrupt" else Cue(kind, values),
        ]
        setattr(namespace, self.dest, cues)


def _call(arguments: argparse.Namespace, console: Console) -> bool:
    log.set_up(level="warning", style="auto")
    config = load(arguments.config) if arguments.line else None
    line = _line(arguments.line, config, arguments.config) if config else None
    settings = DialSettings(
        target=arguments.uri,
        account=make_account(line) if line else None,
        srtp=line.srtp if line else "off",
        tls=Tls(config.sip.tls) if config else None,
        cues=arguments.cues or (),
        record=arguments.record,
        facts=arguments.facts,
        linger_s=arguments.linger,
        max_call_s=arguments.max,
        codecs=tuple(arguments.codecs or CODECS),
        headers=tuple(_field(text) for text in arguments.headers),
    )
    return loop.run(dial(settings, console=console))


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise SipagentError(f"{text!r} is no header field: write it as 'X-Order: 17'")
    return name.strip(), value.strip()


def _line(name: str, config: Config, path: Path) -> LineConfig:
    lines = {line.name: line for line in config.lines}
    if name not in lines:
        raise SipagentError(f"{path} has no line {name}; there is {', '.join(lines)}")
    return lines[name]


# check, model


def _check(arguments: argparse.Namespace, console: Console) -> bool:
    return loop.run(run_checkup(arguments.config, console=console))


def _model(arguments: argparse.Namespace, _console: Console) -> bool:
    log.set_up(level="info", style="auto")
    local = LocalSettings(faults=FaultScript.parse(arguments.faults))
    try:
        loop.run(run_model(ModelSettings(arguments.host, arguments.port, local)))
    except OSError as error:
        raise SipagentError(f"can't listen on {arguments.host}:{arguments.port}: {error.strerror or error}") from error
    return True


# The grammar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sipagent",
        description="A telephone number for a voice model: SIP and RTP on one side, OpenAI Realtime on the other.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_run, _add_call, _add_check, _add_demo, _add_model, _add_bench):
        add(commands)
    return parser


def _add_run(commands: Any) -> None:
    summary = "answer calls until Ctrl-C"
    words = (
        "Answers calls as the file says. SIGTERM: no new calls, those there are end in peace; a second one ends them."
    )
    parser = _add(commands, "run", _run, summary, words)
    parser.add_argument(
        "what",
        nargs="?",
        default=str(CONFIG),
        help=f"the file ({CONFIG}), or agents in Python: path/to/file.py:NAME or package.module:NAME",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="beside agents in Python: all other settings")
    parser.add_argument("--demo", action="store_true", help="place one demonstration call first")


def _add_call(commands: Any) -> None:
    summary = "dial a SIP URI, speak, listen, record"
    words = (
        "Dials, and does what the options say in their order, each when the agent falls silent; hangs up when nobody "
        "speaks any more. Exit status 1 when nobody answers."
    )
    parser = _add(commands, "call", _call, summary, words)
    parser.add_argument(
        "uri", metavar="URI", help="such as sip:agent@127.0.0.1 or sip:100@192.0.2.7:5080;transport=tcp"
    )
    parser.add_argument("--line", metavar="NAME", help="call by this line of the file; URI may then be a mere number")
    parser.add_argument("--config", metavar="FILE", type=Path, default=CONFIG, help=f"the file ({CONFIG})")
    cues = (
        ("--say", "SENTENCE", "speak a sentence in the local voice"),
        ("--interrupt", "SENTENCE", f"speak it over the agent, {OVER_AGENT_MS} ms after it began"),
        ("--wav", "FILE", "play a WAV file"),
        ("--press", "KEYS", "press keys, such as 12#"),
    )
    for option, value, what in cues:
        parser.add_argument(option, dest="cues", action=_AddCue, metavar=value, help=what)
    parser.add_argument(
        "--record", metavar="FILE", type=Path, help="write both sides to a WAV file: we left, they right"
    )
    parser.add_argument("--facts", metavar="FILE", type=Path, help="write what happened, with its times, as JSON")
    parser.add_argument(
        "--codec",
        dest="codecs",
        metavar="NAME",
        action="append",
        choices=available_codecs(),
        help=f"offer this codec, and those of further --codec: {', '.join(available_codecs())} (PCMU, PCMA)",
    )
    parser.add_argument(
        "--header",
        dest="headers",
        metavar="FIELD",
        action="append",
        default=[],
        help="put a field of your own into the INVITE, such as 'X-Order: 17'",
    )
    parser.add_argument("--linger", metavar="S", type=float, default=4.0, help="silence after which we hang up (4)")
    parser.add_argument("--max", metavar="S", type=float, default=120.0, help="hang up after so long in any case (120)")


def _add_check(commands: Any) -> None:
    summary = "look into the file, the ports, the model and our address"
    _add_config(
        _add(commands, "check", _check, summary, "Says what is wrong, and where; exit status 1 if anything is.")
    )


def _add_demo(commands: Any) -> None:
    words = (
        "Starts the service and calls it by real SIP and RTP; writes build/demo.wav, build/demo.png and "
        "build/demo.json. Exit status 0 only if all went right."
    )
    _add_config(_add(commands, "demo", _demo, "place the demonstration call and end", words))


def _add_model(commands: Any) -> None:
    words = (
        "A WebSocket server that knows set phrases: for tests, and for your own client. It speaks the Realtime "
        "protocol at /v1/realtime, and GPT-Live's at /v1/live/sessions."
    )
    parser = _add(commands, "model", _model, "start the embedded model alone", words)
    parser.add_argument("--host", default="127.0.0.1", help="(127.0.0.1)")
    parser.add_argument("--port", type=int, default=8089, help="(8089)")
    parser.add_argument(
        "--faults",
        metavar="SCRIPT",
        default="",
        help=f"misfortunes to play, such as 'slow_session seconds=2; drop on=3'; there are {', '.join(KINDS)}",
    )


def _add_bench(commands: Any) -> None:
    bench.add_options(_add(commands, "bench", bench.run, bench.SUMMARY, bench.WORDS))


def _add(commands: Any, name: str, command: Any, summary: str, description: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=description)
    parser.set_defaults(command=command)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG, help=f"the file ({CONFIG})")
