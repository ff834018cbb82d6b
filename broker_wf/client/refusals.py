"""What a server refuses, as the error that whoever asks Redis itself would get."""

from __future__ import annotations

from broker_wf.client.failures import RequestRefusedError, WorkflowNotFoundError
from broker_wf.errors import (
    AmbiguousRunIdError,
    BackpressureError,
    BrokerError,
    DeadLetterNotFoundError,
    NothingToRerunError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    RunOptionError,
)

_CURES = {
    401: "Give the client the server's token: token=…",
    403: "The server, or the token, is for looking only; ask with the token that may do everything.",
    404: "Is the URL right, with the root path under which the server is mounted?",
    413: "Send less, or raise the limit of the server: --max-body.",
}


def refusal_of(url: str, status: int, kind: str, detail: str, about: str) -> BrokerError:
    """The error of a refused request.

    Args:
        kind: ``error`` of the answer.
        detail: its ``detail``.
        about: the run that was asked for.
    """
    match kind:
        case "RunNotFoundError":
            return RunNotFoundError(about)
        case "AmbiguousRunIdError":
            return AmbiguousRunIdError(about, tuple(_between(detail, "such as ", ";").split(", ")))
        case "RunConflictError":
            return RunConflictError(about)
        case "RunOptionError":
            return RunOptionError(detail)
        case "RunEndedError":
            return RunEndedError(about, _between(detail, "already ended: ", ";"))
        case "BackpressureError":
            return BackpressureError(_between(detail, "not accepted: ", ";"))
        case "NothingToRerunError":
            return NothingToRerunError(about, _between(detail, "again so: ", "\0"))
        case "DeadLetterNotFoundError":
            return DeadLetterNotFoundError(_between(detail, "dead letter ", ":"))
        case "WorkflowNotServed":
            name, known = _between(detail, "workflow '", "'"), _between(detail, "it has: ", "\0")
            return WorkflowNotFoundError(name, f"the server at {url}", tuple(known.split(", ")))
        case _:
            return RequestRefusedError(url, status, detail or kind, _CURES.get(status, ""))


def _between(text: str, before: str, behind: str) -> str:
    """What stands behind one text and before the other; all of it where they are not there."""
    head, found, rest = text.partition(before)
    return rest.partition(behind)[0] if found else head
