"""`host:port` of a peer: a name or an address."""

import pytest

from siphon.config.testing import settings_for_tests
from siphon.config.values import split_endpoint


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("collector.example.com:9060", ("collector.example.com", 9060)),
        ("Collector.Example.COM.:1", ("collector.example.com", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("[2001:DB8::1]:9060", ("2001:db8::1", 9060)),
    ],
)
def test_a_name_an_address_or_an_ipv6_address_in_brackets(text, parts):
    assert split_endpoint(text) == parts
    settings = settings_for_tests(tracing={"hep": {"endpoint": text}})
    assert split_endpoint(settings.tracing.hep.endpoint) == parts


@pytest.mark.parametrize(
    "text", ["", "collector", "collector:", ":9060", "2001:db8::1:9060", "a b:1", "x:0", "x:65536"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="endpoint"):
        settings_for_tests(tracing={"hep": {"endpoint": text}})
