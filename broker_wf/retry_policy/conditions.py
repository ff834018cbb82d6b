"""Which exceptions are worth another attempt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

_Types = type[BaseException] | tuple[type[BaseException], ...]


class RetryCondition(Protocol):
    """Whether an exception is worth another attempt."""

    def __call__(self, error: BaseException) -> bool: ...  # noqa: D102


class _Condition:
    def __call__(self, error: BaseException) -> bool:
        raise NotImplementedError

    def __and__(self, other: RetryCondition) -> retry_all:
        return retry_all(self, other)

    def __rand__(self, other: RetryCondition) -> retry_all:
        return retry_all(other, self)

    def __or__(self, other: RetryCondition) -> retry_any:
        return retry_any(self, other)

    def __ror__(self, other: RetryCondition) -> retry_any:
        return retry_any(other, self)


class retry_if_exception(_Condition):
    """Retry if the predicate holds for the exception."""

    def __init__(self, predicate: Callable[[BaseException], bool]) -> None:
        self.predicate = predicate

    def __call__(self, error: BaseException) -> bool:
        """Ask the predicate."""
        return self.predicate(error)


class retry_if_exception_type(retry_if_exception):
    """Retry if the exception is of one of the types."""

    def __init__(self, exception_types: _Types = Exception) -> None:
        self.exception_types = exception_types
        super().__init__(lambda error: isinstance(error, exception_types))


class retry_if_not_exception_type(retry_if_exception):
    """Retry unless the exception is of one of the types."""

    def __init__(self, exception_types: _Types = Exception) -> None:
        self.exception_types = exception_types
        super().__init__(lambda error: not isinstance(error, exception_types))


class retry_unless_exception_type(retry_if_not_exception_type):
    """Retry unless the exception is of one of the types; tenacity's name for it."""


class retry_if_exception_message(_Condition):
    """Retry if the exception's text equals ``message``, or the expression ``match`` is found in it."""

    def __init__(self, message: str | None = None, match: str | re.Pattern[str] | None = None) -> None:
        """Take one of the two.

        Raises:
            TypeError: both or neither are given.
        """
        if message is None and match is None:
            raise TypeError("retry_if_exception_message() missing 1 required argument 'message' or 'match'")
        if message is not None and match is not None:
            raise TypeError("retry_if_exception_message() takes either 'message' or 'match', not both")
        self.message = message
        self.match = match

    def __call__(self, error: BaseException) -> bool:
        """Compare or search the text."""
        if self.match is None:
            return str(error) == self.message
        return re.search(self.match, str(error)) is not None


class retry_if_not_exception_message(retry_if_exception_message):
    """Retry unless the exception's text equals ``message`` or contains ``match``."""

    def __call__(self, error: BaseException) -> bool:
        """Compare or search the text."""
        return not super().__call__(error)


class retry_if_exception_cause_type(_Condition):
    """Retry if a cause of the exception (``raise … from``), near or far, is of one of the types."""

    def __init__(self, exception_types: _Types = Exception) -> None:
        self.exception_types = exception_types

    def __call__(self, error: BaseException) -> bool:
        """Walk the chain of ``__cause__``."""
        cause = error.__cause__
        while cause is not None and not isinstance(cause, self.exception_types):
            cause = cause.__cause__
        return cause is not None


class retry_any(_Condition):
    """Retry if any of the conditions holds."""

    def __init__(self, *retries: RetryCondition) -> None:
        self.retries = retries

    def __call__(self, error: BaseException) -> bool:
        """Ask until one says yes."""
        return any(condition(error) for condition in self.retries)


class retry_all(_Condition):
    """Retry if all conditions hold."""

    def __init__(self, *retries: RetryCondition) -> None:
        self.retries = retries

    def __call__(self, error: BaseException) -> bool:
        """Ask until one says no."""
        return all(condition(error) for condition in self.retries)


class retry_always(_Condition):
    """Retry whatever was raised."""

    def __call__(self, error: BaseException) -> bool:
        """Hold."""
        return True


class retry_never(_Condition):
    """Never retry."""

    def __call__(self, error: BaseException) -> bool:
        """Do not hold."""
        return False
