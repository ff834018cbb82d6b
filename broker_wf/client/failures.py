"""What only clients run into."""

from __future__ import annotations

from broker_wf.errors import BrokerError, without_password


class WorkflowNotFoundError(BrokerError):
    """A client asks for a workflow that is not known there; nothing was written.

    Attributes:
        where: the namespace, or the server.
        known: the workflows that are.
    """

    def __init__(self, name: str, where: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"workflow {name!r} is not known to {where}, which knows: {', '.join(known) or 'none'}. Is the name right? "
            f"It is known once a worker has served it, and to an HTTP server if that was given its code"
        )
        self.name = name
        self.where = where
        self.known = known


class RequestRefusedError(BrokerError):
    """A server of workflows refused what a client asked for; nothing was done.

    Attributes:
        url: of the server.
        status: of its answer.
        cure: what to change; may be empty.
    """

    def __init__(self, url: str, status: int, reason: str, cure: str) -> None:
        shown = without_password(url)
        super().__init__(f"the server at {shown} refused the request with status {status}: {reason}. {cure}".rstrip())
        self.url = shown
        self.status = status
        self.reason = reason
        self.cure = cure
