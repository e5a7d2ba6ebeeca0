import os
from pathlib import Path

import pytest

from siphon.config import registry
from siphon.config.load import load
from siphon.config.settings import Settings, host_name
from siphon.config.testing import settings_for_tests

PROJECT = Path(__file__).parents[2]


def test_settings_for_tests_merge_nested_tables():
    settings = settings_for_tests(transaction={"t1": 0.1}, auth={"users": {"carol": "pw"}})
    assert settings.transaction.t1 == 0.1
    assert settings.transaction.t2 == 4.0
    assert set(settings.auth.users) == {"alice", "bob", "carol"}
    assert (settings.listen.udp[0].ip, settings.listen.udp[0].port) == ("127.0.0.1", 5060)


def test_a_minimal_file_gives_the_documented_defaults(read):
    settings = read("")
    assert settings.workers.count == len(os.sched_getaffinity(0))
    assert settings.workers.steering == "flow"
    assert settings.shared.path == Path(f"/dev/shm/siphond-{os.getuid()}-{host_name()}")
    assert (settings.shared.max_bindings, settings.shared.max_transactions) == (100000, 200000)
    assert (settings.transaction.t1, settings.transaction.t2, settings.transaction.t4) == (0.5, 4, 5)
    assert (settings.transaction.timer_c, settings.transaction.auto_emit_100_trying_delay_ms) == (185, 200)
    assert (settings.limits.header_bytes, settings.limits.vias, settings.limits.per_source) == (32768, 70, None)
    assert (settings.registrar.default_expires, settings.registrar.max_contacts_action) == (3600, "evict")
    assert (settings.auth.realm, settings.auth.algorithms, settings.auth.nonce_secret) == ("localhost", ["MD5"], [])
    assert (settings.log.level, settings.log.format, settings.log.file) == ("info", "pretty", "stdout")
    assert settings.listen.dscp == settings.listen.udp[0].dscp == 24
    assert settings.warnings == []


KEYS = """
listen.udp listen.dscp listen.mtu listen.rcvbuf advertised_address domain.local tls.certificate workers.count
workers.steering shared.location shared.transactions shared.path shared.record_bytes shared.timeout_ms
transaction.timer_c transaction.linger dns.servers limits.per_source proxy.sign_record_route
proxy.unrouted_in_dialog script.path script.executor_queue_capacity registrar.backend registrar.redis.url
auth.users auth.users.*.ha1_sha256 auth.users_file auth.http.url auth.nonce_secret security.rate_limit.window_secs
security.cancel_same_source nat.keepalive.interval_secs dialog.max_age_secs cache[].local_ttl_secs
gateway.groups[].destinations[].weight media.profiles.*.offer.ice log.file metrics.prometheus.listen
admin.auth.token tracing.hep.endpoint server.drain_secs server.state_dir cdr.file.path
"""


@pytest.mark.parametrize("key", KEYS.split())
def test_the_registry_lists_every_key(key):
    assert key in {setting.key for setting in registry.settings()}


def test_every_setting_says_what_it_means():
    assert all(setting.description for setting in registry.settings())


def test_relative_paths_start_at_the_files_directory(read, tmp_path):
    settings = read('[log]\nfile = "log/siphond.log"\n[auth]\nusers = {}\n[shared]\npath = "../shm"\n')
    assert settings.script.path == tmp_path / "script.py"
    assert settings.server.state_dir == tmp_path / "state"
    assert settings.log.file == str(tmp_path / "log/siphond.log")
    assert settings.shared.path == tmp_path.parent / "shm"


def test_a_script_that_is_not_beside_the_file_is_looked_for_in_the_working_directory(read, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "script.py").touch()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert read("").script.path == tmp_path / "elsewhere" / "script.py"
    (tmp_path / "script.py").touch()
    assert read("").script.path == tmp_path / "script.py"


