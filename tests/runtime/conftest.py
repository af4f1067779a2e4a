"""The exchange of the feed's tests serves the collector's tests too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "venues" / "binance"))
