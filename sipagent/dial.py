"""``sipagent call``, a telephone for the terminal: it dials, speaks, listens, records, and prints what happens."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import SystemRandom

import numpy as np
import soxr
from rich.console import Console
from rich.markup import escape

from sipagent.aio.phone import PhoneRunner
from sipagent.aio.tls import Tls
from sipagent.aio.voice import Voice, open_voice
from sipagent.audio.linear import from_linear
from sipagent.audio.wav import read_wav
from sipagent.call import phone
from sipagent.call.jitter_buffer import JitterStats
from sipagent.call.phone import CODECS, Line, PhoneOutput, format_for
from sipagent.errors import SipagentError
from sipagent.formats import PCMU, AudioFormat
from sipagent.lines import parse_target
from sipagent.notebook import Notebook
from sipagent.rtp.dtmf import DIGITS
from sipagent.sdp.negotiation import SrtpMode
from sipagent.sip.account import Account
from sipagent.sip.core import HeaderList


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing to do in the call, in the order given on the command line.

    :param kind: ``say`` (a sentence), ``wav`` (a file), ``press`` (keys).
    :param after_speech_ms: do it while the agent speaks; ``None`` waits for its silence.
    """

    kind: str
    value: str
    after_speech_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DialSettings:
    """What the call is to be."""

    target: str
    cues: Sequence[Cue]
    record: Path | None = None
    facts: Path | None = None
    voice: str = "caller"
    linger_s: float = 4.0
    max_call_s: float = 120.0
    account: Account | None = None
    """By which we call; without one as nobody, straight to the target."""
    tls: Tls | None = None
    """Our certificates, and those we trust; by default the system's."""
    codecs: tuple[str, ...] = CODECS
    """What we offer, best first."""
    srtp: SrtpMode = "off"
    headers: HeaderList = ()
    """Fields of the INVITE that are the user's own."""


async def dial(settings: DialSettings, *, console: Console) -> bool:
    """Make the call; return whether it was answered.

    :raises SipagentError: when it can't be made at all.
    """
    target = parse_target(settings.target, domain=settings.account.address if settings.account else None)
    notebook = Notebook()
    began_at: list[float] = []

    def note(fact: PhoneOutput, now: float) -> None:
        began_at.append(now)
        notebook.note(fact, now)
        console.print(f"[dim]{now - began_at[0]:7.3f} s[/dim]  {_describe(fact)}")

    voice = await open_voice()
    try:
        audio_format = format_for(settings.codecs)
        lines = [await _line(cue, voice, settings.voice, audio_format) for cue in settings.cues]
    finally:
        await voice.close()
    runner = PhoneRunner(
        lines=lines,
        recording=settings.record,
        noted=note,
        random=SystemRandom(),
        account=settings.account,
        tls=settings.tls,
        codecs=settings.codecs,
        srtp=settings.srtp,
        headers=settings.headers,
    )
    console.print(f"Calling {escape(str(target))} …")
    await runner.call(target, linger_s=settings.linger_s, max_call_s=settings.max_call_s)
    if settings.facts is not None:
        _write(settings.facts, json.dumps(notebook.as_data(), indent=1))
    return bool(notebook.all(phone.PickedUp))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise SipagentError(f"can't write {path}: {error.strerror}") from error


async def _line(cue: Cue, voice: Voice, speaker: str, audio_format: AudioFormat) -> Line:
    match cue.kind:
        case "press":
            if not cue.value or not set(cue.value) <= set(DIGITS):
                raise SipagentError(f"{cue.value!r} are no keys: a telephone has {DIGITS}")
            return Line(f"keys {cue.value}", digits=cue.value, after_speech_ms=cue.after_speech_ms)
        case "wav":
            audio = read_audio(Path(cue.value), audio_format)
            return Line(cue.value, audio, after_speech_ms=cue.after_speech_ms)
        case _:
            audio = await voice.render(cue.value, speaker, 1.0, audio_format)
            return Line(cue.value, audio, after_speech_ms=cue.after_speech_ms)


def read_audio(path: Path, audio_format: AudioFormat = PCMU) -> bytes:
    """Read a WAV file of any rate, its channels mixed.

    :raises SipagentError: when there is none, or it is no WAV file.
    """
    try:
        rate, samples = read_wav(path.read_bytes())
    except (OSError, SipagentError) as error:
        raise SipagentError(f"{path}: {error}") from error
    mono = samples.astype(np.float32).mean(axis=1)
    converted = soxr.resample(mono, rate, audio_format.rate)
    return from_linear(np.clip(converted, -32768, 32767).astype(np.int16), audio_format)


def _describe(fact: PhoneOutput) -> str:
    match fact:
        case phone.Ringing(status):
            return f"ringing ({status})"
        case phone.EarlyMediaHeard():
            return "there is something to hear already"
        case phone.PickedUp(after_ms):
            return f"answered, {after_ms:.0f} ms after the INVITE"
        case phone.AgentHeard(after_ms):
            return f"the agent speaks, after {after_ms:.0f} ms"
        case phone.AgentSilent(spoke_ms):
            return f"the agent is silent, having spoken {spoke_ms:.0f} ms"
        case phone.AgentStopped(after_ms):
            return f"[bold]the agent was interrupted: silent {after_ms:.0f} ms after our first sound[/bold]"
        case phone.LineSaid(text, is_interruption):
            return f"[cyan]we say: {escape(text)}{' (over the agent)' if is_interruption else ''}[/cyan]"
        case JitterStats():
            return (
                f"heard {fact.played} frames, the last ones {fact.delay_ms:.0f} ms after the fastest could be; "
                f"{fact.late} came too late, {fact.concealed_ms:.0f} ms were concealed"
            )
        case phone.HungUp(reason, status, duration_s):
            return f"over: {reason}{f' {status}' if status else ''}, {duration_s:.1f} s"
        case _:
            return escape(str(asdict(fact)))