def test_the_state_directory_is_the_units_or_lies_in_shared_path_with_a_warning(tmp_path):
    path = tmp_path / "siphon.cfg"
    path.write_text('[listen]\nudp = ["127.0.0.1:5060"]\n[domain]\nlocal = ["a"]\n[script]\npath = "s.py"\n')
    given = load(path, {"STATE_DIRECTORY": "/var/lib/siphond:/var/lib/other"})
    assert given.server.state_dir == Path("/var/lib/siphond") and given.warnings == []
    fallen = load(path, {})
    assert fallen.server.state_dir == fallen.shared.path / "state"
    assert [w.key for w in fallen.warnings] == ["server.state_dir"]


def test_listeners_are_texts_or_tables(read):
    text = """
listen.dscp = "AF31"
listen.udp = ["[::1]:5060", {address = "0.0.0.0:5070", advertise = "SIP.Example.com", dscp = "EF"}]
domain.local = ["Example.COM.", "[::1]"]
"""
    settings = read(text)
    first, second = settings.listen.udp
    assert (first.ip, first.port, first.dscp, first.wildcard, first.loopback) == ("::1", 5060, 26, False, True)
    assert (second.ip, second.port, second.dscp, second.wildcard) == ("0.0.0.0", 5070, 46, True)
    assert (first.address, second.advertise) == ("[::1]:5060", "sip.example.com")
    assert settings.domain.local == ["example.com", "::1"]


def test_users_are_passwords_or_hashes(read):
    settings = read(f'[auth.users]\nalice = "pw"\n"bob.b" = {{ha1 = "{"0" * 32}", ha1_sha256 = "{"a" * 64}"}}\n')
    assert settings.auth.users["alice"].password == "pw"
    assert settings.auth.users["bob.b"].ha1 == "0" * 32
    assert settings.auth.users["bob.b"].password is None
    assert "pw" not in repr(settings)


def test_a_name_alone_stands_for_a_list_of_one(read):
    assert read('[auth]\nalgorithms = "SHA-256"\nnonce_secret = "0123456789abcdef"\n').auth.algorithms == ["SHA-256"]


def test_the_registry_finds_sections_by_their_path():
    assert registry.section_at(()) is Settings
    assert registry.show(("listen", "udp", 1, "advertise")) == "listen.udp[1].advertise"
    assert registry.show(("auth", "users", "a.b")) == 'auth.users."a.b"'
    assert registry.nearest(("workers", "cuont")) == "workers.count"
    assert registry.nearest(("auth", "users", "bob", "ha")) == "auth.users.bob.ha1"
    assert registry.nearest(("realm",)) == "auth.realm"
    assert registry.nearest(("zzz",)) is None


@pytest.mark.parametrize("listen", ["127.0.0.1:5060", "0.0.0.0:5060"])
def test_the_shipped_configuration_loads_and_warns_of_its_password_beyond_loopback(listen):
    settings = load(PROJECT / "etc/siphon.cfg", {"SIPHON_LISTEN": listen})
    assert settings.listen.udp[0].address == listen
    assert settings.auth.realm == "example.com"
    assert {name: user.password for name, user in settings.auth.users.items()} == {"alice": "secret", "bob": "secret"}
    assert settings.script.path == PROJECT / "scripts/proxy_default.py"
    assert settings.server.state_dir == PROJECT / "var"
    assert [w.key for w in settings.warnings] == ([] if listen.startswith("127.") else ["auth.users"])


def test_what_the_shipped_configuration_has_as_comments_is_real_too(tmp_path):
    text = (PROJECT / "etc/siphon.cfg").read_text()
    active = [
        line[2:] if line.startswith("# ") and " = " in line and line[2].islower() else line
        for line in text.splitlines()
    ]
    assert active != text.splitlines()
    path = tmp_path / "siphon.cfg"
    path.write_text("\n".join(active))
    defaults = load(PROJECT / "etc/siphon.cfg", {})
    opened = load(path, {})
    for section in ("listen", "registrar", "log", "transaction", "limits"):
        assert getattr(opened, section) == getattr(defaults, section)
