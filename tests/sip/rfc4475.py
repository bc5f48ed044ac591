"""The torture messages of RFC 4475: what the manifest allows an endpoint to answer, and what we do answer."""

import json
import re
from pathlib import Path
from typing import Any, TypeAlias

Case: TypeAlias = dict[str, Any]
"""What the manifest says of a message."""

ANSWERS: dict[str, str] = {
    "badaspec": "400", "badbranch": "400", "baddate": "call", "baddn": "400", "badinv01": "", "badvers": "505",
    "bcast": "", "bext01": "420", "bigcode": "", "clerr": "400", "cparam01": "405", "cparam02": "405",
    "dblreq": "405", "esc01": "call", "esc02": "501", "escnull": "405", "escruri": "400", "insuf": "400",
    "intmeth": "501", "inv2543": "call", "invut": "415", "longreq": "call", "ltgtruri": "400", "lwsdisp": "200",
    "lwsruri": "400", "lwsstart": "400", "mcl01": "400", "mismatch01": "400", "mismatch02": "400", "mpart01": "405",
    "multi01": "400", "ncl": "400", "noreason": "", "novelsc": "416", "quotbal": "400", "regaut01": "405",
    "regbadct": "400", "regescrt": "405", "scalar02": "400", "scalarlg": "", "sdp01": "406", "semiuri": "200",
    "test": "", "transports": "200", "trws": "400", "unkscm": "416", "unksm2": "405", "unreason": "", "wsinv": "481",
    "zeromf": "200",
}  # fmt: skip
"""What we answer: a status, nothing, or a call; each within what the manifest allows."""


def load_cases(corpora: Path) -> dict[str, Case]:
    """Read the manifest, by name."""
    manifest = json.loads((corpora / "rfc4475" / "manifest.json").read_text("utf-8"))
    return {case["file"].removesuffix(".dat"): case for case in manifest["cases"]}


def allowed(case: Case) -> set[str]:
    """Every verdict that the manifest's words allow over UDP."""
    words = " ".join([case["endpoint"].split("; TCP")[0], *case["also_ok"]])
    found = set(re.findall(r"\b[1-6][0-9]{2}\b", words))
    if "drop" in words or case["kind"] == "response":
        found.add("")
    if re.search(r"accept|2xx|parse OK|RFC2543", words):
        found |= {"200", "call"}
    return found
