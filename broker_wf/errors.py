"""Every exception of the library.

The names of ``llama-index-workflows``, each directly under ``Exception``::

    WorkflowValidationError         a step signature or the graph is wrong
    WorkflowConfigurationError      a workflow cannot start: no start, no stop
    WorkflowRuntimeError            a step or an event was misused during a run
    WorkflowTimeoutError            a run took longer than its timeout
    WorkflowCancelledByUser         a run was cancelled
    WorkflowDone                    ends a worker of a run
    WorkflowStepDoesNotExistError   a step was named that the workflow does not have
    ContextSerdeError               a saved context cannot be read
    ContextStateError               a Context method in the wrong place

What a distributed engine adds::

    BrokerError
    ├── ServerStartError            the bundled server did not start
    ├── ServerUnreachableError      no server answers at the URL
    ├── ServerRefusedError          the server cannot be used as it is
    ├── LeaseLostError              the delivery belongs to somebody else now
    ├── RunEndedError               the run has ended; nothing was written
    ├── DeadLetterNotFoundError     the dead letter is not there
    ├── NothingToRerunError         the run cannot be done again, or not from there; nothing was written
    ├── RunNotFoundError            no such run, or its record has expired
    ├── AmbiguousRunIdError         several runs have an id that begins so
    ├── RunConflictError            the run id is taken by another start event
    ├── RunOptionError              the workflow cannot give its runs what was asked for; nothing was written
    ├── WorkflowConflictError       two classes under one workflow name
    ├── EncodeError                 a value cannot travel
    ├── DecodeError                 bytes are not what they should be
    ├── LimitExceededError          too large, too deep, too many
    ├── PoisonError                 a delivery whose workers died too often
    ├── NoWorkerForStepError        nobody alive can execute the run's version
    ├── EventsTrimmedError          the feed no longer has the events asked for
    ├── StepTimeoutError            an execution took longer than ``@step(timeout=)``
    ├── RemoteError                 an exception that could not be rebuilt here
    ├── BackpressureError           the server takes no new runs now
    ├── SettingsError               a setting has a value it cannot have
    └── LoadTargetError             MODULE:ATTR gives no workflow
"""

from __future__ import annotations

import re


class WorkflowValidationError(Exception):
    """A step signature or the graph of a workflow is wrong."""


class WorkflowConfigurationError(Exception):
    """A workflow cannot run as it is configured: no steps, no start or no stop event."""


class WorkflowRuntimeError(Exception):
    """A step returned, sent or asked for something it may not."""


class WorkflowTimeoutError(Exception):
    """A run took longer than its workflow's timeout."""


class WorkflowCancelledByUser(Exception):
    """The run was cancelled; raised by awaiting its handler."""


class WorkflowDone(Exception):
    """Control flow: a run's work is over."""


class WorkflowStepDoesNotExistError(Exception):
    """A step was named that the workflow does not have."""


class ContextSerdeError(Exception):
    """A saved context is malformed or of a newer version."""


class ContextStateError(Exception):
    """A Context method was called where it is not available: before the run, in a step, in a handler."""


class BrokerError(Exception):
    """What only a distributed engine can run into."""


class ServerStartError(BrokerError):
    """The bundled server did not start; no process was left behind."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the bundled server did not start: {reason}. Give the address of a running Redis >= 7.0 in "
            f"BROKER_WF_URL, or mend what is named here"
        )
        self.reason = reason


class ServerUnreachableError(BrokerError):
    """No server answers at the URL.

    Attributes:
        url: without its password.
    """

    def __init__(self, url: str, reason: str) -> None:
        shown = without_password(url)
        kind, said = (
            ("server of workflows", "the URL") if shown.startswith("http") else ("Redis server", "BROKER_WF_URL")
        )
        super().__init__(f"no {kind} answers at {shown}: {reason}. Is it running, and is {said} right?")
        self.url = shown
        self.reason = reason


class ServerRefusedError(BrokerError):
    """The server answers but cannot be used: version, eviction policy, password, replica.

    Attributes:
        url: without its password.
        cure: what to change so that it can be used.
    """

    def __init__(self, url: str, reason: str, cure: str) -> None:
        shown = without_password(url)
        super().__init__(f"the Redis server at {shown} cannot be used: {reason}. {cure}")
        self.url = shown
        self.reason = reason
        self.cure = cure


class LeaseLostError(BrokerError):
    """The delivery was given to somebody else, or its run has ended; what was refused was not written."""

    def __init__(self, delivery_id: str, reason: str = "its lease ran out and another worker has it") -> None:
        super().__init__(f"delivery {delivery_id} is no longer ours: {reason}; nothing was written")
        self.delivery_id = delivery_id
        self.reason = reason


class RunEndedError(BrokerError):
    """The run had ended before the call; nothing was written."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id} has already ended: {status}; nothing was written")
        self.run_id = run_id
        self.status = status


class NothingToRerunError(BrokerError):
    """The run cannot be done again, or not from there; nothing was written."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(f"run {run_id} cannot be done again so: {reason}")
        self.run_id = run_id
        self.reason = reason


class DeadLetterNotFoundError(BrokerError):
    """There is no such dead letter."""

    def __init__(self, letter_id: str) -> None:
        super().__init__(f"there is no dead letter {letter_id}: it was dropped, or was retried before")
        self.letter_id = letter_id


class RunNotFoundError(BrokerError):
    """There is no record of the run."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"no run {run_id} is known here: the id is wrong, it lives in another namespace, or its record has expired"
        )
        self.run_id = run_id


