"""`undertow audit`: is a decision log whole?"""

from pathlib import Path
from typing import Annotated

import typer

from undertow.cli.options import AsJson, show
from undertow.errors import InputError

__all__ = ["audit"]


def audit(
    action: Annotated[str, typer.Argument(help="verify")],
    log: Annotated[Path, typer.Argument(help="The log, such as demo/audit.jsonl.")],
    as_json: AsJson = False,
) -> None:
    """Prove that LOG is whole; exit code 1 and the first bad record where it is not."""
    from undertow.runtime.audit import verify

    if action != "verify":
        raise InputError(f"audit {action!r}: the one action is verify")
    if not log.is_file():
        raise InputError(f"{log}: no such log")
    bad = verify(log)
    show({"log": str(log), "whole": bad is None, "first_bad_record": bad}, f"Audit of {log}", as_json=as_json)
    if bad is not None:
        raise typer.Exit(1)
