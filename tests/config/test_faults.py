import os

import pytest

from siphon.config.errors import ConfigurationError
from siphon.config.load import load

LISTEN = 'must be "ip:port" as in "127.0.0.1:5060" or "[::]:5060"'


def test_all_faults_are_reported_at_once_with_lines_and_nearest_names(faults):
    text = """advertised_adress = "x"
[transaction]
t1 = "5"
t2 = 100
[registrar]
backnd = "memory"
min_expires = 4000
[log]
level = "warning"
[wrkers]
count = 2
"""
    assert faults(text) == [
        "1: advertised_adress: unknown key; did you mean advertised_address",
        '3: transaction.t1: must be a number, not "5"',
        "4: transaction.t2: must be at most 60, not 100",
        "5: registrar.default_expires: must lie between registrar.min_expires and max_expires, 4000 and 7200",
        "6: registrar.backnd: unknown key; did you mean registrar.backend",
        "7: registrar.min_expires: must be at most 3600: RFC 3261 section 10.3 forbids refusing an hour",
        '9: log.level: must be "debug" or "info" or "warn" or "error", not "warning"; did you mean "warn"',
        "10: wrkers: unknown key; did you mean workers",
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("workers.count = 0", "workers.count: must be at least 1, not 0"),
        ("workers.count = 1000", "workers.count: must be at most 56, not 1000"),
        ("workers.count = 2.0", "workers.count: must be a whole number, not 2.0"),
        ("workers.count = true", "workers.count: must be a whole number, not true"),
        ("workers.count = '2'", 'workers.count: must be a whole number, not "2"'),
        ("workers = 3", "workers: must be a table, not 3"),
        ("workers.steering = 'flwo'", 'workers.steering: must be "flow" or "spread", not "flwo"; did you mean "flow"'),
        ("transaction.t1 = nan", "transaction.t1: must be at most 10, not nan"),
        ("transaction.t1 = 5.0", "transaction.t2: must not be less than transaction.t1, which is 5"),
        ("transaction.t1 = 2026-01-31", "transaction.t1: must be a number, not 2026-01-31"),
        ("nat.fix_contact = 1", "nat.fix_contact: must be true or false, not 1"),
        ("auth.realm = 5", "auth.realm: must be a text, not 5"),
        ("auth.realm = ''", "auth.realm: must not be empty"),
        ("auth.realm = 'a\"b'", 'auth.realm: holds a character that cannot stand here: "a"b"'),
        ("auth.algorithms = []", "auth.algorithms: must not be empty"),
        ("auth.algorithms = ['MD5', 'MD5']", "auth.algorithms: an algorithm stands here twice"),
        ("auth.nonce_secret = 'short'", "auth.nonce_secret: must have at least 16 characters"),
        ("auth.backend = 'http'", 'auth.backend: needs auth.http.url when it is "http"'),
        ("auth.http.url = 'http://h/u'", "auth.http.url: needs {username} in its path or query"),
        ("auth.http.url = 'http://{username}/u'", "auth.http.url: needs {username} in its path or query"),
        ("auth.http.url = 'ftp://h/{username}'", "auth.http.url: must be an http:// or https:// URL"),
        ("auth.http.url = 'http://h:x/{username}'", "auth.http.url: must be an http:// or https:// URL"),
        ("auth.http.url = 'http:///{username}'", "auth.http.url: must be an http:// or https:// URL"),
        ("auth.http.url = 'http://h/a b/{username}'", "auth.http.url: holds a character that cannot stand in a URL"),
        ("auth.users.bob = 5", "auth.users.bob: must be a text, or a table with ha1, not a number"),
        ("auth.users.bob = {}", "auth.users.bob: needs one of ha1, ha1_sha256, ha1_sha512_256"),
        ("auth.users.bob.ha1 = 'xyz'", "auth.users.bob.ha1: must be 32 hex digits"),
        ("auth.users.bob.b = 'pw'", "auth.users.bob.b: unknown key; a user name with a dot in it needs quotes"),
        ("script.include_paths = 'x'", 'script.include_paths: must be a list, not "x"'),
        ("script.include_paths = ['']", "script.include_paths[0]: must not be empty"),
        (
            "listen.dscp = 'EE'",
            'listen.dscp: must be a DSCP name as in "CS3", "EF", "AF31", or a number from 0 to 63, not "EE"',
        ),
        (
            "listen.dscp = 64",
            'listen.dscp: must be a DSCP name as in "CS3", "EF", "AF31", or a number from 0 to 63, not 64',
        ),
        (
            "advertised_address = 'a b'",
            'advertised_address: must be a host name or an IP address without a port, not "a b"',
        ),
        (
            "advertised_address = '1.2.3'",
            'advertised_address: must be a host name or an IP address without a port, not "1.2.3"',
        ),
        (
            "security.trusted_cidrs = ['x']",
            'security.trusted_cidrs[0]: must be a network as in "192.0.2.0/24" or an address, not "x"',
        ),
        ("shared.vars_bytes = 16384", "shared.vars_bytes: must be at most half of shared.record_bytes, 8192"),
        ("limits.line_bytes = 40000", "limits.line_bytes: must not exceed limits.header_bytes, which is 32768"),
        (
            "server.instance_id = '../x'",
            'server.instance_id: must be 1 to 64 letters, digits, dots, - or _, a letter or digit first, not "../x"',
        ),
        ("log.file = ''", "log.file: must not be empty"),
        ("cache = [{name = 'a'}, {name = 'a'}]", 'cache[1].name: a second cache "a"'),
        (
            "proxy.known_extensions = ['a b']",
            'proxy.known_extensions[0]: holds a character that cannot stand here: "a b"',
        ),
        (
            "cdr = { backend = 'syslog', syslog.target = '10.0.0.9' }",
            'cdr.syslog.target: must be "host:port" as in "collector.example.com:9060", not "10.0.0.9"',
        ),
        ("cdr.http.url = 'web/cdr'", "cdr.http.url: must be an http:// or https:// URL"),
        (
            "cdr.http = { url = 'http://h/', auth_header = \"a\\r\\nX: y\" }",
            "cdr.http.auth_header: holds a character that cannot stand here: a text",
        ),
        (
            "security.apiban = { api_key = 'k', url = 'https://' }",
            "security.apiban.url: must be an http:// or https:// URL",
        ),
        (
            "security.firewall = { table = 't', chain = 'c', set_v4 = 's', set_v6 = 's' }",
            "security.firewall.set_v6: must be another set than set_v4: one holds addresses of one family",
        ),
        (
            "tracing.hep = { endpoint = 'h:1', transport = 'tls', ca_cert = '/nowhere/ca.pem' }",
            "tracing.hep.ca_cert: /nowhere/ca.pem cannot be used: no such file or directory",
        ),
        (
            "metrics.prometheus = { listen = '127.0.0.1:9', path = 'metrics' }",
            'metrics.prometheus.path: must begin with /, not "metrics"',
        ),
        (
            "metrics.prometheus = { listen = '127.0.0.1:9', path = '/a?b' }",
            'metrics.prometheus.path: holds a character that cannot stand here: "/a?b"',
        ),
        (
            'cdr.file.path = "a\\u0000"',
            r'cdr.file.path: holds a character that cannot stand here: "a\x00"',
        ),
        (
            'media.sdp_name = "a\\nb"',
            r'media.sdp_name: holds a character that cannot stand here: "a\nb"',
        ),
        ("media.rtpengine = {}", "media.rtpengine: needs address, or instances"),
        ("media.rtpproxy.instances = []", "media.rtpproxy: needs address, or instances"),
        (
            "media.rtpengine = { address = '127.0.0.1:1', instances = [{ address = '127.0.0.1:2' }] }",
            "media.rtpengine.address: stands beside instances; keep one of the two",
        ),
        (
            "media.profiles.p.offer.received_from = ['IP4']",
            'media.profiles.p.offer.received_from: must be "source", an address, or a pair of family and address',
        ),
        (
            "media.profiles.p.offer.received_from = 'sauce'",
            'media.profiles.p.offer.received_from: must be "source", an address, or a pair of family and address',
        ),
        (
            "media.profiles.p.offer.received_from = ['IP6', '192.0.2.1']",
            'media.profiles.p.offer.received_from: must be "source", an address, or a pair of family and address',
        ),
        (
            "media.profiles.p.offer.address_family = 'IPv4'",
            'media.profiles.p.offer.address_family: must be "IP4" or "IP6", not "IPv4"; did you mean "IP4"',
        ),
        ("media.profiles.p.answer.ice = ''", "media.profiles.p.answer.ice: must not be empty"),
        (
            "media.profiles.p.answer.flags = ['trust address', ' symmetric']",
            'media.profiles.p.answer.flags[1]: holds a character that cannot stand here: " symmetric"',
        ),
        ("media.profiles.p.offer.record_path = ''", "media.profiles.p.offer.record_path: must not be empty"),
        (
            "admin = { listen = '127.0.0.1:1', auth.token = 'gehe\u00efm' }",
            "admin.auth.token: must be ASCII without control characters, and without spaces at its ends",
        ),
        (
            "admin = { listen = '127.0.0.1:1', auth.token = 'a ' }",
            "admin.auth.token: must be ASCII without control characters, and without spaces at its ends",
        ),
        (
            'admin = { listen = "127.0.0.1:1", auth.token = "a\\nb" }',
            "admin.auth.token: must be ASCII without control characters, and without spaces at its ends",
        ),
        ("gateway.groups = [{ name = 'g' }]", "gateway.groups[0].destinations: is required"),
        ("log.levle = 'x'", "log.levle: unknown key; did you mean log.level"),
        ("realm = 'x'", "realm: unknown key; did you mean auth.realm"),
        ("auth.users_fiel = 'x'", "auth.users_fiel: unknown key; did you mean auth.users_file"),
    ],
)
def test_a_wrong_value_is_said_in_words(faults, line, what):
    assert faults(line) == [f"1: {what}"]


