"""A coroutine that is executed at once, and what becomes of one that waits."""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar, copy_context

import pytest

from broker_wf.core.eager import Eager

name: ContextVar[str] = ContextVar("name", default="nobody")


async def test_one_that_waits_for_nothing_has_ended_at_once() -> None:
    async def gives() -> str:
        name.set("inside")
        return name.get()

    eager = Eager(gives(), Context())
    assert not eager.paused
    assert eager.result == "inside"
    assert await eager == "inside"
    assert name.get() == "nobody"


async def test_what_it_raises_at_once_is_raised_at_once() -> None:
    async def raises() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Eager(raises(), Context())


async def test_one_that_waits_goes_on_in_its_context_once_it_is_awaited() -> None:
    going = asyncio.Event()

    async def waits() -> tuple[str, object]:
        name.set("inside")
        await going.wait()
        await asyncio.sleep(0)
        return name.get(), asyncio.current_task()

    eager = Eager(waits(), copy_context())
    assert eager.paused
    going.set()
    await asyncio.sleep(0)
    assert await eager == ("inside", asyncio.current_task())


async def test_it_hears_of_the_end_of_what_it_waits_for_before_it_is_awaited() -> None:
    coming: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def waits() -> int:
        return await coming

    eager = Eager(waits(), Context())
    coming.set_result(3)
    await asyncio.sleep(0.01)
    assert await eager == 3


async def test_a_cancellation_and_what_it_waits_for_may_raise_in_it() -> None:
    async def waits(seen: list[str]) -> str:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(failing.set_exception, ValueError("no"))
        try:
            await failing
        except ValueError:
            seen.append("raised")
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("cancelled")
        return "never"

    seen = list[str]()

    async def awaits() -> None:
        await Eager(waits(seen), Context())

    task = asyncio.create_task(awaits())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["raised", "cancelled"]


@pytest.mark.parametrize("cleans_up", [False, True])
async def test_one_that_is_stopped_is_cancelled_where_it_waits_and_may_clean_up(cleans_up: bool) -> None:
    seen = list[str]()

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if cleans_up:
                await asyncio.sleep(0.001)
                raise ValueError("what it raises is nobody's") from None
            raise

    await Eager(waits(), Context()).stop()
    assert seen == ["cancelled"]
