"""How a run is asked for."""

from __future__ import annotations

from pydantic import Field, JsonValue, model_validator
from typing_extensions import Self

from broker_wf.core.run_options import MOST_TAGS, OnConflict, Priority, RunOptions
from broker_wf.server.api.models import Asked


class NewRun(Asked):
    """A run to start."""

    workflow: str = Field(description="Its name.")
    event: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], description="Fields of the workflow's start event."
    )
    run_id: str | None = Field(
        default=None, description="The same id with the same start event attaches to the run there is."
    )
    tags: dict[str, str] = Field(
        default_factory=dict[str, str],
        max_length=MOST_TAGS,
        description="Texts to find it by: names of 1 to 64 characters without '=', values of at most 256.",
    )
    delay: float | str = Field(
        default=0.0,
        description=(
            "When its first step may begin: in so many seconds, or in '30s', '5m', 'PT5M'. Till then it is queued."
        ),
    )
    on_conflict: OnConflict = Field(
        default="fail",
        description=(
            "Where the id is taken by a run of this workflow: `fail` attaches if the start event is the same and is "
            "refused otherwise; `attach` always attaches; `restart` cancels and forgets that run and begins anew."
        ),
    )
    priority: Priority = Field(
        default="normal", description="Whose steps go before others', and who waits less for a turn."
    )
    fairness_key: str | None = Field(
        default=None,
        description="Of runs that wait for a turn of `num_concurrent_runs`, one of each key is next, round and round.",
    )
    request_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Of a restart: sent again under the same id it happens once.",
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        self.options()
        return self

    def options(self) -> RunOptions:
        """What it is started with besides its event."""
        return RunOptions(
            tags=self.tags,
            delay=self.delay,
            on_conflict=self.on_conflict,
            priority=self.priority,
            fairness_key=self.fairness_key,
        )


class NewRuns(Asked):
    """Runs to start; each is judged by itself, and those before a refused one go on."""

    runs: list[NewRun] = Field(min_length=1, max_length=1_000)
