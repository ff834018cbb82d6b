"""What a step needs besides its event: made by a factory where the step executes, never sent over the wire.

``Annotated[Client, Resource(get_client)]`` as a step's or a factory's parameter asks for what ``get_client``
returns. A factory that yields is resumed when its value is no longer needed.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, cast, get_args, get_origin, get_type_hints, runtime_checkable
from weakref import WeakKeyDictionary

from pydantic import BaseModel

Scope = Literal["workflow", "worker"]
"""Who shares a cached resource: the steps of one workflow instance, or everything in the process."""


@runtime_checkable
class ResourceDescriptor(Protocol):
    """How to get a resource. ``Resource`` and ``ResourceConfig`` make them; others may be written."""

    @property
    def name(self) -> str:
        """What messages and ``ResourceManager.get_all`` call it."""
        ...

    @property
    def cache(self) -> bool:
        """Whether it is made once."""
        ...

    async def resolve(self, manager: ResourceManager) -> Any:
        """Make it; ask the manager for what it needs itself."""
        ...

    def set_type_annotation(self, type_annotation: Any) -> None:
        """Learn the annotated type of the parameter."""
        ...

    def set_localns(self, localns: dict[str, Any] | None) -> None:
        """Learn names that annotations may use besides those of their module."""
        ...

    def get_dependencies(self) -> list[tuple[str, ResourceDescriptor, Any]]:
        """Parameter, descriptor and annotated type of each resource it needs itself."""
        ...


@dataclass(frozen=True)
class ResourceDefinition:
    """A resource that a step's signature asks for.

    Attributes:
        name: of the parameter.
        type_annotation: ``T`` of ``Annotated[T, …]``.
    """

    name: str
    resource: ResourceDescriptor
    type_annotation: Any = None


class _Resource:
    """A resource made by a factory."""

    def __init__(self, factory: Callable[..., Any], cache: bool, scope: Scope) -> None:
        self.factory = factory
        self.cache = cache
        self.scope: Scope = scope
        self.name: str = getattr(factory, "__qualname__", type(factory).__name__)
        self._localns: dict[str, Any] | None = None

    @property
    def made_by(self) -> object:
        return self.factory

    @property
    def has_end(self) -> bool:
        return inspect.isgeneratorfunction(self.factory) or inspect.isasyncgenfunction(self.factory)

    def set_type_annotation(self, type_annotation: Any) -> None:
        """Nothing depends on it: the factory knows its type."""

    def set_localns(self, localns: dict[str, Any] | None) -> None:
        self._localns = localns

    def get_dependencies(self) -> list[tuple[str, ResourceDescriptor, Any]]:
        found: list[tuple[str, ResourceDescriptor, Any]] = []
        hints = _hints(self.factory, self._localns)
        for parameter in inspect.signature(self.factory).parameters.values():
            annotation = hints.get(parameter.name, parameter.annotation)
            descriptor = descriptor_in(annotation)
            if descriptor is not None:
                found.append((parameter.name, descriptor, get_args(annotation)[0]))
        return found

    async def resolve(self, manager: ResourceManager) -> Any:
        needed: dict[str, Any] = {}
        for parameter, descriptor, annotation in self.get_dependencies():
            descriptor.set_type_annotation(annotation)
            descriptor.set_localns(self._localns)
            needed[parameter] = await manager.get(descriptor)
        if inspect.isasyncgenfunction(self.factory):
            return await manager.exits().enter_async_context(asynccontextmanager(self.factory)(**needed))
        if inspect.isgeneratorfunction(self.factory):
            return manager.exits().enter_context(contextmanager(self.factory)(**needed))
        made = self.factory(**needed)
        return await made if inspect.iscoroutine(made) else made


def descriptor_in(annotation: Any) -> ResourceDescriptor | None:
    """Find the resource in ``Annotated[T, Resource(…)]``; None for any other annotation."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((a for a in get_args(annotation)[1:] if isinstance(a, ResourceDescriptor)), None)


def _hints(factory: Callable[..., Any], localns: dict[str, Any] | None) -> dict[str, Any]:
    """Resolve a factory's annotations; its own module's names win over those of the step's scope."""
    target = factory if inspect.isroutine(factory) or inspect.isclass(factory) else type(factory).__call__
    if inspect.isclass(target):
        target = target.__init__
    own = cast("dict[str, Any]", getattr(target, "__globals__", {}))
    extra = {k: v for k, v in (localns or {}).items() if k not in own}
    try:
        return get_type_hints(target, localns=extra, include_extras=True)
    except NameError:
        return {}


