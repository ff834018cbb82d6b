"""What went wrong, why, and how to mend it: three lines on stderr and an exit code."""

from __future__ import annotations

from dataclasses import dataclass

from broker_wf.errors import (
    BackpressureError,
    BrokerError,
    DeadLetterNotFoundError,
    LoadTargetError,
    NothingToRerunError,
    NoWorkerForStepError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    ServerRefusedError,
    ServerStartError,
    ServerUnreachableError,
    SettingsError,
    WorkflowConflictError,
)

RUN_FAILED = 1
USAGE = 2
CANNOT_IMPORT = 3
NO_SERVER = 4
NOT_FOUND = 5
CONFLICT = 6
TIMED_OUT = 7
CANCELLED = 8
NO_WORKER = 69
INTERRUPTED = 130

START_ERRORS = frozenset({USAGE, CANNOT_IMPORT, CONFLICT})
"""What a worker that could not start exits with, and would again."""

_GIVE_URL = "Start it, or give the address of another with --url or BROKER_WF_URL."


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure as a person reads it; empty lines are left out."""

    code: int
    what: str
    why: str = ""
    mend: str = ""

    def text(self) -> str:
        """The lines for stderr."""
        lines = [f"Error: {self.what}"]
        if self.why:
            lines.append(f"  why:  {_indented(self.why)}")
        if self.mend:
            lines.append(f"  mend: {_indented(self.mend)}")
        return "\n".join(lines)


class CommandError(Exception):
    """A verb gives up; nothing more is to be said than the failures it holds."""

    def __init__(self, *failures: Failure) -> None:
        super().__init__("; ".join(failure.what for failure in failures))
        self.failures = failures


def failure_of(error: BrokerError) -> Failure:
    """An error of the library in three lines."""
    match error:
        case ServerUnreachableError():
            what = f"no Redis server answers at {error.url}"
            return Failure(code=NO_SERVER, what=what, why=error.reason, mend=_GIVE_URL)
        case ServerRefusedError():
            what = f"the Redis server at {error.url} cannot be used"
            return Failure(code=NO_SERVER, what=what, why=error.reason, mend=error.cure)
        case ServerStartError():
            return Failure(code=NO_SERVER, what="the bundled server did not start", why=error.reason, mend=_GIVE_URL)
        case LoadTargetError():
            return Failure(code=CANNOT_IMPORT, what=f"cannot load {error.target!r}", why=error.reason)
        case SettingsError():
            return Failure(
                code=USAGE,
                what=f"setting {error.name} cannot be {error.value!r}",
                why=error.reason,
                mend="broker-wf config shows every setting and where its value comes from.",
            )
        case _:
            return _of_a_run(error)


def _of_a_run(error: BrokerError) -> Failure:
    match error:
        case RunNotFoundError():
            return Failure(
                code=NOT_FOUND,
                what=f"there is no run {error.run_id!r}",
                why="the id is wrong, it lives in another namespace or on another server, or it is kept no longer",
                mend="broker-wf runs ls shows the runs there are; --namespace and --url say where to look.",
            )
        case DeadLetterNotFoundError():
            return Failure(code=NOT_FOUND, what=str(error), mend="broker-wf dlq ls shows those there are.")
        case RunConflictError() | WorkflowConflictError() | RunEndedError() | NothingToRerunError():
            return Failure(code=CONFLICT, what=str(error))
        case NoWorkerForStepError():
            return Failure(code=NO_WORKER, what=str(error))
        case BackpressureError():
            return Failure(code=RUN_FAILED, what="the run was not accepted", why=error.reason, mend="Try again later.")
        case _:
            return Failure(code=RUN_FAILED, what=str(error))


def _indented(text: str) -> str:
    return text.replace("\n", "\n        ")
