"""The secret that nonces are signed with: shared by workers, kept over a restart, changed without failing logins."""

import signal

from proxy_process import until
from udp_agent import credentials

URI = "sip:example.com"


def challenged(agent):
    agent.send(agent.request("REGISTER", URI, remote=f"<sip:{agent.user}@example.com>"))
    return agent.expect("401 REGISTER")["www-authenticate"]


def login(agent, challenge):
    line = credentials(challenge, agent.user, "secret", "REGISTER", URI)
    to = f"<sip:{agent.user}@example.com>"
    agent.send(agent.request("REGISTER", URI, cseq=2, remote=to, local=f"{to};tag=1", extra=[f"Authorization: {line}"]))
    return agent.expect("xxx REGISTER").status


def reload_with(proxy, old, new):
    before = proxy.log().count("script.loaded")
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace(old, new))
    proxy.send_signal(signal.SIGHUP)
    until(lambda: proxy.log().count("script.loaded") > before + proxy.workers, 30, "the reload, the helper included")


def test_sec_16_a_nonce_is_good_after_a_restart_and_for_every_worker(siphond, agent):
    proxy = siphond(workers=3, steering="spread").start()
    alice = agent(proxy, "alice")
    challenge = challenged(alice)
    proxy.stop()
    proxy.start()
    assert login(alice, challenge) == 200
    assert login(alice, challenge) == 401  # its count was used


def test_sec_16_a_secret_is_changed_without_failing_logins(siphond, agent):
    proxy = siphond(workers=2)
    first, second = "a first secret of the nonces", "another secret of the nonces"
    text = proxy.configuration.read_text()
    proxy.configuration.write_text(text.replace("[auth]\n", f'[auth]\nnonce_secret = "{first}"\n'))
    proxy.start()
    alice = agent(proxy, "alice")
    old, older = challenged(alice), challenged(alice)
    reload_with(proxy, f'"{first}"', f'["{second}", "{first}"]')
    assert login(alice, old) == 200
    new = challenged(alice)
    reload_with(proxy, f'["{second}", "{first}"]', f'"{second}"')
    assert login(alice, new) == 200
    assert login(alice, older) == 401
