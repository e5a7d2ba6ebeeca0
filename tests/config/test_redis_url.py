"""The URLs of a Redis: what they say, and what is wrong with them, without a secret in the text."""

import pytest

from siphon.config.redis_url import RedisUrl, parse_redis_url


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("redis://h", "redis://h:6379"),
        ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
        ("redis://user:pw@[2001:db8::1]:7000", "redis://[2001:db8::1]:7000"),
        ("rediss://:pw@h?ca=/etc/ca.pem", "rediss://h:6379"),
        ("redis+sentinel://:pw@h1,h2:7/NAME", "redis+sentinel://h1:26379,h2:7/NAME"),
        ("rediss+sentinel://h1/NAME/2?sentinel_password=pw", "rediss+sentinel://h1:26379/NAME/2"),
        ("redis+cluster://h1,[::1]:9", "redis+cluster://h1:6379,[::1]:9"),
        ("rediss+cluster://h1?verify=none&wait=1", "rediss+cluster://h1:6379"),
    ],
)
def test_a_url_is_read_and_shown_without_its_password(text: str, masked: str) -> None:
    url = parse_redis_url(text)
    assert url.masked == masked
    assert "pw" not in repr(url) and "pw" not in url.masked


def test_all_that_a_url_says_is_kept() -> None:
    url = parse_redis_url("rediss+sentinel://us%40er:p%3Aw%23@h1,h2/main/4?ca=/c&cert=/d&key=/e&verify=ca&wait=2")
    assert (url.kind, url.service, url.db, url.wait) == ("sentinel", "main", 4, 2)
    assert (url.user, url.password) == ("us@er", "p:w#")
    assert url.tls is not None and (url.tls.ca, url.tls.cert, url.tls.key, url.tls.verify) == ("/c", "/d", "/e", "ca")
    plain = parse_redis_url("redis://h")
    assert (plain.user, plain.password, plain.tls, plain.wait) == (None, None, None, 0)
    assert isinstance(plain, RedisUrl)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redis+snetinel://h/N", "must be a URL that begins with"),
        ("redis://:hunter2@h:99999", "the port must be"),
        ("redis://:hunter2@", "needs host"),
        ("redis://:hunter2@h/x", "number of the database"),
        ("redis://:hunter2@h1,h2", "several hosts"),
        ("redis+sentinel://:hunter2@h", "needs the master's name"),
        ("redis+cluster://:hunter2@h/1", "no databases"),
        ("redis://:hunter2@h?wiat=1", "did you mean wait"),
        ("redis://:hunter2@h?wait=many", "number from 0 to 9"),
        ("redis://:hunter2@h?ca=/x", "for rediss:// only"),
        ("rediss://:hunter2@h?cert=/x", "belong together"),
        ("rediss://:hunter2@h?verify=maybe", "verify must be"),
        ("redis://:hunter2@h?sentinel_password=hunter3", "redis+sentinel:// only"),
        ("redis://:hunt#er2@h", "%23"),
        ("redis://:hunter2@h ", "cannot stand in a URL"),
        ("redis://:hunter2@[::1", "brackets"),
        ("redis://[::1]x", "needs host"),
    ],
)
def test_a_wrong_url_is_explained_without_its_password(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=".") as raised:
        parse_redis_url(text)
    assert words in str(raised.value)
    assert "hunter" not in str(raised.value)
