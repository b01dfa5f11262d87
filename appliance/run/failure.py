"""An error as fields of an event, and back: what happened, why, what to do next, and the exit code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.errors import (
    ApplianceError,
    BadInput,
    DamagedBundle,
    HostNotReady,
    StepFailed,
    UntrustedBundle,
)
from appliance.sentence import from_document, to_document

BY_EXIT_CODE: dict[int, type[ApplianceError]] = {
    kind.exit_code: kind for kind in (UntrustedBundle, DamagedBundle, HostNotReady, BadInput, StepFailed)
}


def failure_fields(error: ApplianceError) -> dict[str, Any]:
    """The fields of a `failed` event that tells of `error`."""
    return {
        "what": to_document(error.what),
        "why": to_document(error.why),
        "next_step": to_document(error.next_step),
        "exit_code": error.exit_code,
    }


def error_of(fields: Mapping[str, Any]) -> ApplianceError:
    """The error that the fields of a `failed` event tell of."""
    code = fields.get("exit_code")
    kind = BY_EXIT_CODE.get(code, ApplianceError) if isinstance(code, int) else ApplianceError
    what, why, next_step = (from_document(fields.get(name)) for name in ("what", "why", "next_step"))
    return kind(what, why=why, next_step=next_step)


def place_of(error: BaseException) -> str:
    """Where `error` was raised, as `file.py:line`: what may be told of it where its words may quote a row."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
