"""ApprovalFlow: draft, ask a person, revise or publish.

    draft ─▶ ask ─▶ publish ─▶ the end
              ▲ │
    revise ───┘ └─▶ revise

While ``ask`` waits it holds no worker: all of them may stop, and the answer may come days later from any machine.
Serve it with ``broker-wf worker apps.approval.app:workflow``, use it with ``driver.py``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from apps.approval.events import Answer, ApprovalStart, Approved, Drafted, Question, Rejected
from apps.approval.piece import Piece, publish, revised, text_of
from broker_wf import Context, Workflow, step
from broker_wf.events import StopEvent
from broker_wf.retry_policy import retry_if_exception_type, retry_policy, stop_after_attempt, wait_exponential

_DISK_AGAIN = retry_policy(
    retry=retry_if_exception_type(OSError), wait=wait_exponential(max=30), stop=stop_after_attempt(5)
)


class ApprovalFlow(Workflow):
    """Publishes a text that a person has approved.

    The result is a dict that JSON can hold: ``status`` (published, or unanswered), ``version`` and, if published,
    ``path`` and ``by``.
    """

    @step
    async def draft(self, ev: ApprovalStart) -> Drafted:
        """Make the first version. A model would be asked here, and in ``revise``."""
        return Drafted(start=ev, piece=Piece(title=ev.title, points=ev.points), version=1)

    @step
    async def ask(self, ctx: Context, ev: Drafted) -> Approved | Rejected | StopEvent:
        """Wait for a person's answer to this version."""
        try:
            answer = await ctx.wait_for_event(
                Answer,
                waiter_event=Question(version=ev.version, text=text_of(ev.piece), remarks=ev.piece.remarks),
                waiter_id=f"version {ev.version}",
                requirements={"version": ev.version},
                timeout=ev.start.patience_s,
            )
        except asyncio.TimeoutError:
            return StopEvent(result={"status": "unanswered", "version": ev.version})
        if answer.approve:
            return Approved(start=ev.start, piece=ev.piece, version=ev.version, by=answer.by)
        return Rejected(start=ev.start, piece=ev.piece, version=ev.version, comment=answer.comment)

    @step
    async def revise(self, ev: Rejected) -> Drafted:
        """Make the next version."""
        return Drafted(start=ev.start, piece=revised(ev.piece, ev.comment), version=ev.version + 1)

    @step(retry_policy=_DISK_AGAIN)
    async def publish(self, ctx: Context, ev: Approved) -> StopEvent:
        """Write the file; a start after a crash or an error of the disk finds the one that is there."""
        path, _ = await asyncio.to_thread(publish, ev.piece, Path(ev.start.folder), ctx.idempotency_key)
        return StopEvent(result={"status": "published", "version": ev.version, "path": str(path), "by": ev.by})


workflow = ApprovalFlow(timeout=None)
