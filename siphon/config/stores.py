"""Where state is kept: the types of the settings that say so, and what they come to."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from siphon.config.log import masked
from siphon.config.redis_url import SCHEMES, RedisUrl, parse_redis_url
from siphon.config.values import Text, quote

REDIS = tuple(f"{scheme}://" for scheme in SCHEMES)


class RedisStore(NamedTuple):
    """A Redis, the first part of every key, and the seconds that a key outlives its bindings."""

    url: RedisUrl
    key_prefix: str
    slack_secs: int


def _redis_url(value: str) -> str:
    """The value is not shown: it may hold a password."""
    try:
        parse_redis_url(value)
    except ValueError as error:
        raise PydanticCustomError("redis_url", "{text}", {"text": str(error)}) from None
    return value


def _store(value: str) -> str:
    if value.startswith(REDIS):
        return _redis_url(value)
    if value != "shm":
        text = f'must be "shm" or the URL of a Redis, not {quote(masked(value))}'
        raise PydanticCustomError("choice", "{text}", {"text": text, "choices": ["shm"]})
    return value


def _key_prefix(value: str) -> str:
    if "{" in value or "}" in value:
        raise ValueError("must not hold braces: they name the slot in a Cluster")
    return value


StoreUrl = Annotated[Text, AfterValidator(_store)]
RedisUrlText = Annotated[Text, AfterValidator(_redis_url)]
KeyPrefix = Annotated[Text, AfterValidator(_key_prefix)]