@pytest.mark.parametrize("uri", ["", "192.0.2.1", "sips:h", "sip:", "sip:a b", "sip:u@h:0", "sip:h:99999", "sip:[::1"])
def test_a_gateways_destination_is_a_sip_uri(faults, uri):
    found = faults(f"gateway.groups = [{{ name = 'g', destinations = [{{ uri = '{uri}' }}] }}]")
    what = "must not be empty" if not uri else f'must be a sip: URI as in "sip:192.0.2.1", not "{uri}"'
    assert found == [f"1: gateway.groups[0].destinations[0].uri: {what}"]


@pytest.mark.parametrize(
    "uri", ["sip:h", "SIP:u@h:5080;lr;transport=UDP", "sip:u;a=b@[2001:db8::1]:5060?x=1", "sip:[::1]"]
)
def test_a_gateways_destination_may_be_any_sip_uri_that_udp_reaches(read, uri):
    settings = read(f"gateway.groups = [{{ name = 'g', destinations = [{{ uri = '{uri}' }}] }}]")
    assert settings.gateway.groups[0].destinations[0].uri == uri


def test_a_gateways_destination_and_its_probes_are_what_can_be_sent(faults):
    assert faults("gateway.groups = [{ name = 'g', destinations = [{ uri = 'sip:h;transport=tcp' }] }]") == [
        '1: gateway.groups[0].destinations[0].uri: the transport "tcp" is not served by this release; use udp'
    ]
    probed = "gateway.groups = [{ name = 'g', probe.from_user = 'a b', destinations = [{ uri = 'sip:h' }] }]"
    assert faults(probed) == ['1: gateway.groups[0].probe.from_user: holds a character that cannot stand here: "a b"']


