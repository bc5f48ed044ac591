"""Fixtures that tests of more than one package share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # how long an example takes says something of the machine only


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The directory of other projects' test data, read in place; without it the test is skipped."""
    path = Path(os.environ.get("SIPAGENT_CORPORA") or Path(__file__).parents[2] / "shared" / "corpora")
    if not path.is_dir():
        pytest.skip("no corpora: set SIPAGENT_CORPORA to their directory")
    return path
