"""One entry of the API: what it takes, what it answers, and how it is called."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from broker_wf.errors import (
    AmbiguousRunIdError,
    BackpressureError,
    BrokerError,
    DeadLetterNotFoundError,
    EncodeError,
    EventsTrimmedError,
    LimitExceededError,
    NothingToRerunError,
    RunConflictError,
    RunEndedError,
    RunNotFoundError,
    RunOptionError,
    ServerRefusedError,
    ServerUnreachableError,
    WorkflowConflictError,
    WorkflowStepDoesNotExistError,
)
from broker_wf.inspector import Inspector
from broker_wf.server.api.host import Host
from broker_wf.server.api.models import Problem
from broker_wf.server.segments import part_of_path
from broker_wf.server.sse import LiveResponse

M = TypeVar("M", bound=BaseModel)
Models = tuple[type[BaseModel], ...]

_ALWAYS = (413, 421, 429, 431)
"""What stands before all routes refuses so: too large, under a foreign name, too often."""


class Refusal(Exception):  # noqa: N818
    """An answer that is a refusal."""

    def __init__(self, status: int, error: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.error, self.detail = status, error, detail


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    host: Host
    request: Request

    def path(self, name: str) -> str:
        """A part of the path."""
        return part_of_path(self.request, name)

    def query(self, model: type[M]) -> M:
        """The query, validated."""
        given, several = self.request.query_params, _lists(model)
        return model.model_validate({name: given.getlist(name) if name in several else given[name] for name in given})

    async def body(self, model: type[M]) -> M:
        """The body, validated. Only JSON that says so is read: a form of another site cannot send that."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "UnsupportedMediaType", "the body must be application/json")
        return model.model_validate_json(await self.request.body(), strict=True)

    async def inspector(self) -> Inspector:
        """Asks the namespace."""
        return Inspector((await self.host.home()).broker)


def _lists(model: type[BaseModel]) -> set[str]:
    """The fields that may be given several times."""
    return {name for name, one in model.model_fields.items() if get_origin(one.annotation) is list}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An entry.

    Attributes:
        answers: models of the answer; none: it is described by ``media`` alone.
        body: models of the body, one of which fits.
        handle: gives the answer, or a response that is sent as it is.
        refuses: statuses of its own with which it refuses, besides those that its path, query and body lead to.
        streams: it answers with server-sent events if it is asked to.
        probe: a machine's question about the process, answered whether or not the namespace can be reached.
        down: model of the answer of a probe that finds the namespace out of reach.
        leads_to: paths that take the ``run_id`` of the answer.
    """

    method: str
    path: str
    summary: str
    handle: Callable[[Call], Awaitable[object]]
    answers: Models = ()
    query: type[BaseModel] | None = None
    body: Models = ()
    media: str = "application/json"
    refuses: tuple[int, ...] = ()
    streams: bool = False
    probe: bool = False
    down: type[BaseModel] | None = None
    leads_to: tuple[str, ...] = ()

    @property
    def refusals(self) -> list[int]:
        """All statuses with which it refuses."""
        found = {*_ALWAYS, *self.refuses}
        if not self.probe:
            found |= {401, 503}
        if self.query is not None:
            found.add(422)
        if self.method != "GET":
            found.add(403)
        if self.body:
            found |= {415, 422}
        if "{run_id}" in self.path:
            found |= {400, 404, 409}
        return sorted(found)

    async def answer(self, call: Call) -> Response | LiveResponse:
        """The answer to a request, or why there is none."""
        try:
            found = await self.handle(call)
        except (Refusal, ValidationError, ValueError, BrokerError, WorkflowStepDoesNotExistError) as error:
            return _refused(error)
        return found if isinstance(found, Response | LiveResponse) else json_response(found)


def routes_of(endpoints: Sequence[Endpoint], prefix: str, host: Host) -> list[Route]:
    """A route for each path, which knows all its methods: whoever asks with another one is told of them."""
    found: dict[str, dict[str, Endpoint]] = {}
    for one in endpoints:
        found.setdefault(prefix + one.path, {})[one.method] = one
    return [_route(path, by_method, host) for path, by_method in found.items()]


def _route(path: str, by_method: Mapping[str, Endpoint], host: Host) -> Route:
    async def answer(request: Request) -> Response | LiveResponse:
        method = "GET" if request.method == "HEAD" else request.method
        return await by_method[method].answer(Call(host, request))

    return Route(path, answer, methods=[*by_method])


async def no_such_route(request: Request, error: Exception) -> Response:
    """What nothing answers under the prefix."""
    assert isinstance(error, HTTPException)
    kind = "MethodNotAllowed" if error.status_code == 405 else "NoSuchRoute"
    answer = json_response(Problem(error=kind, detail=f"{request.method} {request.url.path}"), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def json_response(value: object, status: int = 200) -> Response:
    """The value as JSON; what is no number there becomes null."""
    return Response(as_json(value), status_code=status, media_type="application/json")


def as_json(value: object) -> bytes:
    """Models and views as JSON."""
    try:
        return to_json(value, inf_nan_mode="null", fallback=str)
    except PydanticSerializationError:
        # Half a pair of surrogates has no form in UTF-8; escaped it has one in JSON.
        return _escaped.encode(to_jsonable_python(value, inf_nan_mode="null", fallback=str)).encode()


_escaped = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (RunNotFoundError, 404),
    (DeadLetterNotFoundError, 404),
    (RunConflictError, 409),
    (AmbiguousRunIdError, 409),
    (RunOptionError, 422),
    (RunEndedError, 409),
    (NothingToRerunError, 409),
    (WorkflowConflictError, 409),
    (EventsTrimmedError, 410),
    (LimitExceededError, 413),
    (BackpressureError, 429),
    (ServerUnreachableError, 503),
    (ServerRefusedError, 503),
    (ValidationError, 422),
    (EncodeError, 400),
    (WorkflowStepDoesNotExistError, 400),
    (ValueError, 400),
)


def _refused(error: Exception) -> Response:
    if isinstance(error, Refusal):
        return json_response(Problem(error=error.error, detail=error.detail), error.status)
    status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
    detail = faults_of(error) if isinstance(error, ValidationError) else str(error)
    return json_response(Problem(error=type(error).__name__, detail=detail), status)


def faults_of(error: ValidationError) -> str:
    """What does not fit, a fault a line."""
    return "\n".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