def test_the_authorities_of_a_collector_are_certificates(faults, tmp_path):
    (tmp_path / "ca.pem").write_text("none")
    assert faults("tracing.hep = { endpoint = 'h:1', transport = 'tls', ca_cert = 'ca.pem' }") == [
        f"1: tracing.hep.ca_cert: {tmp_path}/ca.pem cannot be used: no certificate in PEM"
    ]


@pytest.mark.parametrize(
    ("admin", "prometheus", "clashes"),
    [
        ("127.0.0.1:9", "127.0.0.1:9", False),
        ("127.0.0.1:9", "127.0.0.1:10", False),
        ("0.0.0.0:9", "[::]:9", False),
        ("0.0.0.0:9", "127.0.0.1:9", True),
        ("[::1]:9", "[::]:9", True),
    ],
)
def test_two_web_listeners_are_equal_or_apart(faults, read, admin, prometheus, clashes):
    text = f"admin.listen = '{admin}'\nmetrics.prometheus.listen = '{prometheus}'"
    if clashes:
        what = f"metrics.prometheus.listen: overlaps admin.listen, which is {admin}; make them equal"
        assert faults(text) == [f"2: {what}"]
    else:
        assert read(text).metrics.prometheus.listen == prometheus


@pytest.mark.parametrize(
    ("service", "what"),
    [
        ("{ url = 'ftp://h/{username}' }", "auth.http.url: must be an http:// or https:// URL"),
        ("{ timeout_ms = 100 }", "auth.http.url: is required"),
    ],
)
def test_what_follows_from_a_wrong_service_of_users_is_not_said_beside_it(faults, service, what):
    assert faults(f"auth = {{ backend = 'http', http = {service} }}") == [f"1: {what}"]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ('["127.0.0.1"]', f'1: listen.udp[0]: {LISTEN}, not "127.0.0.1"'),
        ('["localhost:5060"]', f'1: listen.udp[0]: {LISTEN}, not "localhost:5060"'),
        ('["::1:5060"]', f'1: listen.udp[0]: {LISTEN}, not "::1:5060"'),
        ('["[127.0.0.1]:5060"]', f'1: listen.udp[0]: {LISTEN}, not "[127.0.0.1]:5060"'),
        ('["127.0.0.1:0"]', '1: listen.udp[0]: the port must be 1 to 65535, not "0"'),
        ('["127.0.0.1:99999"]', '1: listen.udp[0]: the port must be 1 to 65535, not "99999"'),
        ('["127.0.0.1:\u0665"]', '1: listen.udp[0]: the port must be 1 to 65535, not "\u0665"'),
        ('"127.0.0.1:5060"', '1: listen.udp: must be a list, not "127.0.0.1:5060"'),
        ("[5060]", '1: listen.udp[0]: must be "ip:port" or a table, not 5060'),
        ("[]", '1: listen.udp: needs at least one listener, as in udp = ["127.0.0.1:5060"]'),
        ('[\n"127.0.0.1:5060",\n"127.0.0.1:5060"]', "3: listen.udp[1]: 127.0.0.1:5060 stands here twice"),
        (
            '["127.0.0.1:5060", "0.0.0.0:5060"]',
            "1: listen.udp[0]: 127.0.0.1:5060 is contained in 0.0.0.0:5060; keep one of the two",
        ),
        ('[{addres = "127.0.0.1:5060"}]', "1: listen.udp[0].addres: unknown key; did you mean listen.udp[0].address"),
    ],
)
def test_a_wrong_listener_is_said_in_words(faults, value, what):
    assert faults(f"listen.udp = {value}") == [what]


