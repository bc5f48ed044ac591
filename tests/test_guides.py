"""What is to be pasted from docs/guides is right: every setting in it exists."""

import re
from pathlib import Path

import pytest
import yaml
from program import ROOT

from sipagent.config import load

GUIDES = sorted(path for path in (ROOT / "docs" / "guides").glob("*.md") if path.stem != "README")
BLOCK = re.compile(r"`config\.yaml`:\n\n```yaml\n(.*?)```", re.DOTALL)

REST = {
    "agents": {"receptionist": {"engine": "openai", "instructions": "Be brief."}},
    "engines": {"openai": {}},
}


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.stem)
def test_what_a_guide_says_to_paste_can_be_loaded(page: Path, tmp_path: Path) -> None:
    (block,) = BLOCK.findall(page.read_text("utf-8"))
    path = tmp_path / "config.yaml"
    settings = yaml.safe_load(block) | REST
    if any(listen.startswith("tls:") for listen in settings.get("sip", {}).get("listen", [])):
        (tmp_path / "fullchain.pem").touch()
        settings["sip"]["tls"] = {"certificate": "fullchain.pem"}
    path.write_text(yaml.safe_dump(settings))
    config = load(path)
    assert [line.agent for line in config.lines] == ["receptionist"]


def test_every_guide_is_in_the_list() -> None:
    listed = (ROOT / "docs" / "guides" / "README.md").read_text("utf-8")
    assert [page.name for page in GUIDES if f"({page.name})" not in listed] == []
