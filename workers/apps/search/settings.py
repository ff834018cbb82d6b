"""What the search application reads from the environment; nothing else in it does."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the indexes lie and who writes the answer.

    Attributes:
        cache_dir: the machine's own folder for indexes (``APP_CACHE``). Safe to delete at any time.
        llm_url: a chat-completion endpoint (``APP_LLM_URL``), with or without ``/chat/completions``;
            None: answers are quotations only.
        llm_model: the model's name (``APP_LLM_MODEL``).
        llm_key: sent as a bearer token when given (``APP_LLM_KEY``).
        llm_timeout_s: how long one answer of the endpoint may take (``APP_LLM_TIMEOUT_S``).
    """

    cache_dir: Path
    llm_url: str | None = None
    llm_model: str = "default"
    llm_key: str | None = None
    llm_timeout_s: float = 60.0


def settings_from_environment() -> Settings:
    """Read the variables; an empty variable counts as not given.

    Raises:
        ValueError: ``APP_LLM_TIMEOUT_S`` is not a number.
    """
    cache = os.getenv("APP_CACHE")
    return Settings(
        cache_dir=Path(cache).expanduser() if cache else _user_cache() / "broker-wf-search",
        llm_url=os.getenv("APP_LLM_URL") or None,
        llm_model=os.getenv("APP_LLM_MODEL") or "default",
        llm_key=os.getenv("APP_LLM_KEY") or None,
        llm_timeout_s=float(os.getenv("APP_LLM_TIMEOUT_S") or 60.0),
    )


def _user_cache() -> Path:
    base = os.getenv("XDG_CACHE_HOME")
    if base:
        return Path(base).expanduser()
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
