"""What the command line refuses before anything is started."""

import pytest

from sipagent.cli import main


def test_a_fault_script_with_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "--faults", "slow_session seconds=1; sulk"]) == 2
    assert "no fault is named 'sulk'" in capsys.readouterr().err


def test_a_missing_configuration_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "/no/such/config.yaml"]) == 2
    assert "/no/such/config.yaml" in capsys.readouterr().err
