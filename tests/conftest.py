"""Where recorded data lies, and how tests that need it skip."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of recorded exchange data; tests that ask for it skip where it is absent."""
    folder = Path(os.environ.get("UNDERTOW_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "captures").is_dir():
        pytest.skip(f"no recorded data in {folder}; set UNDERTOW_DATA")
    return folder
