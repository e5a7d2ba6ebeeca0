import pytest

from siphon.config.reload import fixed_changes, late_changes, pack, unpack
from siphon.config.testing import settings_for_tests

RICH = {
    "auth": {
        "users": {"carol": {"ha1": "0" * 32}},
        "nonce_secret": "0123456789abcdef",
        "algorithms": ["SHA-256", "MD5"],
    },
    "listen": {"udp": ["127.0.0.1:5060", {"address": "[::1]:5070", "dscp": "EF", "advertise": "a.example"}]},
    "gateway": {"groups": [{"name": "g", "destinations": [{"uri": "sip:a"}], "algorithm": "from_uri_hash"}]},
    "media": {"profiles": {"p": {"offer": {"ice": "force"}}}},
    "security": {"trusted_cidrs": ["192.0.2.0/24"]},
    "nat": {"keepalive": {}},
    "limits": {"per_source": 5},
}


def test_settings_arrive_as_they_were_sent():
    settings = settings_for_tests(**RICH)
    received, version, sources = unpack(pack(settings, 7, {"helper": ("/x/helper.py", False, "\xff")}))
    assert (version, sources) == (7, {"helper": ["/x/helper.py", False, "\xff"]})
    assert received == settings
    assert received.auth.users["alice"].password == "secret"
    assert received.listen.udp[1].dscp == 46


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"log": {"level": "debug"}, "auth": {"realm": "x"}}, []),
        ({"listen": {"udp": ["127.0.0.1:5061"]}}, ["listen.udp"]),
        ({"workers": {"count": 3, "steering": "spread"}}, ["workers.count", "workers.steering"]),
        (
            {"shared": {"max_nonces": 512}, "server": {"state_dir": "/x", "drain_secs": 1}},
            ["shared.max_nonces", "server.state_dir"],
        ),
    ],
)
def test_what_a_running_instance_stands_on_needs_a_restart(change, names):
    assert fixed_changes(settings_for_tests(), settings_for_tests(**change)) == names


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"log": {"file": "/x/y"}, "server": {"drain_secs": 1}, "script": {"handler_stall_abort_secs": 5}}, []),
        ({"server": {"instance_id": "another"}}, ["server.instance_id"]),
    ],
)
def test_what_counts_from_the_next_start_only_is_named(change, names):
    assert late_changes(settings_for_tests(), settings_for_tests(**change)) == names
