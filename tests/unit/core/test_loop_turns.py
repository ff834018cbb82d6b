"""Few of many go on in each turn of the event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter

from broker_wf.core.loop_turns import IN_ONE_TURN, Turns, own_turn


async def turns_of(count: int, leave_out: range = range(0)) -> list[int]:
    """In which turn each of many has gone on, counted from the first one that did."""
    loop, turn, went_on = asyncio.get_running_loop(), 0, dict[int, int]()

    def next_turn() -> None:
        nonlocal turn, handle
        turn += 1
        handle = loop.call_soon(next_turn)

    async def one(number: int) -> None:
        await own_turn()
        went_on[number] = turn

    handle = loop.call_soon(next_turn)
    tasks = [loop.create_task(one(number)) for number in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in leave_out:
        tasks[number].cancel()
    await asyncio.wait(tasks)
    handle.cancel()
    assert [*went_on] == [number for number in range(count) if number not in leave_out]
    return [one - went_on[0] for one in went_on.values()]


async def test_tasks_that_are_made_right_after_it_come_first() -> None:
    loop, passed = asyncio.get_running_loop(), list[str]()

    async def one() -> None:
        await own_turn()
        passed.append("own")

    async def other() -> None:
        passed.append("other")

    await asyncio.wait([loop.create_task(one()), loop.create_task(other())])
    assert passed == ["other", "own"]


async def test_of_many_few_go_on_in_each_turn_in_their_order() -> None:
    turns = await turns_of(10 * IN_ONE_TURN + 5)
    assert turns == sorted(turns)
    assert max(Counter(turns).values()) <= IN_ONE_TURN
    assert turns[-1] <= 11


async def test_who_is_cancelled_takes_no_turn() -> None:
    turns = await turns_of(4 * IN_ONE_TURN, leave_out=range(IN_ONE_TURN, 3 * IN_ONE_TURN))
    assert len(turns) == 2 * IN_ONE_TURN
    assert turns[-1] <= 2


async def test_the_next_many_begin_with_a_turn_of_their_own() -> None:
    assert (await turns_of(3 * IN_ONE_TURN))[-1] == (await turns_of(3 * IN_ONE_TURN))[-1]


def test_no_event_loop_is_held() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(turns_of(2 * IN_ONE_TURN))
    loop.close()
    kept = weakref.ref(loop)
    del loop
    gc.collect()
    assert kept() is None


async def test_few_begin_at_once_and_the_others_in_later_turns() -> None:
    turns, order = Turns(2), list[str]()

    async def one(name: str) -> None:
        await turns.own()
        order.append(name)
        asyncio.get_running_loop().call_soon(order.append, name.upper())

    await asyncio.gather(*map(one, "abcde"))
    assert "".join(order[:9]) == "abABcdCDe"
    await one("f")
    assert order[-1] == "f", "nobody else is there: it goes on at once"
