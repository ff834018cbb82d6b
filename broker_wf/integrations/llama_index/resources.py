"""Their resources, made and kept by this library's manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from workflows.resource import ResourceDescriptor as TheirDescriptor
from workflows.resource import ResourceManager as TheirManager

from broker_wf.resource import ResourceDescriptor, ResourceManager


@dataclass(frozen=True, slots=True)
class TheirResource:
    """A resource of theirs. Two that share a name are one, as with them."""

    theirs: TheirDescriptor

    @property
    def name(self) -> str:
        """As they call it."""
        return self.theirs.name

    @property
    def made_by(self) -> str:
        """What tells it from others."""
        return self.theirs.name

    @property
    def cache(self) -> bool:
        """Whether it is made once."""
        return self.theirs.cache

    async def resolve(self, manager: ResourceManager) -> Any:
        """Make it; what it needs itself is asked of the same manager."""
        return await self.theirs.resolve(cast("TheirManager", _Asked(manager)))

    def set_type_annotation(self, type_annotation: Any) -> None:
        """See ``ResourceDescriptor``."""
        self.theirs.set_type_annotation(type_annotation)

    def set_localns(self, localns: dict[str, Any] | None) -> None:
        """See ``ResourceDescriptor``."""
        self.theirs.set_localns(localns)

    def get_dependencies(self) -> list[tuple[str, ResourceDescriptor, Any]]:
        """See ``ResourceDescriptor``."""
        return [(name, TheirResource(one), annotation) for name, one, annotation in self.theirs.get_dependencies()]


@dataclass(frozen=True, slots=True)
class _Asked:
    """This library's manager, where their descriptors look for theirs."""

    manager: ResourceManager

    async def get(self, resource: TheirDescriptor) -> Any:
        return await self.manager.get(TheirResource(resource))


def manager_of(theirs: TheirManager) -> ResourceManager:
    """A manager that has what theirs was given already."""
    manager = ResourceManager()
    manager.resources = theirs.get_all()
    return manager
