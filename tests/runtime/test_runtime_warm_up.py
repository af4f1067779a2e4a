"""After the warm-up, a fold loads and compiles nothing any more."""

import subprocess
import sys

import pytest

_SCRIPT = """

from undertow.features.catalogue import FEATURES
from undertow.features.engine import FeatureEngine
from undertow.frames.sampler import Sampler, SamplerSettings
from undertow.runtime.warm_up import load_kernels
from undertow.venues.mappers import mapper_of
from undertow.market.instruments import Instrument
from undertow.venues.simulated.capture import simulate_capture

instrument = Instrument("{venue}", "BTCUSDT", "0.10", "0.001")
settings = SamplerSettings()
load_kernels("{venue}", settings)
print("LOADED", flush=True)
capture = simulate_capture(symbol="BTCUSDT", seed=1, signal=0.0, seconds=65)
lines = b"".join(b"%d %s\\n" % line for line in capture)
print("GENERATED", flush=True)
sampled = Sampler(instrument, settings).feed(mapper_of(instrument).map(lines).batch)
blocks = [FeatureEngine(FEATURES, length).push(frames) for length, frames in sampled.frames.items()]
assert sum(map(len, blocks)) > 30
"""


@pytest.mark.parametrize("venue", ["sim", "binance-usdm"])
def test_a_fold_loads_nothing_more(venue: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(venue=venue)],
        env={"NUMBA_DEBUG_CACHE": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = done.stdout.split("GENERATED")
    loaded = [line for line in before.split("LOADED")[0].splitlines() if "data loaded" in line]
    late = [line for line in after.splitlines() if "data loaded" in line or "data saved" in line]
    assert len(loaded) >= 15 or "data saved" in before
    assert not late