def Resource(factory: Callable[..., Any], cache: bool = True, scope: Scope = "workflow") -> _Resource:
    """Ask for what a factory makes.

    Args:
        factory: a function, coroutine function or (async) generator function that yields once. Its own
            parameters may be resources.
        cache: make it once; False: once per execution of a step.
        scope: who shares it if cached: the steps of one workflow instance, or, with ``"worker"``, all
            workflows of the process until the worker drains.
    """
    return _Resource(factory, cache, scope)


class _ResourceConfig:
    """A model read from a JSON file."""

    cache = True

    def __init__(self, config_file: str, path_selector: str | None, label: str | None, description: str | None) -> None:
        if Path(config_file).suffix != ".json":
            raise ValueError("Only JSON files can be used to load Pydantic-based resources.")
        self._file = config_file
        self.path_selector = path_selector
        self.label = label
        self.description = description
        self.cls_factory: type[BaseModel] | None = None

    @property
    def name(self) -> str:
        return f"{self._file}.{self.path_selector}" if self.path_selector else self._file

    @property
    def made_by(self) -> object:
        return (self._file, self.path_selector, self.cls_factory)

    @property
    def config_file(self) -> str:
        """Absolute path of the file.

        Raises:
            FileNotFoundError: there is no such file.
        """
        path = Path(self._file)
        if not path.is_file():
            raise FileNotFoundError(f"No such file: {self._file}")
        return str(path.resolve())

    def set_type_annotation(self, type_annotation: Any) -> None:
        if self.cls_factory is None:
            self.cls_factory = type_annotation

    def set_localns(self, localns: dict[str, Any] | None) -> None:
        """A file has no annotations."""

    def get_dependencies(self) -> list[tuple[str, ResourceDescriptor, Any]]:
        return []

    def where(self) -> str:
        return self.config_file

    def data(self) -> dict[str, object]:
        """Read and select.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no JSON, or the path leads to no dictionary.
        """
        found: object = json.loads(Path(self.config_file).read_text(encoding="utf-8"))
        walked: list[str] = []
        for key in self.path_selector.split(".") if self.path_selector else ():
            walked.append(key)
            found = cast("dict[str, object]", found).get(key) if isinstance(found, dict) else None
            if not isinstance(found, dict):
                raise ValueError(  # noqa: TRY004 - the peer's type
                    f"Expected dictionary for configuration from {self.config_file} at path "
                    f"{'.'.join(walked)}, got: {type(found)}"
                )
        return cast("dict[str, object]", found)

    def call(self) -> BaseModel:
        """Read, select and validate. Raises as ``data``, or ValueError if there is no model or it refuses."""
        found = self.data()
        if self.cls_factory is None:
            raise ValueError("Class factory should be set to a BaseModel subclass before calling")
        return self.cls_factory.model_validate(found)

    async def resolve(self, manager: ResourceManager) -> Any:
        return self.call()


def ResourceConfig(
    config_file: str,
    path_selector: str | None = None,
    label: str | None = None,
    description: str | None = None,
) -> _ResourceConfig:
    """Ask for the annotated pydantic model, read from a JSON file when first needed.

    Args:
        config_file: a ``.json`` file on every machine that executes the step.
        path_selector: dotted path of the part to take.
        label: short name for drawings.
        description: longer text for drawings.

    Raises:
        ValueError: the file's name does not end in ``.json``.
    """
    return _ResourceConfig(config_file, path_selector, label, description)


def config_faults(descriptor: ResourceDescriptor) -> Iterator[str]:
    """Load a config resource and say what is wrong with it; nothing for a resource of another kind."""
    if isinstance(descriptor, _ResourceConfig):
        try:
            descriptor.call()
        except (OSError, ValueError) as error:
            yield str(error)


@dataclass(slots=True)
class _Resolution(AbstractAsyncContextManager[None]):
    """What one execution of a step has had made for itself alone. No generator: it is made for every execution."""

    manager: ResourceManager
    made: dict[tuple[str, bool], Any] = field(default_factory=dict["tuple[str, bool]", Any])
    _exits: AsyncExitStack | None = None
    _before: _Resolution | None = None

    @property
    def exits(self) -> AsyncExitStack:
        """The ends of what was made; there is a stack once there is something in it."""
        if self._exits is None:
            self._exits = AsyncExitStack()
        return self._exits

    async def __aenter__(self) -> None:
        self._before = _resolution.get()
        _resolution.set(self)

    async def __aexit__(self, *_: object) -> None:
        _resolution.set(self._before)
        if self._exits is not None:
            await self._exits.aclose()


