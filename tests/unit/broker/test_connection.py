"""What becomes of calls whose function the server could not load."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from broker_wf.broker.calls import Call
from broker_wf.broker.connection import Pipe
from broker_wf.broker.keys import Keys
from broker_wf.broker.script import load

MISSING = ResponseError("Function not found")


@pytest.mark.parametrize(
    ("refusal", "is_tried_again", "pauses"),
    [
        (ResponseError("Library 'bwf_renew' already exists"), True, False),
        (ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), True, True),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True, False),
        (ResponseError("Error compiling function"), False, False),
    ],
)
async def test_a_call_is_given_up_only_where_its_function_can_never_be_loaded(
    refusal: Exception, is_tried_again: bool, pauses: bool
) -> None:
    """Somebody else may have loaded it, and another have flushed it before the call."""
    client: Any = None
    script = load("renew")
    pipe = Pipe(url="redis://nowhere", client=client, keys=Keys("n"), patience_s=None)
    pipe._note_loads([script], [refusal])
    call = Call((), (), asyncio.get_running_loop().create_future(), script)
    assert pipe._settle(call, MISSING) is not is_tried_again
    assert call.reply.done() is not is_tried_again
    assert pipe._pausing is pauses
    if not is_tried_again:
        with pytest.raises(Exception, match="Error compiling function"):
            call.reply.result()
