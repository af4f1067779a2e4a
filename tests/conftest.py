"""Where recorded data lies, how tests that need it skip, and the table of fault scenarios."""

import os
import re
from collections.abc import Iterator
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--scenario-table FILE`: write the results of all fault scenarios as a page of the documentation."""
    parser.addoption("--scenario-table", default=None, type=Path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note which scenarios a test plays; reports travel between worker processes, markers do not."""
    report = yield
    for marker in item.iter_markers("scenario"):
        report.user_properties.append(("scenario", (*marker.args, item.nodeid)))  # type: ignore[attr-defined]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the table, if it was asked for."""
    path = config.getoption("--scenario-table")
    if path is None:
        return
    rows: dict[tuple[str, str, str], str] = {}
    for outcome, reports in terminalreporter.stats.items():
        if outcome not in {"passed", "failed", "skipped"}:
            continue
        for report in reports:
            for name, value in getattr(report, "user_properties", []):
                if name == "scenario":
                    identity, text, test = value
                    test = re.sub(r"\[.*", "", test)
                    key = (identity, text, test)
                    rows[key] = "failed" if "failed" in (outcome, rows.get(key)) else outcome
    lines = [f"| {key[0]} | {key[1]} | `{key[2]}` | {rows[key]} |" for key in sorted(rows, key=_order)]
    head = path.read_text().partition("<!-- table -->")[0] if path.exists() else ""
    path.write_text(
        f"{head}<!-- table -->\n| id | what happens, and what must hold | test | result |\n"
        "| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n"
    )


def _order(key: tuple[str, str, str]) -> tuple[str, int, str, str]:
    letter, number = re.fullmatch(r"([A-Z]+)(\d+)", key[0]).groups()  # type: ignore[union-attr]
    return letter, int(number), key[1], key[2]
