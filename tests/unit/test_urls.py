from __future__ import annotations

import pytest

from broker_wf.broker.server_check import is_loopback
from broker_wf.urls import split_url


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("a", (("a", None),)),
        ("[::1]:1", (("::1", 1),)),
        ("a:1,[::1]:2", (("a", 1), ("::1", 2))),
        ("[::1]:2,a:1", (("::1", 2), ("a", 1))),
        ("a,[::1],[fe80::2%25eth0]:3", (("a", None), ("::1", None), ("fe80::2%25eth0", 3))),
    ],
)
@pytest.mark.parametrize("user", ["", "us%40er:p%3Aw@", ":p,w@"])
def test_hosts_of_every_kind(user: str, hosts: str, addresses: object) -> None:
    found = split_url(f"redis+sentinel://{user}{hosts}/main/3?x=[y],z")
    assert (found.addresses, found.hosts) == (addresses, tuple(hosts.split(",")))
    assert (found.parts.path, found.parts.query) == ("/main/3", "x=[y],z")
    assert found.password == {"": None, "us%40er:p%3Aw@": "p:w", ":p,w@": "p,w"}[user]


@pytest.mark.parametrize("url", ["", "bundled://", "unix:///tmp/a,b:c", "unix://:p@/tmp/s"])
def test_a_url_without_a_host(url: str) -> None:
    assert split_url(url).addresses == ((None, None),)


@pytest.mark.parametrize("url", ["redis://[::1", "redis://a:x", "redis://a:1,b:99999", "redis://user:pa/ss@a"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^is no URL of a server$"):
        split_url(url)


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("redis+sentinel://127.0.0.1:1,[::1]:2/m", True),
        ("redis+sentinel://[::1]:2,127.0.0.1:1/m", True),
        ("redis+sentinel://127.0.0.1:1,[2001:db8::1]:2/m", False),
        ("redis+sentinel://[2001:db8::1]:2,localhost/m", False),
        ("unix:///tmp/s", True),
        ("redis://", True),
    ],
)
def test_which_servers_this_machine_alone_can_reach(url: str, near: bool) -> None:
    assert is_loopback(url) is near