_resolution: ContextVar[_Resolution | None] = ContextVar("resolution", default=None)
_chain: ContextVar[tuple[ResourceDescriptor, ...]] = ContextVar("chain", default=())


class ResourceManager:
    """Makes resources, and keeps those that are cached.

    Attributes:
        resources: what is cached, by name. Two factories of one name are kept apart: the second is
            called ``name#2``.
    """

    def __init__(self) -> None:
        self.resources: dict[str, Any] = {}
        self._makers: dict[str, object] = {}
        self._acyclic: set[str] = set()
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()
        self._exits = AsyncExitStack()

    async def set(self, name: str, val: Any) -> None:
        """Give a resource instead of having it made."""
        self.resources[name] = val

    def get_all(self) -> dict[str, Any]:
        """Return what is cached, by name; the dict itself, not a copy."""
        return self.resources

    def resolution_scope(self) -> AbstractAsyncContextManager[None]:
        """Bound one execution of a step: what is not cached lives, and is shared, inside it.

        At the end generators are resumed, last made first; they do not see the step's exception.
        """
        return _Resolution(self)

    async def get(self, resource: ResourceDescriptor) -> Any:
        """Return the resource; make it, and what it needs, if it is not there yet.

        Outside a ``resolution_scope`` what is not cached lives until ``close``. Concurrent calls have a
        cached resource made once.

        Raises:
            ValueError: it needs itself; nothing was made.
            Exception: whatever a factory raises; what it needed stays cached.
        """
        if resource.cache and getattr(resource, "scope", None) == "worker" and self is not worker_resources:
            return await worker_resources.get(resource)
        key = self._key(resource)
        if resource.cache and key in self.resources:
            return self.resources[key]
        chain = (*_chain.get(), resource)
        # Followed before a lock is taken: two that need each other would wait for each other.
        _refuse_circle(chain, follow=key not in self._acyclic)
        self._acyclic.add(key)
        tokens = _chain.set(chain), _resolution.set(self._current())
        try:
            return await (self._cached(key, resource) if resource.cache else self._single(key, resource))
        finally:
            _chain.reset(tokens[0])
            _resolution.reset(tokens[1])

    def exits(self) -> AsyncExitStack:
        """Where the end of what is being made belongs: with the cached resource that needs it, if any."""
        return self._exits if any(r.cache for r in _chain.get()) else self._current().exits

    async def close(self) -> None:
        """Resume the generators of cached resources, last made first, and forget what is cached."""
        self.resources.clear()
        await self._exits.aclose()

    def _current(self) -> _Resolution:
        """The execution that asks; what is asked for outside one has a resolution of its own."""
        current = _resolution.get()
        if current is None or current.manager is not self:
            return _Resolution(self, _exits=self._exits)
        return current

    def _key(self, resource: ResourceDescriptor) -> str:
        maker = getattr(resource, "made_by", resource)
        key, n = resource.name, 1
        while self._makers.setdefault(key, maker) != maker:
            n += 1
            key = f"{resource.name}#{n}"
        return key

    async def _cached(self, key: str, resource: ResourceDescriptor) -> Any:
        locks = self._locks.setdefault(asyncio.get_running_loop(), {})
        async with locks.setdefault(key, asyncio.Lock()):
            if key not in self.resources:
                self.resources[key] = await resource.resolve(self)
        return self.resources[key]

    async def _single(self, key: str, resource: ResourceDescriptor) -> Any:
        made = self._current().made
        # One that ends with the execution must not be handed to what outlives it.
        kept = (key, getattr(resource, "has_end", False) and self.exits() is self._exits)
        if kept not in made:
            made[kept] = await resource.resolve(self)
        return made[kept]


def _refuse_circle(chain: tuple[ResourceDescriptor, ...], *, follow: bool) -> None:
    """Look whether the last of the chain is on it already; if ``follow``, also whatever it needs.

    Raises:
        ValueError: the way leads back to something on it.
    """
    *before, last = ((r, getattr(r, "made_by", r)) for r in chain)
    if any(maker == last[1] for _, maker in before):
        names = " -> ".join(r.name for r in chain)
        raise ValueError(f"Circular resource dependency detected: {names}")
    for _, needed, annotation in chain[-1].get_dependencies() if follow else ():
        needed.set_type_annotation(annotation)
        _refuse_circle((*chain, needed), follow=True)


worker_resources = ResourceManager()
"""Holds the resources of ``scope="worker"`` of this process; closed when the worker drains."""