def test_both_families_on_one_port_do_not_clash(read):
    text = 'listen.udp = ["0.0.0.0:5060", "[::]:5060", "[::1]:5070"]'
    assert len(read(text).listen.udp) == 3


def test_what_is_required_is_not_asked_for_beside_its_section_with_a_wrong_name(faults):
    found = faults("[domian]\nlocal = ['example.com']", complete=False)
    assert "1: domian: unknown key; did you mean domain" in found
    assert not any("domain.local" in line for line in found)


def test_an_empty_file_lacks_three_things(faults):
    assert faults("", complete=False) == [
        "domain.local: is required",
        "script.path: is required",
        'listen.udp: needs at least one listener, as in udp = ["127.0.0.1:5060"]',
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("listen.tcp = ['127.0.0.1:5060']", "listen.tcp: this transport is not served by this release; use listen.udp"),
        ("listen.wss = ['127.0.0.1:5060']", "listen.wss: this transport is not served by this release; use listen.udp"),
        (
            "registrar.backend = 'postgres'",
            'registrar.backend: "postgres" is not served by this release; use "memory" or "redis"',
        ),
        ("auth.backend = 'database'", 'auth.backend: "database" is not served by this release; use "static" or "http"'),
        (
            "media.backend = 'siphon-rtp'",
            'media.backend: "siphon-rtp" is not served by this release; use "rtpengine" or "rtpproxy"',
        ),
        (
            "shared.transactions = 'redis+cluster://h/1'",
            "shared.transactions: a Cluster has no databases: nothing may follow its nodes",
        ),
        (
            "shared.location = 'smh'",
            'shared.location: must be "shm" or the URL of a Redis, not "smh"; did you mean "shm"',
        ),
        (
            "shared.location = 'redis+sentinel://:hunter2@h'",
            "shared.location: needs the master's name after the Sentinels, as in redis+sentinel://h1,h2/NAME",
        ),
        ("registrar.backend = 'redis'", 'registrar.backend: needs registrar.redis.url when it is "redis"'),
    ],
)
def test_what_this_release_cannot_serve_is_an_error(faults, line, what):
    assert faults(line) == [f"1: {what}"]


