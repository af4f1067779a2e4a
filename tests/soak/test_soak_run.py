"""The soak in small: what `make soak` does in twenty minutes, for half an hour of market."""

import json
from pathlib import Path

import pytest

from tests.soak.run import main


@pytest.mark.scenario(
    "X4", "a soak of minutes with faults and two kills: none lost, none twice (make soak: half a day)"
)
def test_a_short_soak(tmp_path: Path) -> None:
    main(hours=0.5, speed=36.0, seed=3, kills=2, symbols="BTCUSDT,ETHUSDT", folder=tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kills"] == 2
    assert report["faults"] >= 3
    for found in report["symbols"].values():
        assert found["sent"] == found["stored"] > 5000
        assert (found["lost"], found["twice"], found["wrong_minutes"]) == (0, 0, 0)
