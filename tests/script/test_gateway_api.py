"""The namespace `gateway` as scripts see it: what calls say to names and values that cannot be (API 13)."""

import pytest
from script_kit import Bench

from siphon import gateway
from siphon.services.balancing import Groups, groups_of
from siphon.state.memory import MemoryTable

GROUPS = {"groups": [{"name": "pool", "destinations": [{"uri": "sip:192.0.2.1", "attrs": {"area": "é"}}]}]}
ENTRY = {"uri": "sip:192.0.2.9"}


@pytest.fixture
def bench(tmp_path):
    """A process whose script has loaded, with one group."""
    made = Bench(tmp_path, "from siphon import gateway, proxy\n", gateway=GROUPS)
    made.services.gateways = Groups(MemoryTable(), b"k" * 32, groups_of(made.settings.gateway), "start", lambda: 0.0)
    return made


@pytest.mark.parametrize("name", ["other", "", "\ud800", "p" * 5000, None, 5, ["pool"]])
def test_a_name_that_no_group_has_is_an_unknown_group_whatever_it_is(bench, name):
    assert gateway.select(name) is None
    assert gateway.list(name) == []
    assert gateway.status(name) == []
    assert gateway.mark_up(name, "sip:192.0.2.1") is False
    assert gateway.mark_down(name, "sip:192.0.2.1") is False
    assert gateway.remove_group(name) is False
    assert gateway.groups() == ["pool"]


@pytest.mark.parametrize("destinations", [None, 5, True, "sip:192.0.2.1", {"uri": "sip:192.0.2.1"}])
def test_destinations_are_a_list_of_dicts(bench, destinations):
    with pytest.raises(TypeError, match="^destinations is a list of dicts, not "):
        gateway.add_group("more", destinations)


@pytest.mark.parametrize("attrs", [5, "area", [("area", "é")]])
def test_attrs_that_are_no_dict_are_a_type_error(bench, attrs):
    with pytest.raises(TypeError, match="^attrs is a dict, not "):
        gateway.select("pool", attrs=attrs)


@pytest.mark.parametrize(("attrs", "found"), [({"area": "é"}, True), ({"area": ["é"]}, False), ({5: 5}, False)])
def test_attrs_of_any_value_are_compared(bench, attrs, found):
    assert (gateway.select("pool", attrs=attrs) is not None) is found


@pytest.mark.parametrize("name", ["", "\ud800", "g" * 257, "é" * 129])
def test_a_name_that_cannot_be_kept_is_a_value_error(bench, name):
    with pytest.raises(ValueError):
        gateway.add_group(name, [ENTRY])
    assert gateway.groups() == ["pool"]


@pytest.mark.parametrize(
    ("probe", "says"),
    [
        ({"interval_secs": -1}, "probe: interval_secs: must be at least 1, not -1"),
        ({"interval_secs": "x"}, 'probe: interval_secs: must be a number, not "x"'),
        ({"from_user": "a b"}, 'probe: from_user: holds a character that cannot stand here: "a b"'),
        ({"from_domain": "a b"}, 'probe: from_domain: must be a host name or an IP address without a port, not "a b"'),
        (
            {"interval": 5},
            "a probe has no 'interval'; it has enabled, interval_secs, failure_threshold, from_user, from_domain",
        ),
        (
            {5: 5},
            "a probe has no 5; it has enabled, interval_secs, failure_threshold, from_user, from_domain",
        ),
    ],
)
def test_probe_settings_that_cannot_be_are_said_in_words(bench, probe, says):
    with pytest.raises(ValueError) as raised:
        gateway.add_group("made", [ENTRY], probe=probe)
    assert str(raised.value) == says
    assert gateway.list("made") == []


def test_an_unknown_algorithm_is_weighted_with_a_warning(bench):
    heavy = {"uri": "sip:192.0.2.8", "weight": 3}
    gateway.add_group("made", [heavy, ENTRY], algorithm="fastest")
    assert [gateway.select("made").uri[-1] for _ in range(4)] == ["8", "8", "8", "9"]
    assert "unknown algorithm 'fastest', taken as 'weighted'" in bench.log.text
