"""Names of classes on the wire, both ways. What is not in it is neither written nor read."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from pydantic import SecretBytes, SecretStr

from broker_wf import events
from broker_wf.core.class_names import qualified_name
from broker_wf.core.ids import EventName
from broker_wf.events import Event, StepState
from broker_wf.wire.classes import derives, is_class
from broker_wf.wire.closure import reachable_classes
from broker_wf.wire.plans import TEXT_CLASSES, Plan, Refusal, plan_for
from broker_wf.wire.remote_errors import known_errors

C = TypeVar("C", bound=type)

_STEP_STATE = "broker_wf.events.StepState"
_NO_NAMES: Mapping[type[Event], EventName] = {}


class EventRegistry:
    """The classes that may travel, each under one name.

    Known are: the given events, what their fields can hold, subclasses of these in the workflow's modules,
    what is registered, and the library's own events. Nothing is ever imported by name.

    Attributes:
        is_open: a class that is met while encoding registers itself: right for a process that decodes
            what it encoded, and for nobody else.
        errors: the exception classes of the workflow's modules, by qualified name.
    """

    def __init__(
        self,
        names: Mapping[type[Event], EventName] = _NO_NAMES,
        *,
        roots: Iterable[object] = (),
        modules: Iterable[str] = (),
        is_open: bool = False,
    ) -> None:
        """Build the closure.

        Args:
            names: the wire's name of each event class in a signature.
            roots: further annotations whose values travel: the state model, for one.
            modules: where subclasses and exceptions are looked for, beside the modules of all these classes.
            is_open: see above.

        Raises:
            ValueError: two classes under one name.
        """
        self.is_open = is_open
        self._plans: dict[type, Plan] = {}
        self._by_name: dict[str, Plan] = {}
        given = [*names, *roots]
        self._modules = {*modules, *(root.__module__ for root in given if is_class(root))}
        given += [Event, *_events_in(sorted(self._modules))]
        for cls, name in names.items():
            self._bind(cls, name)
        self._bind(StepState, _STEP_STATE)
        self._add_all(_library_classes())
        self._add_all(reachable_classes(given, self._modules))
        self.errors = known_errors(sorted(self._modules))

    def register(self, cls: C) -> C:
        """Let values of this class travel, and what its fields can hold; usable as a decorator.

        Raises:
            ValueError: the class has no encoding, or its name is taken.
        """
        found = reachable_classes([cls], {*self._modules, cls.__module__})
        if issubclass(cls, Exception):
            self.errors[qualified_name(cls)] = cls
            return cls
        self._add_all(found)
        if cls not in self._plans:
            raise ValueError(f"{cls.__qualname__} has no encoding; make it a dataclass, a pydantic model or an Enum")
        return cls

    def refuse(self, cls: type, why: str) -> None:
        """Let no value of this class travel, in an open registry neither; the error will say why."""
        self._plans[cls] = Refusal(cls, qualified_name(cls), why)

    def name_of(self, cls: type) -> str | None:
        """Give the wire's name of a class; None if it is not registered."""
        plan = self._plans.get(cls)
        return plan.name if plan else None

    @property
    def classes(self) -> list[type]:
        """All classes that may travel."""
        return [cls for cls, plan in self._plans.items() if not isinstance(plan, Refusal)]

    def class_named(self, name: str) -> type | None:
        """Give the class of a name; None if no class has it."""
        plan = self._by_name.get(name)
        return plan.cls if plan else None

    def meet_error(self, error: BaseException) -> None:
        """An open registry takes in the class of an exception that is about to travel, if it does not know it."""
        cls = type(error)
        if self.is_open and issubclass(cls, Exception):
            self.errors.setdefault(qualified_name(cls), cls)

    def plan_of(self, cls: type) -> Plan | None:
        """Give the plan of a class; None if it may not travel. An open registry takes it in, if it can."""
        plan = self._plans.get(cls)
        if plan is None and self.is_open and can_travel(cls):
            self.register(cls)
            plan = self._plans.get(cls)
        return plan

    def plan_named(self, name: str) -> Plan | None:
        """Give the plan of the class of a name; None if no class has it."""
        return self._by_name.get(name)

    def _add_all(self, classes: Iterable[type]) -> None:
        new = [cls for cls in classes if cls not in self._plans and can_travel(cls)]
        shared = Counter(cls.__name__ for cls in new if derives(cls, Event))
        for cls in new:
            short = derives(cls, Event) and shared[cls.__name__] == 1 and cls.__name__ not in self._by_name
            self._bind(cls, cls.__name__ if short else qualified_name(cls))

    def _bind(self, cls: type, name: str) -> None:
        """Give a class that can travel its name.

        Raises:
            ValueError: another class has it.
        """
        holder = self._by_name.get(name)
        # Two of one path: defined anew, in a notebook or by a reload. The old one can still be written.
        if holder is not None and qualified_name(holder.cls) != qualified_name(cls):
            both = f"{qualified_name(holder.cls)} and {qualified_name(cls)}"
            raise ValueError(f"two classes under the name {name!r}: {both}")
        self._plans[cls] = self._by_name[name] = cast("Plan", plan_for(cls, name))


def can_travel(cls: type) -> bool:
    """Whether there is an encoding for instances of the class, once it is registered."""
    return not derives(cls, BaseException) and plan_for(cls, "?") is not None


def _library_classes() -> list[type]:
    """Give the events of the library and the classes of others that it vouches for."""
    own = [cls for cls in (getattr(events, name) for name in events.__all__) if is_class(cls)]
    kept = [cls for cls in own if issubclass(cls, Event)]
    return [*kept, *sorted({*TEXT_CLASSES, SecretStr, SecretBytes}, key=qualified_name)]


def _events_in(modules: Iterable[str]) -> list[type[Event]]:
    """Give the event classes that the modules define or import: some are only ever published."""
    loaded = [cast("Mapping[str, object]", vars(sys.modules[name])) for name in modules if name in sys.modules]
    values = [value for names in loaded for value in names.values()]
    return [value for value in values if is_class(value) and issubclass(value, Event)]
