"""What a newcomer does: the configuration of the project as it is, and the two commands of the README."""

import subprocess
import sys

import pytest
from free_ports import free_port
from proxy_process import ROOT

SIPCLI = ROOT / "deploy/ha-demo/sipcli.py"


def sipcli(*words):
    line = [sys.executable, SIPCLI, *map(str, words), "--patience", "20"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90)
    return done.stdout.strip(), done.returncode


@pytest.fixture
def demo(siphond, monkeypatch, tmp_path):
    """etc/siphon.cfg and scripts/proxy_default.py, with tables and state of the test's own."""
    proxy = siphond(script=ROOT / "scripts/proxy_default.py")
    text = (ROOT / "etc/siphon.cfg").read_text()
    changes = {
        '"../scripts/proxy_default.py"': f'"{proxy.script}"',
        "[shared]\n": f'[shared]\npath = "{proxy.shared}"\n',
    }
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    proxy.configuration.write_text(text)
    monkeypatch.setenv("SIPHON_LISTEN", f"127.0.0.1:{proxy.port}")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return proxy.start()


def test_the_two_commands_print_200_and_100(demo):
    assert sipcli("register", "127.0.0.1", demo.port, "bob", "127.0.0.1", free_port()) == ("200", 0)
    assert sipcli("invite", "127.0.0.1", demo.port, "bob") == ("100", 0)


def test_a_stranger_a_wrong_password_and_a_ping_get_what_they_should(demo):
    assert sipcli("invite", "127.0.0.1", demo.port, "nobody") == ("404", 1)
    line = ("register", "127.0.0.1", demo.port, "bob", "127.0.0.1", 5080, "--password", "wrong")
    assert sipcli(*line) == ("401", 1)
    assert sipcli("options", "127.0.0.1", demo.port) == ("200", 0)


def test_the_same_works_over_ipv6(siphond):
    proxy = siphond()
    text = proxy.configuration.read_text()
    listen = f'"127.0.0.1:{proxy.port}"'
    text = text.replace(listen, f'{listen}, "[::1]:{proxy.port}"')
    proxy.configuration.write_text(text)
    proxy.start()
    assert sipcli("options", "::1", proxy.port, "--domain", "localhost") == ("200", 0)
    assert sipcli("register", "::1", proxy.port, "bob", "::1", free_port()) == ("200", 0)
    assert sipcli("invite", "::1", proxy.port, "bob") == ("100", 0)
