from __future__ import annotations

import inspect

import pytest

from broker_wf import errors

UPSTREAM = [
    "WorkflowValidationError",
    "WorkflowConfigurationError",
    "WorkflowRuntimeError",
    "WorkflowTimeoutError",
    "WorkflowCancelledByUser",
    "WorkflowDone",
    "WorkflowStepDoesNotExistError",
    "ContextSerdeError",
    "ContextStateError",
]


@pytest.mark.parametrize("name", UPSTREAM)
def test_upstreams_errors_stand_directly_under_exception(name: str) -> None:
    assert getattr(errors, name).__bases__ == (Exception,)


def test_all_other_errors_are_broker_errors_and_printed_in_the_tree() -> None:
    classes = {n: c for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)}
    for name, cls in classes.items():
        assert cls.__name__ in (errors.__doc__ or "")
        assert name in UPSTREAM or issubclass(cls, errors.BrokerError)


OURS = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__bases__ == (errors.BrokerError,)]


@pytest.mark.parametrize("cls", OURS)
def test_an_error_carries_its_fields_and_shows_them(cls: type[errors.BrokerError]) -> None:
    parameters = inspect.signature(cls).parameters.values()
    given = {p.name: 4 if p.annotation == "int" else f"the {p.name}" for p in parameters}
    error = cls(**given)
    assert {name: getattr(error, name) for name in given} == given
    assert "the " in str(error) or "4" in str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://:s3cret@host:6379", "redis://:***@host:6379"),
        ("rediss://me:p@ss@host/1", "rediss://me:***@host/1"),
        ("redis://host/0?password=s3cret&db=1", "redis://host/0?password=***&db=1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert errors.without_password(url) == shown


def test_an_unreachable_server_is_named_without_its_password() -> None:
    error = errors.ServerUnreachableError("redis://:s3cret@db:6379", "connection refused")
    assert error.url == "redis://:***@db:6379"
    assert "s3cret" not in str(error)
    assert "connection refused" in str(error)


def test_a_workflow_conflict_names_both_classes() -> None:
    error = errors.WorkflowConflictError("billing", "a:Flow", "b:Flow")
    assert (error.name, error.ours, error.theirs) == ("billing", "a:Flow", "b:Flow")
    assert "a:Flow" in str(error)
    assert "b:Flow" in str(error)


def test_an_encode_error_names_event_field_and_type() -> None:
    assert str(errors.EncodeError("Ask", "items[3].owner", "socket", "no encoding")) == (
        "Ask.items[3].owner of type socket cannot be encoded: no encoding"
    )


def test_a_remote_error_has_the_text_of_the_original() -> None:
    error = errors.RemoteError("app.OddError", "it broke", "Traceback …")
    assert (str(error), error.type_name, error.traceback_text) == ("it broke", "app.OddError", "Traceback …")
