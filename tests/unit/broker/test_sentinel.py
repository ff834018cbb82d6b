from __future__ import annotations

from broker_wf.broker.sentinel_urls import Watched, is_watched, watched


def test_which_urls_name_sentinels() -> None:
    assert is_watched("redis+sentinel://a/m")
    assert is_watched("rediss+sentinel://a/m")
    assert not is_watched("redis://a/0")


def test_a_url_of_sentinels() -> None:
    url = "redis+sentinel://us%40er:p%3Aw@a:1,[::1]:2,b/main/3?sentinel_username=s&sentinel_password=t%26u"
    assert watched(url) == Watched(
        sentinels=(("a", 1), ("::1", 2), ("b", 26379)),
        service="main",
        server={"db": 3, "username": "us@er", "password": "p:w"},
        own={"username": "s", "password": "t&u"},
    )


def test_a_url_of_sentinels_over_tls() -> None:
    found = watched("rediss+sentinel://a:1/main?db=2&username=u&password=p&ssl_ca_certs=/ca.pem")
    tls = {"ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert found.server == {"db": 2, "username": "u", "password": "p", **tls}
    assert found.own == tls