@pytest.mark.parametrize("line", ["b2bua.x = 1", "stir = 5", "[[http]]\na = 1"])
def test_sections_that_are_not_offered_warn_and_are_skipped(warnings, line):
    name = "b2bua" if "b2bua" in line else "stir" if "stir" in line else "http"
    assert warnings(line + "\n") == [f"1: {name}: this section is not offered; it is skipped"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "transaction.timer_c = 180",
            "transaction.timer_c: RFC 3261 section 16.6 wants more than 180 seconds; calls that ring long will end",
        ),
        ("transaction.invite_timeout_secs = 30", "transaction.invite_timeout_secs: is accepted, but has no effect"),
        ("script.sync_pool_max = 30", "script.sync_pool_max: is accepted, but has no effect"),
        ("nat.crlf_keepalive = {}", "nat.crlf_keepalive: is accepted, but this release does nothing with it yet"),
        ("script.include_paths = ['/nowhere']", "script.include_paths[0]: /nowhere does not exist"),
        ("cdr.auto_emit = true", "cdr.auto_emit: is not used: cdr.enabled is false"),
        (
            "cache = [{ name = 'a', local_ttl_secs = 5 }]",
            "cache[0].local_ttl_secs: is not used: the cache has no url, all workers share it",
        ),
        (
            "media = { backend = 'rtpproxy', rtpengine.address = '127.0.0.1:1' }",
            'media.rtpengine: is not used: media.backend is "rtpproxy"',
        ),
        (
            "media = { backend = 'rtpproxy', profiles.p.offer = { ice = 'force' } }",
            "media.profiles.p.offer: ice = 'force' needs RTPEngine: rtpproxy cannot do that",
        ),
        (
            "media = { backend = 'rtpproxy', profiles.p.answer = { flags = ['symmetric', 'loop-protect'] } }",
            "media.profiles.p.answer: 'loop-protect' needs RTPEngine: rtpproxy cannot do that",
        ),
    ],
)
def test_what_has_no_effect_or_is_unwise_warns(warnings, text, warning):
    assert warnings(text) == [f"1: {warning}"]


@pytest.mark.parametrize(
    "text",
    [
        *("nat.keepalive = {}", "shared.timeout_ms = 100"),
        "media.profiles.p.offer = { flags = ['trust address'], replace = ['session connection'] }",
        "media.profiles.p.offer = { received_from = ['IP6', '2001:db8::1'], transport_protocol = 'UDP/TLS/RTP/SAVPF' }",
        "media = { backend = 'rtpproxy', profiles.p.offer = { flags = ['trust-address'], ice = 'remove' } }",
    ],
)
def test_what_does_something_or_has_nothing_to_limit_does_not_warn(warnings, text):
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"a = \n", ":1: not valid TOML: Invalid value"),
        (b"a = 1\na = 2\n", ":2: not valid TOML: Cannot overwrite a value"),
        (b"[a\n", ":1: not valid TOML: Expected ']' at the end of a table declaration"),
        (b"a = [1,\n", ":2: not valid TOML: Invalid value"),
        (b"a = " + b"[" * 5000, ": not valid TOML: nested too deeply"),
        (b"x\n\xff\xfe\n", ":2: is not UTF-8: byte 0xff"),
        (b"\x7fELF\x00\x80\xff", ":1: is not a text file: byte 0x80"),
        (b"#" * (4 * 1024 * 1024 + 1), ": is larger than 4 MB; is it a configuration?"),
    ],
)
def test_what_is_not_toml_is_said_with_its_line(tmp_path, content, what):
    path = tmp_path / "siphon.cfg"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path}{what}"


