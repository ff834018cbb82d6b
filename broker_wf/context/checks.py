"""Whether a Context's method was called with what it can use."""

from __future__ import annotations

from collections.abc import Mapping

from broker_wf.events import Event


def check_wait(event_type: object, waiter_event: object, requirements: object, timeout: object) -> None:
    """Check the arguments of ``wait_for_event``.

    Raises:
        TypeError, ValueError: one of them is nothing that can be waited for.
    """
    if not (isinstance(event_type, type) and issubclass(event_type, Event)):
        raise TypeError(f"wait_for_event waits for an Event class, not {event_type!r}")
    if waiter_event is not None and not isinstance(waiter_event, Event):
        raise TypeError(f"waiter_event is an Event that is published while the step waits, not {waiter_event!r}")
    if requirements is not None and not isinstance(requirements, Mapping):
        raise TypeError(f"requirements are a dict of names and the values they must have, not {requirements!r}")
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise TypeError(f"timeout is seconds, or None to wait for ever, not {timeout!r}")
    if not 0 <= timeout < float("inf"):
        raise ValueError(f"timeout is seconds from 0 on, or None to wait for ever, not {timeout!r}")


def check_progress(done: object, total: object, text: object) -> None:
    """Check the arguments of ``progress``.

    Raises:
        TypeError, ValueError: one of them tells of no progress.
    """
    for name, number in (("done", done), ("total", total)):
        if name == "total" and number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise TypeError(f"{name} of progress is a number, not {number!r}")
        if not 0 <= number < float("inf"):
            raise ValueError(f"{name} of progress is a number from 0 on, not {number!r}")
    if not isinstance(text, str):
        raise TypeError(f"text of progress is a str, not {text!r}")
