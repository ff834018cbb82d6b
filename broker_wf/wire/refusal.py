"""Why a value cannot be encoded, and where it stands."""

from __future__ import annotations

from broker_wf.errors import EncodeError, LimitExceededError


class RefusedError(Exception):
    """Raised where the value is met; each container on the way out adds its piece of the path.

    Attributes:
        reason: without the event and the path, which only the outermost caller knows.
    """

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(reason)
        self.type_name = type_name(type(value))
        self.reason = reason
        self._pieces: list[str] = []

    def within(self, piece: str) -> None:
        """Say where in its container the value stands: ``.field``, ``[3]`` or ``['key']``."""
        self._pieces.append(piece)

    @property
    def path(self) -> str:
        """From the event to the value, as in ``docs[3].meta['x']``."""
        return "".join(reversed(self._pieces)).removeprefix(".")

    def error(self, event: str) -> EncodeError | LimitExceededError:
        """Make what the caller of the codec sees."""
        return EncodeError(event, self.path, self.type_name, self.reason)


class OverLimitError(RefusedError):
    """A container too deep or with too many keys."""

    def __init__(self, value: object, quantity: str, actual: int, limit: int) -> None:
        super().__init__(value, quantity)
        self._actual, self._limit = actual, limit

    def error(self, event: str) -> EncodeError | LimitExceededError:
        """Make what the caller of the codec sees."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        where = f"{event}{joint}{self.path}"
        return LimitExceededError(f"{where} of type {self.type_name}, {self.reason}", self._actual, self._limit)


def type_name(cls: type) -> str:
    """Name a class as people know it: bare for builtins, with its module for others."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
