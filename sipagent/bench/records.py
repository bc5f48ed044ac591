"""What is kept of the bench: ``build/bench.json``, a part for each of its commands, and the page made of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sipagent.bench.machine import describe_machine
from sipagent.bench.page import write_page

FOLDER = Path("build")
RECORD = FOLDER / "bench.json"
PAGE = FOLDER / "performance.md"
DRAW_S = 120.0


def keep(part: str, data: dict[str, Any]) -> None:
    """Write what a command found; what others found stays."""
    FOLDER.mkdir(exist_ok=True)
    record = read_record()
    record[part] = {**data, "machine": describe_machine()}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def read_record() -> dict[str, Any]:
    """What was found so far; a file that is none of ours is begun anew."""
    try:
        record = json.loads(RECORD.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    parts = ("capacity", "target", "latency", "setup", "soak")
    return {part: record[part] for part in parts if part in record} if isinstance(record, dict) else {}


def publish(page: Path) -> str:
    """Draw the picture beside the page, and write the page; return what is to be said of it, in words."""
    record = read_record()
    picture = page.with_suffix(".png")
    is_wanted = "capacity" in record
    drawn = is_wanted and draw(picture)
    page.write_text(write_page(record, page, picture=picture.name if drawn else None), "utf-8")
    return f"{page} (without a picture: pip install 'sipagent[plot]')" if is_wanted and not drawn else str(page)


def draw(picture: Path) -> bool:
    """Draw it in a process of its own; tell whether that went right: the library is an extra."""
    command = [sys.executable, "-m", "sipagent.bench.plot", str(RECORD), str(picture)]
    return subprocess.run(command, capture_output=True, timeout=DRAW_S, check=False).returncode == 0
