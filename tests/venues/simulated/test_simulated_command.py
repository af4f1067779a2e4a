"""`undertow sim` as a process."""

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from undertow.cli.sim import sim
from undertow.errors import InputError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly_when_told(number: signal.Signals) -> None:
    code = "import typer; from undertow.cli.sim import sim; typer.run(sim)"
    options = ["--symbols", "ethusdt", "--start", "2026-01-05T23:59:00Z", "--speed", "max"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert ready["symbols"] == ["ETHUSDT"]
        assert ready["url"].startswith("http://127.0.0.1:")
        with urllib.request.urlopen(ready["url"] + "/fapi/v1/time", timeout=10) as answer:  # noqa: S310 - loopback
            assert json.load(answer) == {"serverTime": 1_767_657_540_000}
        process.send_signal(number)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("option", "words"), [({"speed": "fast"}, "--speed 'fast'"), ({"start": "now"}, "--start 'now'")]
)
def test_bad_options_are_named(option: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        sim(**option)  # type: ignore[arg-type]