class AmbiguousRunIdError(BrokerError, ValueError):
    """Several runs have an id that begins so; nothing was written.

    Attributes:
        run_id: what was asked for.
        candidates: some of those ids.
    """

    def __init__(self, run_id: str, candidates: tuple[str, ...]) -> None:
        some = ", ".join(candidates)
        super().__init__(f"several runs have an id that begins with {run_id!r}, such as {some}; write more of it")
        self.run_id = run_id
        self.candidates = candidates


class RunConflictError(BrokerError):
    """The run id belongs to a run with another start event; that run was not touched."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run id {run_id} is taken by a run with another start event; choose another id, or attach to "
            f"that run with the start event it was given"
        )
        self.run_id = run_id


class RunOptionError(BrokerError):
    """A run was to be started with an option that its workflow has no use for; nothing was written.

    Attributes:
        why: which option, and what mends it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class WorkflowConflictError(BrokerError):
    """Two different classes claim one workflow name in one namespace; ours was not registered.

    Attributes:
        ours: ``module:Qualname`` of the class here.
        theirs: that of the class which holds the name.
    """

    def __init__(self, name: str, ours: str, theirs: str) -> None:
        super().__init__(
            f"workflow name {name!r} is used by {theirs} in this namespace, so {ours} cannot have it; "
            f"give one of them its own workflow_name, or use another namespace"
        )
        self.name = name
        self.ours = ours
        self.theirs = theirs


class EncodeError(BrokerError):
    """A value cannot travel to another process; nothing was written.

    Attributes:
        event: name of the event class, or of the state.
        path: where in it, as in ``items[3].owner``.
        type_name: the class of the value there.
    """

    def __init__(self, event: str, path: str, type_name: str, reason: str) -> None:
        where = f"{event}.{path}" if path else event
        super().__init__(f"{where} of type {type_name} cannot be encoded: {reason}")
        self.event = event
        self.path = path
        self.type_name = type_name
        self.reason = reason


class DecodeError(BrokerError):
    """Bytes are malformed, of a newer version, or name a class that is not registered.

    Attributes:
        what: what was being read.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} cannot be decoded: {reason}")
        self.what = what
        self.reason = reason


class LimitExceededError(BrokerError):
    """Something is larger, deeper or more than the limit; nothing was written.

    Attributes:
        what: what is too large, with its unit.
    """

    def __init__(self, what: str, actual: int, limit: int) -> None:
        super().__init__(f"{what}: {actual:,} is over the limit of {limit:,}")
        self.what = what
        self.actual = actual
        self.limit = limit


class PoisonError(BrokerError):
    """The delivery's leases ran out too often: whoever starts it dies. Its run has failed.

    Attributes:
        crashes: leases that ran out.
        workers: who held them, in order.
    """

    def __init__(self, step: str, delivery_id: str, crashes: int, workers: tuple[str, ...] = ()) -> None:
        named = f" ({', '.join(workers)})" if workers else ""
        super().__init__(
            f"step {step!r} was given up after {crashes} workers{named} died or froze while executing delivery "
            f"{delivery_id}; the delivery is kept as a dead letter"
        )
        self.step = step
        self.delivery_id = delivery_id
        self.crashes = crashes
        self.workers = workers


class NoWorkerForStepError(BrokerError):
    """No live worker has the version of the workflow that the run is pinned to.

    Attributes:
        digest: of the graph that is needed.
    """

    def __init__(self, workflow: str, step: str, digest: str) -> None:
        super().__init__(
            f"no live worker can execute step {step!r} of workflow {workflow!r} in version {digest}; start a "
            f"worker with the code the run was started with"
        )
        self.workflow = workflow
        self.step = step
        self.digest = digest


NoWorkerForStep = NoWorkerForStepError


class EventsTrimmedError(BrokerError):
    """A reader of the feed fell behind what is kept.

    Attributes:
        first_missing: sequence of the first event that is gone.
    """

    def __init__(self, first_missing: int) -> None:
        super().__init__(
            f"events from sequence {first_missing} on were trimmed from the feed before they were read; "
            f"read faster, or raise the number of events that are kept"
        )
        self.first_missing = first_missing


class StepTimeoutError(BrokerError):
    """An execution was stopped at the step's own timeout; it counts as a failure of the attempt."""

    def __init__(self, step: str, timeout_ms: int) -> None:
        super().__init__(f"step {step!r} was stopped after its timeout of {timeout_ms / 1000:g} seconds")
        self.step = step
        self.timeout_ms = timeout_ms


class RemoteError(BrokerError):
    """Stands for an exception of another process that could not be rebuilt here.

    Attributes:
        type_name: qualified name of the class raised there.
        message: its text; ``str()`` of this error too.
        traceback_text: as printed there; empty if unknown.
    """

    def __init__(self, type_name: str, message: str, traceback_text: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text

    def __repr__(self) -> str:
        """Show the class that was raised there."""
        return f"RemoteError({self.type_name!r}, {self.message!r})"


class BackpressureError(BrokerError):
    """The server takes no new runs now; the run was not accepted and may be submitted again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the run was not accepted: {reason}; runs accepted before go on, try again later")
        self.reason = reason


class SettingsError(BrokerError):
    """A setting has a value it cannot have.

    Attributes:
        name: of the setting, as the user wrote it.
    """

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(f"setting {name} cannot be {value!r}: {reason}")
        self.name = name
        self.value = value
        self.reason = reason


class LoadTargetError(BrokerError):
    """MODULE:ATTR cannot be imported or is not a workflow.

    Attributes:
        target: as given.
    """

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"cannot load {target!r}: {reason}")
        self.target = target
        self.reason = reason


def without_password(url: str) -> str:
    """Return the URL as it may be shown: passwords in the authority and in the query are starred."""
    shown = re.sub(r"://([^:@/]*):.*@", r"://\1:***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", shown)
