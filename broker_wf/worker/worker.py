"""A worker: claims, executes, renews, sweeps; drains when told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

from broker_wf.broker.broker import Broker
from broker_wf.broker.clients import end_tasks
from broker_wf.broker.deliveries import Ended
from broker_wf.broker.roster import groups_of
from broker_wf.core.clock import Clock, SystemClock
from broker_wf.core.delivery import Delivery
from broker_wf.core.ids import Lane, WorkerId
from broker_wf.core.loop_turns import Turns
from broker_wf.core.tasks import begin_apart
from broker_wf.engine.attempt import execute
from broker_wf.engine.invocation import STOP_WITHIN_S
from broker_wf.engine.program import Program
from broker_wf.engine.site import Grants, Site
from broker_wf.errors import BrokerError
from broker_wf.settings import Settings
from broker_wf.worker.active import Active, ActiveSet, Once
from broker_wf.worker.apart import LeaseProcess
from broker_wf.worker.claimer import Claimer
from broker_wf.worker.going_on import GoingOn
from broker_wf.worker.lasting import lasting
from broker_wf.worker.leases import LeaseKeeper, LeaseThread
from broker_wf.worker.log_fields import begin_logging, listen_to_logs
from broker_wf.worker.mailbox import Mailbox, Message
from broker_wf.worker.pulse import Pulse
from broker_wf.worker.run_logs import RunLogs
from broker_wf.worker.services import Served, Services
from broker_wf.worker.slots import Slots
from broker_wf.worker.substitute import Substitute
from broker_wf.worker.sweeper import Sweeper

log = logging.getLogger("broker_wf.worker")

STEP_THREADS = "broker-wf-step"
"""What the names of threads begin with in which steps run that are not async."""
_AT_ONCE = 16
"""Of what was claimed together so many begin in one turn: what they commit is on its way while the next execute."""
_STOP_GRACE_S = 2.0
"""How long a worker that has drained may take to leave; without a server it goes without a word."""
_LAST_WORDS_S = 0.5
_SHORT_TIMEOUT_MS = 10_000
"""Runs that may not take longer are timed out to the millisecond, others at the next sweep."""


class Worker:
    """Executes the deliveries of the workflows it serves, in one event loop.

    Attributes:
        spoiled: set when a step's code cannot be stopped; whoever owns the process should replace it.
    """

    def __init__(self, broker: Broker, settings: Settings, clock: Clock | None = None, *, apart: bool = False) -> None:
        """Prepare; :meth:`start` begins. Must be made inside the event loop.

        Args:
            apart: its leases are renewed by a process of their own.
        """
        self.id = WorkerId(f"{socket.gethostname()[:16]}-{os.getpid()}-{secrets.token_hex(2)}")
        self._broker, self._settings, self._clock = broker, settings, clock or SystemClock()
        self._served = Services()
        self._active = ActiveSet()
        self._ending = self._done = 0
        self._pulse = Pulse(
            broker=broker,
            settings=settings,
            clock=self._clock,
            worker=self.id,
            served=self._served,
            counts=lambda: (len(self._active), self._done + self._going_on.executed),
        )
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix=STEP_THREADS)
        self._grants, self._turns = Grants(), Turns(_AT_ONCE)
        self._claimer = Claimer(
            store=broker.claims,
            worker=self.id,
            read_ms=settings.block_ms + settings.socket_timeout_ms,
            concurrency=settings.concurrency,
            lease_ms=settings.lease_ms,
            held=self._held,
            is_idle=lambda: self._held() == 0 and self._slots.away == 0,
            frail_at=max(1, settings.max_crashes - 1),
            holds_frail=self._holds_frail,
            start=self._start_delivery,
            idle=lambda: self._mailbox.listen(),
            settled=lambda: self._slots.grant(),
            pass_on=self._pass_on,
        )
        self._slots = Slots(is_free=self._has_slot, given=self._claimer.ask)
        self._mailbox = Mailbox(
            broker=broker,
            worker=self.id,
            claimer=self._claimer,
            on_message=self._take_message,
        )
        self._sweeper = Sweeper(broker=broker, settings=settings, on_work=self._claimer.ask, groups=self._served.groups)
        keeper = LeaseProcess if apart else LeaseThread
        self._leases: LeaseKeeper = keeper(broker, settings, self._active, self._lost)
        self._tasks: list[asyncio.Task[None]] = []
        self._executing: set[asyncio.Task[None]] = set()
        self._logs = RunLogs(store=broker.logs, worker=self.id, most=settings.run_logs)
        self.spoiled = asyncio.Event()
        self._going_on = self._new_going_on()
        self._substitute = self._new_substitute()
        self._site = self._new_site()

    def _new_going_on(self) -> GoingOn:
        return GoingOn(
            active=self._active,
            claimer=self._claimer,
            leases=self._leases,
            ending=self._logs.flush,
            start=self._start_delivery,
            give_back=lambda one: self._run(self._give_back(one)),
        )

    def _new_substitute(self) -> Substitute:
        return Substitute(
            roster=self._broker.roster,
            settings=self._settings,
            clock=self._clock,
            served=self._served,
            serve=self.serve,
            is_idle=lambda: len(self._active) == 0,
        )

    def _new_site(self) -> Site:
        return Site(
            broker=self._broker,
            worker=self.id,
            grants=self._grants,
            threads=self._threads,
            is_busy=lambda: self._claimer.is_full,
            timer_set=self._sweeper.look_in,
            work_made=self._claimer.ask,
            slots=self._slots,
            settings=self._settings,
            clock=self._clock,
            serve=self._substitute.begun,
            stuck=self._spoil,
            keep=self._going_on.keep,
            kept=self._going_on.kept,
            went_on=self._going_on.went_on,
            followed=self._going_on.followed,
            context_of=self._context_of,
        )

    async def serve(self, served: Served) -> None:
        """Register a workflow and claim its deliveries from now on, or once the worker has started.

        Raises:
            WorkflowConflictError: another class holds the workflow's name; nothing was changed.
        """
        await self._pulse.register(served)
        self._served.add(served)
        self._offer()
        await self._pulse.beat(served)
        if self._tasks:
            await self._mailbox.poke()
            self._claimer.ask()

    async def retire(self, lane: Lane) -> None:
        """Serve a private lane no longer; no run may be alive in it. Its keys go."""
        served = self._served.remove(lane)
        if served is None:
            return
        self._offer()
        await self._drop_lanes(served)

    async def _drop_lanes(self, served: Served) -> None:
        for lane in served.lanes:
            await self._broker.roster.keep_lane(lane, 0, groups_of(served.program.spec, lane))

    def _offer(self) -> None:
        """Claim from the lanes that are served now, and hear their bells."""
        self._claimer.serve(self._served.offers())
        self._mailbox.hear(self._served.lanes())

    def _pass_on(self, lanes: list[Lane]) -> None:
        self._run(self._mailbox.ring(lanes))

    def start(self) -> None:
        """Begin to claim, renew, sweep."""
        loop = asyncio.get_running_loop()
        jobs = {
            "mailbox": self._mailbox.run,
            "sweep": self._sweeper.sweep_for_ever,
            "audit": self._sweeper.audit_for_ever,
            "heartbeat": self._pulse.beat_for_ever,
            "look at the workflows of child runs": self._substitute.look_for_ever,
            "health file": self._pulse.prove_health,
        }
        self._tasks = [loop.create_task(lasting(what, job, self._clock)) for what, job in jobs.items()]
        if self._settings.run_logs:
            listen_to_logs()
        self._leases.start()
        self._claimer.ask()

    def ask(self) -> None:
        """There may be work: claim without waiting for the bell."""
        self._claimer.ask()

    async def stop(self, drain_ms: int) -> None:
        """Stop claiming, let the steps go on for ``drain_ms``, hand the rest back, leave the roster.

        Takes at most 2 s longer than that, whether or not there still is a server. What could not be handed back then
        comes to others when its lease runs out.
        """
        loop = asyncio.get_running_loop()
        drained_by = loop.time() + drain_ms / 1000
        await self._claimer.close()
        await self._drain(max(0.0, drained_by - loop.time()))
        leaving = loop.create_task(self._leave())
        await asyncio.wait([leaving], timeout=max(_LAST_WORDS_S, drained_by + _STOP_GRACE_S - loop.time()))
        await end_tasks([leaving, *self._tasks])
        await self._leases.close()
        await self._mailbox.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, patience_s: float) -> None:
        waiting = [one.task for one in self._active.all() if one.task is not None and one.stopped is None]
        if waiting and patience_s > 0:
            log.info("draining: %d deliveries have %d ms to finish", len(waiting), patience_s * 1000)
            await asyncio.wait(waiting, timeout=patience_s)

    async def _leave(self) -> None:
        try:
            await self._hand_back()
            if self._executing:
                # Some have ended and are just giving their places back.
                await asyncio.wait(list(self._executing), timeout=_LAST_WORDS_S)
            await self._sweeper.close()
            await end_tasks(self._tasks)
            await self._say_goodbye()
        except BrokerError as error:
            log.warning("left without a goodbye: %s", error)
        except asyncio.CancelledError:
            log.warning("left without a goodbye: the server does not answer")
            raise

    async def _hand_back(self) -> None:
        rest = self._active.all()
        if not rest:
            return
        log.info("handing %d deliveries back", len(rest))
        for one in rest:
            self._stop(one, "drain")
        await asyncio.wait([one.task for one in rest if one.task is not None], timeout=_LAST_WORDS_S)
        await self._broker.deliveries.release([one.delivery for one in rest])
        for one in rest:
            await self._broker.deliveries.free_places(one.lane, [one.delivery])

    async def _say_goodbye(self) -> None:
        await self._broker.roster.goodbye(self.id, self._served.lanes(), self._served.groups())
        for one in self._served.all():
            if one.private:
                await self._drop_lanes(one)

    def _holds_frail(self) -> bool:
        return any(one.delivery.crashes >= self._claimer.frail_at for one in self._active.all())

    def _held(self) -> int:
        # An end on its way may be refused and the step begin anew, under the same lease and in no place: not too many.
        return len(self._active) - min(self._ending, self._settings.concurrency) - self._slots.away

    def _has_slot(self) -> bool:
        return self._held() + self._claimer.promised < self._settings.concurrency

    def _start_delivery(self, delivery: Delivery) -> None:
        served = self._served.get(delivery.lane)
        if served is None:
            log.error("step %s of %s was claimed and is not served here", delivery.step, delivery.workflow)
            return
        if 0 < delivery.timeout_ms < _SHORT_TIMEOUT_MS:
            self._sweeper.look_in(delivery.timeout_ms)
        begun = served.begun(delivery.run_id)
        active = Active(delivery, served.lane, begun.program.spec.steps[delivery.step].timeout_ms)
        self._active.add(active)
        self._leases.begins(active)
        active.task = self._run(self._execute(active, begun.program), begun.context)

    def _run(self, what: Coroutine[object, object, None], context: Context | None = None) -> asyncio.Task[None]:
        """Do it beside the rest; the worker does not leave before it is done."""
        task = begin_apart(what, context)
        self._executing.add(task)
        task.add_done_callback(self._executing.discard)
        return task

    def _context_of(self, delivery: Delivery) -> Context:
        served = self._served.get(delivery.lane)
        context = Context() if served is None else served.begun(delivery.run_id).context.copy()
        context.run(begin_logging, delivery, self.id, self._logs.take if self._settings.run_logs else None)
        return context

    async def _give_back(self, delivery: Delivery) -> None:
        try:
            await self._broker.deliveries.release([delivery])
        except BrokerError as error:
            log.warning("step %s of run %s was not handed back: %s", delivery.step, delivery.run_id, error)

    async def _execute(self, active: Active, program: Program) -> None:
        delivery, loop = active.delivery, asyncio.get_running_loop()
        began = loop.time()
        before_ms = delivery.started_ms - delivery.first_started_ms
        begin_logging(delivery, self.id, self._logs.take if self._settings.run_logs else None)
        log.debug("step %s of run %s begins, attempt %d", delivery.step, delivery.run_id, delivery.attempt)
        leaving = Once(self._begin_ending)
        ended: Ended | None = None
        try:
            await self._turns.own()
            ended = await execute(
                program,
                self._site,
                delivery,
                lambda: before_ms + round((loop.time() - began) * 1000),
                leaving,
            )
        except asyncio.CancelledError:
            if active.stopped is None:
                raise
        except BrokerError as error:
            log.error("step %s of run %s was given up here: %s", delivery.step, delivery.run_id, error)
        finally:
            self._finished(active, leaving)
        delivery = active.delivery
        if ended in (Ended.DONE, Ended.WAITING):
            self._done += ended is Ended.DONE
            log.debug("step %s of run %s: %s", delivery.step, delivery.run_id, ended.value)
        elif active.stopped != "drain":
            log.info(
                "step %s of run %s ended without effect: %s",
                delivery.step,
                delivery.run_id,
                ended and ended.value,
            )
            await self._broker.deliveries.free_places(active.lane, [delivery])

    def _finished(self, active: Active, leaving: Once) -> None:
        self._logs.flush()
        self._active.remove(active)
        self._leases.over(active)
        self._slots.forget(active.delivery)
        if leaving.happened:
            self._ending -= 1
        # The slot of one that has ended in order is another's since then.
        if self._claimer.missed or not (active.went_on or leaving.happened):
            self._slot_is_free()

    def _begin_ending(self, *, hands_on: bool = True) -> None:
        self._logs.flush()
        self._ending += 1
        self._slot_is_free(hands_on=hands_on)

    def _slot_is_free(self, *, hands_on: bool = True) -> None:
        self._slots.grant()
        (self._claimer.ask if hands_on else self._claimer.freed)()

    def _stop(self, active: Active, reason: str) -> None:
        self._slots.forget(active.delivery)
        active.stop(reason)
        self._leases.stopping(active)
        asyncio.get_running_loop().call_later(STOP_WITHIN_S, self._look_whether_stopped, active)

    def _look_whether_stopped(self, active: Active) -> None:
        served = self._served.get(active.delivery.lane)
        # A thread cannot be stopped, and was given no limit: it keeps its slot and its place until it ends by itself.
        is_async = served is None or served.program.spec.steps[active.delivery.step].is_async
        if is_async and active.task is not None and not active.task.done():
            self._spoil(active.delivery)

    def _spoil(self, delivery: Delivery) -> None:
        """The code of a delivery cannot be stopped: what this process lost by it, only its end gives back."""
        text = "step %s of run %s goes on %g s after it was cancelled; this process should be replaced"
        log.error(text, delivery.step, delivery.run_id, STOP_WITHIN_S)
        self.spoiled.set()

    def _lost(self, active: Active) -> None:
        log.info("step %s of run %s is no longer ours", active.delivery.step, active.delivery.run_id)
        self._stop(active, "lost")

    def _take_message(self, message: Message) -> None:
        if message.get("kind") == "grant":
            self._grants.granted(message.get("token", ""))
        elif message.get("kind") == "stop":
            nonces = message.get("nonces", "").split(",")
            for active in self._active.all():
                if active.delivery.run_id == message.get("run") and active.delivery.fence in nonces:
                    self._stop(active, "ended")
