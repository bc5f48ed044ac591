"""sipsak and SIPVicious ask who is there and learn nothing: on the loopback, of a line whose callers need passwords."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop.matrix import cell
from program import Server, free_port

pytestmark = pytest.mark.interop

HOST = "127.0.0.1"
KNOWN, UNKNOWN = "201", "999"
SECRET = "marigold"
SCAN_S = 60.0
"""No scan of these takes longer, whatever we answer or leave unanswered."""

WRONG = [f"wrong{number}" for number in range(30)]

RANDOM = re.compile(
    r'(tag|branch|nonce|cnonce|opaque|response)="?[^";,\s]*"?|rport=\d+|:\d{4,5}\b'
    r"|Call-ID: \S+|CSeq: .*|test duration.*|\d+\.\d+ ms"
)

QUESTION = """\
{method} {target} SIP/2.0
From: <{target}>;tag=1
To: <{target}>
Call-ID: {user}-{method}@sipsak.example.com
CSeq: 1 {method}
Contact: <sip:sipsak@127.0.0.1>
Max-Forwards: 70
Subject: {user} of this file is longer than any challenge, for nobody gets an answer that is larger than the question \
was, lest forged questions flood a victim with our answers; and the second challenge is for those who know SHA-256 only
Content-Length: 0

"""


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it comes: who names itself a scanner is not answered."""
    with Server(tmp_path_factory.mktemp("hidden"), {"lines": [line()]}) as server:
        yield server


@pytest.fixture
def answering(folder: Path) -> Iterator[Server]:
    """Made to answer scanners like anybody, as it would those that do not name themselves."""
    settings = {"lines": [line()], "sip": {"safety": {"scanners": ["nobody-has-this-name"], "rate": 1000.0}}}
    with Server(folder / "answering", settings) as server:
        yield server


def line() -> dict[str, object]:
    return {"name": "main", "agent": "tested", "callers": {KNOWN: SECRET}}


def scan(folder: Path, program: str, *arguments: str) -> str:
    """Run a scanner to its end; return all that it says."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed: make interop")
    done = subprocess.run(
        [path, *arguments], cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=SCAN_S, check=False,
    )  # fmt: skip
    return done.stdout


def vicious(folder: Path, program: str, server: Server, *arguments: str) -> str:
    """SIPVicious, from a port of its own."""
    usual = ["-p", str(server.sip_port), "-P", str(free_port()), "-b", HOST, "-t", "0.02"]
    return scan(folder, program, *usual, *arguments, HOST)


def sipsak(folder: Path, server: Server, method: str, user: str) -> str:
    """What sipsak is answered, without what is random in it or names the user."""
    target = f"sip:{user}@{HOST}:{server.sip_port}"
    path = folder / f"{method}-{user}"
    path.write_text(QUESTION.format(method=method, target=target, user=user))
    said = scan(folder, "sipsak", "-vvv", "-f", str(path), "-s", target, "-H", HOST)
    response = said.partition("response:")[2].strip().partition("\n\n")[0]
    return RANDOM.sub("", response).replace(user, "USER")


def serves(server: Server) -> bool:
    """Whether it is up, and nothing went wrong in it."""
    bad = [entry for entry in server.entries if entry["level"] in ("error", "critical")]
    return not bad and server.metrics()["sipagent_active_calls"] == 0


@cell("SIPVicious", "scan")
def test_svmap_finds_nobody(hidden: Server, folder: Path) -> None:
    said = vicious(folder, "svmap", hidden)
    assert "found nothing" in said
    assert "sipagent" not in said
    assert serves(hidden)


@cell("SIPVicious", "scan")
@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
def test_svwar_enumerates_nobody(method: str, answering: Server, folder: Path) -> None:
    """Neither finds whom there is nor tells them from whom there is not, though it is answered."""
    said = vicious(folder, "svwar", answering, "-m", method, "-e", f"195-205,{UNKNOWN}", "--force")
    found = set(re.findall(r"^\|\s+(\d+)\s+\|", said, re.MULTILINE))
    assert found in (set(), {*map(str, range(195, 206)), UNKNOWN}), said
    assert serves(answering)


@cell("SIPVicious", "scan")
def test_svcrack_is_shut_out_before_it_guesses(answering: Server, folder: Path) -> None:
    words = folder / "words"
    words.write_text("\n".join([*WRONG, SECRET]) + "\n")
    said = vicious(folder, "svcrack", answering, "-u", KNOWN, "-d", str(words), "--maximumtime=10")
    assert SECRET not in said
    assert serves(answering)


@cell("sipsak", "scan")
@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "INVITE"])
def test_sipsak_cannot_tell_who_exists(method: str, answering: Server, folder: Path) -> None:
    known, unknown = (sipsak(folder, answering, method, user) for user in (KNOWN, UNKNOWN))
    assert known == unknown
    assert "401 Unauthorized" in known
    assert "sipagent" not in known.replace('realm="sipagent"', "")
    assert serves(answering)


@cell("sipsak", "scan")
def test_sipsak_may_flood_and_send_rubbish(hidden: Server, folder: Path) -> None:
    target = f"sip:{KNOWN}@{HOST}:{hidden.sip_port}"
    scan(folder, "sipsak", "-F", "-e", "2000", "-s", target)
    for _ in range(5):
        scan(folder, "sipsak", "-R", "-t", "100", "-s", target)
    assert serves(hidden)
