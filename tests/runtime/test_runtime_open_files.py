import subprocess
import sys

import pytest

PROGRAM = """
import resource, tempfile
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
from undertow.errors import InputError
from undertow.runtime.open_files import allow_open_files
try:
    allow_open_files({count})
    files = [tempfile.TemporaryFile() for _ in range({count} - 20)]
    print(len(files))
except InputError as error:
    print(error)
"""


@pytest.mark.scenario(
    "S14", "more symbols than files may be open: the limit is raised, or it is said what to do"
)
@pytest.mark.parametrize(
    ("count", "hard", "said"),
    [
        (500, 1000, "480"),
        (2000, 1000, "2,000 files must be open at once, and this process may open 1,000; raise the limit"),
        (40, 1000, "20"),
    ],
)
def test_the_limit_is_raised_or_named(count: int, hard: int, said: str) -> None:
    program = PROGRAM.format(count=count, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(said)
