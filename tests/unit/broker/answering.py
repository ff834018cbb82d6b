"""A client that stands for a server: it writes down what it is sent and answers in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import redis.exceptions

from broker_wf.broker.connection import Pipe
from broker_wf.broker.keys import Keys

Command = tuple[Any, ...]


class Server:
    """Answers once it may; an error of the connection among the answers loses all that was sent with it.

    Attributes:
        sent: every command, in order.
        fine: what it answers when its answers are used up.
    """

    def __init__(self, *answers: object, fine: Callable[[Command], object] | None = None) -> None:
        self.sent: list[Command] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answers, self.fine = list(answers), fine

    def pipeline(self, transaction: bool) -> Server:
        self._commands = list[Command]()
        return self

    def execute_command(self, *args: Any) -> object:
        self._commands.append(args)
        return self

    async def execute(self, raise_on_error: bool) -> list[object]:
        commands = self._commands
        await self.may_answer.wait()
        self.sent += commands
        replies = [self._answer(one) for one in commands]
        for one in replies:
            if isinstance(one, redis.exceptions.ConnectionError):
                raise one
        return replies

    def _answer(self, command: Command) -> object:
        return self.fine(command) if self.fine is not None and not self.answers else self.answers.pop(0)


def pipe_to(server: Server) -> Pipe:
    client: Any = server
    return Pipe(url="redis://nowhere", client=client, keys=Keys("n"), patience_s=None)
