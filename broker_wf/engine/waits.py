"""``wait_for_event`` and ``once`` inside a step."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from typing_extensions import assert_never

from broker_wf.broker.waits import Early, Wait, name_of_once
from broker_wf.core.class_names import qualified_name
from broker_wf.core.delivery import Delivery, WaitState
from broker_wf.core.pause import WaitingForEvent
from broker_wf.engine.program import Program
from broker_wf.engine.site import Site
from broker_wf.errors import WorkflowRuntimeError
from broker_wf.events import Event
from broker_wf.wire.fingerprints import fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one call of ``wait_for_event`` asks for."""

    event_type: type[Event]
    waiter_event: Event | None
    waiter_id: str | None
    requirements: Mapping[str, object]
    timeout_s: float | None

    def is_met_by(self, event: Event) -> bool:
        """Whether the event is what is waited for."""
        return isinstance(event, self.event_type) and all(
            bool(getattr(event, name, None) == value) for name, value in self.requirements.items()
        )


@dataclass(slots=True, kw_only=True)
class StepWaits:
    """The waits of one execution.

    Attributes:
        open: what it waits for and has no answer to.
    """

    program: Program
    site: Site
    delivery: Delivery
    open: dict[str, tuple[Wanted, Wait]] = field(default_factory=dict[str, "tuple[Wanted, Wait]"])
    _calls: Counter[str] = field(default_factory=Counter[str])
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    _kept: dict[str, object] = field(default_factory=dict[str, object])
    _remembered: dict[str, bytes] | None = None

    async def wait(self, wanted: Wanted) -> Event:
        """Give the answer, if there is one.

        Raises:
            WaitingForEvent: there is none yet.
            asyncio.TimeoutError: the time of the waiter is over.
        """
        waiter_id = self._id_of(wanted)
        stored = self.delivery.waiters.get(waiter_id)
        state = stored.state if stored else WaitState.OPEN
        match state:
            case WaitState.ANSWERED:
                assert stored is not None
                return await self.decoded(stored.answer)
            case WaitState.TIMED_OUT:
                name = wanted.event_type.__name__
                raise asyncio.TimeoutError(f"Timed out waiting for {name}: none came within {wanted.timeout_s} s")
            case WaitState.OPEN:
                self.open.setdefault(waiter_id, (wanted, self._wait_of(waiter_id, wanted)))
                raise WaitingForEvent(wanted.event_type.__name__)
            case _:
                assert_never(state)

    async def decoded(self, payload: bytes) -> Event:
        """An answer."""
        blobs = await self.site.broker.blobs.fetch(self.delivery.run_id, (payload,))
        return self.program.codec.at(self.delivery.run_id).decode_event(payload, blobs)

    async def look_at(self, early: Iterable[Early]) -> None:
        """Compare events that came before with what is waited for: the first one that fits is the answer."""
        wanted_of = {wait.id: wanted for wanted, wait in self.open.values()}
        for one in early:
            if one.wait.takes is None and wanted_of[one.wait.id].is_met_by(await self.decoded(one.payload)):
                one.wait.takes = one.event_id
            else:
                one.wait.seen.add(one.event_id)

    async def once(self, key: str, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        """See ``ContextBackend``."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in self._kept:
                self._kept[key] = await self._recalled(key, function, arguments)
            return self._kept[key]

    async def _recalled(self, key: str, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        store, what = self.site.broker.waits, name_of_once(key)
        codec = self.program.codec.at(self.delivery.run_id, self.delivery.id)
        if self._remembered is None:
            self._remembered = await store.remembered(self.delivery) if self.delivery.remembers else {}
        if key in self._remembered:
            return codec.decode_value(self._remembered[key], what=what)
        result = await self._called(function, arguments)
        await store.remember(self.delivery, key, codec.encode_value(result, what=what))
        return result

    async def _called(self, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        if inspect.iscoroutinefunction(function):
            return await cast("Awaitable[object]", function(*arguments))
        context, loop = contextvars.copy_context(), asyncio.get_running_loop()
        result = await loop.run_in_executor(self.site.threads, partial(context.run, function, *arguments))
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result

    def _id_of(self, wanted: Wanted) -> str:
        """The same on every start: by the given id, else by what is wanted and how often it was before."""
        name = self.program.spec.name_of(wanted.event_type)
        if wanted.waiter_id is not None:
            return f"={name}={wanted.waiter_id}"
        parts = (f"{field}:{_mark(value)}" for field, value in sorted(wanted.requirements.items()))
        base = ",".join((name, *parts))
        self._calls[base] += 1
        return f"#{base}#{self._calls[base]}"

    def _wait_of(self, waiter_id: str, wanted: Wanted) -> Wait:
        codec, asks = self.program.codec.at(self.delivery.run_id), wanted.waiter_event
        registry = codec.registry
        for cls in (wanted.event_type, *(() if asks is None else (type(asks),))):
            if registry.name_of(cls) is None:
                registry.register(cls)
        step = self.program.spec.steps[self.delivery.step]
        types = _with_subclasses(wanted.event_type) if step.accept_event_subclasses else (wanted.event_type,)
        return Wait(
            id=waiter_id,
            names=tuple(dict.fromkeys(self.program.spec.name_of(cls) for cls in types)),
            fields={name: fingerprint(value) for name, value in wanted.requirements.items()},
            timeout_ms=None if wanted.timeout_s is None else max(0, round(wanted.timeout_s * 1000)),
            asks=None if asks is None else (type(asks).__name__, codec.encode_event(asks)),
        )


def check_async(program: Program, delivery: Delivery, method: str) -> None:
    """Refuse what only an async step can do.

    Raises:
        WorkflowRuntimeError: the step is a plain function.
    """
    if not program.spec.steps[delivery.step].is_async:
        raise WorkflowRuntimeError(
            f"{method} needs an async step, and step {delivery.step} is a plain function: "
            f"write 'async def {delivery.step}' and await {method}(…)"
        )


def _mark(value: object) -> str:
    return fingerprint(value).hex() or qualified_name(type(value))


def _with_subclasses(cls: type[Event]) -> Iterator[type[Event]]:
    yield cls
    for one in cls.__subclasses__():
        yield from _with_subclasses(one)
