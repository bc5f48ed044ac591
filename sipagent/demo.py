"""The demonstration: the service is called by a telephone of ours, through real SIP and RTP on this machine's loopback.

The telephone asks something that needs a tool, asks for a story, talks over it, and says goodbye. Then the call is
judged: a demonstration that did not go right says what went wrong.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import SystemRandom

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sipagent.aio.phone import PhoneRunner
from sipagent.aio.voice import Voice
from sipagent.call import events, phone
from sipagent.call.events import Fact
from sipagent.call.phone import Line
from sipagent.errors import SipagentError
from sipagent.formats import PCMU
from sipagent.notebook import Notebook, Spread
from sipagent.sip.uri import Uri

FOLDER = Path("build")
CALLER_VOICE = "echo"
"""One that the agent does not have, and that the embedded model's ear understands."""

STOPS_WITHIN_MS = 300.0
"""An agent that speaks on for longer over its caller was not stopped by the caller's voice."""

MAX_CALL_S = 90.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What the call measured."""

    invite_to_answer_ms: float | None
    answer_to_first_word_ms: float | None
    question_to_answer: Spread | None
    packet_to_model: Spread | None
    model_to_packet: Spread | None
    onset_to_silence_ms: float | None
    truncated_ms: int | None
    received_ms: int | None


class Demo:
    """One demonstration call, followed from both ends."""

    def __init__(self, *, console: Console) -> None:
        self._notebook = Notebook()
        self._call_id = ""
        self._console = console
        FOLDER.mkdir(exist_ok=True)
        self._delays: dict[str, list[float]] = {"packet_to_model": [], "model_to_packet": []}

    def follow(self, call_id: str, fact: Fact, now: float) -> None:
        """Take what the service tells of our call; that is the first that it takes."""
        self._call_id = self._call_id or call_id
        if call_id == self._call_id:
            self._notebook.note(fact, now)

    def follow_delay(self, path: str, seconds: float) -> None:
        """Take a delay that the service measured."""
        self._delays[path].append(seconds)

    async def run(self, target: Uri, voice: Voice) -> bool:
        """Place the call, print what came of it, write the recording and the picture; return whether it went right."""
        recording = _make_room()
        runner = PhoneRunner(
            lines=await _script(voice), recording=recording, noted=self._notebook.note, random=SystemRandom()
        )
        self._console.print(f"[bold]Calling[/bold] {escape(str(target))} …")
        await runner.call(target, max_call_s=MAX_CALL_S)
        figures = self._figures()
        faults = list(self._faults(figures))
        self._print_transcript()
        self._print_figures(figures)
        await asyncio.to_thread(self._write_files, figures, faults, recording)
        for fault in faults:
            self._console.print(f"[bold red]wrong:[/bold red] {escape(fault)}")
        return not faults

    def _figures(self) -> Figures:
        notebook = self._notebook
        picked_up = notebook.all(phone.PickedUp)
        heard = notebook.all(phone.AgentHeard)
        stopped = notebook.all(phone.AgentStopped)
        cut = notebook.all(events.Truncated)
        return Figures(
            invite_to_answer_ms=picked_up[0].after_ms if picked_up else None,
            answer_to_first_word_ms=heard[0].after_ms if heard else None,
            question_to_answer=Spread.of([one.after_ms / 1000 for one in heard[1:]]),
            packet_to_model=Spread.of(self._delays["packet_to_model"]),
            model_to_packet=Spread.of(self._delays["model_to_packet"]),
            onset_to_silence_ms=stopped[0].after_ms if stopped else None,
            truncated_ms=cut[0].audio_end_ms if cut else None,
            received_ms=cut[0].received_ms if cut else None,
        )

    def _faults(self, figures: Figures) -> Iterator[str]:
        notebook = self._notebook
        ended = notebook.all(phone.HungUp)
        if not notebook.all(phone.PickedUp):
            yield f"the call was not answered: {ended[0].status if ended else 'no answer at all'}"
            return
        if not notebook.all(events.AgentSaid):
            yield "the agent said nothing"
        if not notebook.all(events.ToolReturned):
            yield "no tool was run"
        if figures.onset_to_silence_ms is None:
            yield "the agent was not interrupted"
        elif figures.onset_to_silence_ms > STOPS_WITHIN_MS:
            yield f"the agent spoke on for {figures.onset_to_silence_ms:.0f} ms over its caller"
        if figures.truncated_ms is None or figures.received_ms is None or figures.truncated_ms >= figures.received_ms:
            yield "the model was not told how much of its answer was heard"
        yield from (f"the model complained: {error.message}" for error in notebook.all(events.ModelComplained))
        if not ended or ended[0].reason != "bye":
            yield f"the agent did not hang up: {ended[0].reason if ended else 'the call has no end'}"

    def _print_transcript(self) -> None:
        table = Table(title="What was said", title_justify="left", show_header=False, box=None, padding=(0, 1))
        styles = {"caller": "cyan", "agent": "yellow", "tool": "green", "cut": "red", "heard": "dim", "key": "cyan"}
        for at_s, who, words in self._notebook.transcript():
            table.add_row(f"{at_s:6.2f} s", f"[{styles[who]}]{who}[/]", escape(words))
        self._console.print(table)

    def _print_figures(self, figures: Figures) -> None:
        table = Table(title="What it took", title_justify="left", show_header=False, box=None, padding=(0, 1))
        cut = (
            f"{figures.truncated_ms} ms of {figures.received_ms} ms received"
            if figures.truncated_ms is not None
            else "–"
        )
        rows = (
            ("INVITE to 200 OK", _ms(figures.invite_to_answer_ms)),
            ("200 OK to the agent's first audible packet", _ms(figures.answer_to_first_word_ms)),
            ("end of a question to the answer's first audible packet", str(figures.question_to_answer or "–")),
            ("caller's packet to the model's WebSocket", str(figures.packet_to_model or "–")),
            ("model's first delta to its RTP packet", str(figures.model_to_packet or "–")),
            ("caller's onset to the agent's last audible packet", _ms(figures.onset_to_silence_ms)),
            ("told the model that was heard", cut),
        )
        for what, value in rows:
            table.add_row(what, value)
        self._console.print(table)

    def _write_files(self, figures: Figures, faults: list[str], recording: Path) -> None:
        facts, picture = FOLDER / "demo-facts.json", FOLDER / "demo.png"
        facts.write_text(json.dumps(self._notebook.as_data(), indent=1))
        report = {"ok": not faults, "faults": faults, "figures": asdict(figures)}
        (FOLDER / "demo.json").write_text(json.dumps(report, indent=1))
        if not recording.exists():
            return
        drawing = subprocess.run([sys.executable, "-m", "sipagent.timeline", facts, recording, picture], check=False)
        if drawing.returncode != 0:
            raise SipagentError(f"could not draw {picture}")
        self._console.print(
            f"[dim]Listen: {recording} (caller left, agent right) · look: {picture} · figures: build/demo.json[/dim]"
        )


async def _script(voice: Voice) -> list[Line]:
    async def spoken(text: str) -> bytes:
        return await voice.render(text, CALLER_VOICE, 1.0, PCMU)

    return [
        Line("What are your opening hours?", await spoken("What are your opening hours?")),
        Line("Tell me a story.", await spoken("Tell me a story.")),
        Line("Count to ten.", await spoken("Count to ten."), after_speech_ms=3000),
        Line("Goodbye.", await spoken("Goodbye.")),
    ]


def _make_room() -> Path:
    """Where the recording is to be; one of an earlier call must not pass for this one's."""
    recording = FOLDER / "demo.wav"
    try:
        FOLDER.mkdir(exist_ok=True)
        recording.unlink(missing_ok=True)
    except OSError as error:
        raise SipagentError(f"can't write to {FOLDER.resolve()}: {error.strerror}") from error
    return recording


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
