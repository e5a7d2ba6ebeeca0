"""from_gateway(): which source addresses belong to a group, however they are written."""

import pytest

from siphon.script.gateways import is_from
from siphon.services.balancing import Group, Groups, Upstream
from siphon.state.memory import MemoryTable

UPSTREAMS = (Upstream("sip:a", "192.0.2.1:5060"), Upstream("sip:[2001:db8::1]"))
GROUP = Group("trunks", UPSTREAMS, source_networks=("198.51.100.0/24", "2001:db8:5::/48"))


@pytest.mark.parametrize(
    ("source", "belongs"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("::ffff:198.51.100.9", True),
        ("2001:db8::1", True),
        ("2001:db8:5::77", True),
        ("2001:db8::1%eth0", True),
        ("192.0.2.2", False),
        ("::ffff:192.0.2.2", False),
        ("2001:db8::2", False),
        (None, False),
    ],
)
def test_a_source_belongs_to_a_group_by_its_address(source, belongs):
    groups = Groups(MemoryTable(), b"k" * 32, [GROUP], "start", lambda: 0.0)
    assert is_from(groups, "trunks", source) is belongs
    for unknown in ("other", "", "\ud800", None, ["trunks"]):
        assert is_from(groups, unknown, source) is False
    assert is_from(None, "trunks", source) is False
