"""The server that tests run on is set up as the library sets up its own."""

from __future__ import annotations

import redis


def test_the_server_of_a_session_keeps_a_log_and_answers(server_url: str) -> None:
    with redis.Redis.from_url(server_url, decode_responses=True) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
