import subprocess
import sys

PROGRAM = """
import sys
import pyarrow as pa
from undertow.runtime.lean_memory import use_lean_memory
use_lean_memory()
table = pa.table({"x": list(range(1000))})
print(any(name in sys.modules for name in ("pandas", "scipy")))
print(pa.default_memory_pool().backend_name, pa.default_memory_pool().bytes_allocated() > 0)
"""


def test_tables_are_made_in_the_memory_of_the_c_library_and_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "system", "True"]