def test_a_file_that_cannot_be_read_is_said_plainly(tmp_path):
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "none", "no such file or directory")):
        with pytest.raises(ConfigurationError) as caught:
            load(path, {})
        assert str(caught.value) == f"{path}: cannot be read: {why}"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    path = tmp_path / "siphon.cfg"
    path.write_bytes(
        b'\xef\xbb\xbflisten.udp = ["127.0.0.1:5060"]\r\ndomain.local = ["a"]\r\nscript.path = "s"\r\nxx = 1\r\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert str(caught.value) == f"{path}:4: xx: unknown key"


def test_secrets_never_stand_in_a_message(faults):
    text = """
auth.nonce_secret = ["hunter2"]
shared.location = "xredis://:hunter2@h"
auth.users.bob = ["hunter2"]
admin.auth.token = 2222
"""
    found = "\n".join(faults(text))
    assert found.count("\n") == 4
    assert "hunter2" not in found and "2222" not in found


def test_users_of_the_users_file_are_joined_and_named_with_its_lines(read, faults, tmp_path):
    (tmp_path / "users").write_text('carol = "pw-${X}"\n')
    settings = read('[auth]\nusers_file = "users"\nusers.alice = "a"\n', {"X": "1"})
    assert {name: user.password for name, user in settings.auth.users.items()} == {"alice": "a", "carol": "pw-1"}
    (tmp_path / "users").write_text('carol = "pw"\nalice = "other"\ndave = 7\n')
    found = faults('[auth]\nusers_file = "users"\nusers.alice = "a"\n')
    assert found == [
        f"{tmp_path}/users:2: auth.users.alice: stands in auth.users too",
        f"{tmp_path}/users:3: auth.users.dave: must be a text, or a table with ha1, not a number",
    ]


def test_a_users_file_that_cannot_be_used_is_a_fault_of_its_key(faults, tmp_path):
    (tmp_path / "users").write_text("a = \n")
    assert faults('[auth]\nusers_file = "none"\n') == [
        f"2: auth.users_file: {tmp_path}/none cannot be read: no such file or directory"
    ]
    assert faults('[auth]\nusers_file = "users"\n') == [
        f"2: auth.users_file: {tmp_path}/users line 1: not valid TOML: Invalid value"
    ]
    assert faults("[auth]\nusers_file = 5\n") == ["2: auth.users_file: must be a text with a path, not 5"]


@pytest.mark.parametrize("key", ["script.path", "auth.users_file", "log.file", "shared.path", "server.state_dir"])
def test_a_path_that_leads_nowhere_is_a_fault_of_its_key(faults, key):
    nobody, nul = faults(f'{key} = "~no-such-user/x"'), faults(f'{key} = "a\\u0000b"')
    assert nobody == [f'1: {key}: "~no-such-user" is nobody\'s home directory']
    assert nul == [f"1: {key}: a path cannot hold a NUL character"]


def test_what_is_derived_from_a_wrong_path_is_not_said_beside_it(tmp_path):
    path = tmp_path / "siphon.cfg"
    path.write_text('listen.udp = ["[::]:5060"]\ndomain.local = ["x"]\nscript.path = "x"\nshared.path = ""\n')
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert [problem.key for problem in caught.value.problems] == ["shared.path"]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_said_plainly(tmp_path):
    path = tmp_path / "siphon.cfg"
    path.touch(mode=0)
    with pytest.raises(ConfigurationError, match="cannot be read: permission denied"):
        load(path, {})


def test_yaml_without_its_reader_is_a_start_error(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    path = tmp_path / "siphon.yaml"
    path.write_text("listen: {}\n")
    with pytest.raises(ConfigurationError, match="the YAML reader is not installed"):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "listen:\n  udp:\n    - 127.0.0.1:5060\n    - 127.0.0.1:5060\n",
            ":4: listen.udp[1]: 127.0.0.1:5060 stands here",
        ),
        ("workers:\n  count: '2'\n", ':2: workers.count: must be a whole number, not "2"'),
        ("a: [1\nb: 2\n", ":2: not valid YAML: "),
        ("- a\n", ":1: must be a table of sections"),
        ("listen: &a\n  udp: *a\n", ":1: nested too deeply"),
    ],
)
def test_yaml_has_the_same_schema_and_lines(tmp_path, text, what):
    pytest.importorskip("yaml")
    path = tmp_path / "siphon.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, {})
    assert f"{path}{what}" in str(caught.value)
