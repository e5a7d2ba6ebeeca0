"""The examples with gateways as they are, through a real siphond: SIPp's servers and trunks die and come back."""

import json
import os
import re
import signal
import socket
import struct
import time
from pathlib import Path

import pytest
from proxy_process import ROOT, START_SECS, until

SERVERS = [f"127.0.0.1{n}:5080" for n in (1, 2, 3)]


@pytest.fixture
def example(siphond):
    """`example(name, ...)`: the configuration of examples/, at a free port and with tables of the test's own."""

    def make(name, changes=()):
        proxy = siphond(workers=2, script=ROOT / f"examples/{name}.py")
        text = (ROOT / f"examples/{name}.cfg").read_text()
        for old, new in (
            ('"127.0.0.1:5060"', f'"127.0.0.1:{proxy.port}"'),
            (f'"{name}.py"', f'"{proxy.script}"'),
            ("[shared]\n", f'[shared]\npath = "{proxy.shared}"\n'),
            ("${STATE_DIRECTORY:-../var}", str(proxy.directory / "state")),
            *changes,
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        proxy.configuration.write_text(text + "\n[workers]\ncount = 2\n")
        proxy.launch()
        until(lambda: " ready workers=" in proxy.log(), START_SECS, "the start")
        return proxy

    return make


def groups(proxy):
    done = proxy.control("gateways", "--json")
    assert done.returncode == 0, done.stderr
    return {entry["group"]: entry["destinations"] for entry in json.loads(done.stdout)}


def healthy(proxy, group):
    return [entry["uri"] for entry in groups(proxy).get(group, []) if entry["usable"] and entry["last_status"] != -1]


@pytest.fixture
def server(sipp):
    """`server(address, status=200)`: one that answers OPTIONS and calls; killed at the end, whatever calls it has."""
    made = []

    def make(address, status=200):
        ip, port = address.split(":")
        after = "talk" if status == 200 else "over"
        made.append(sipp.callee("uas_gateway", int(port), "-i", ip, status=status, after=after))
        until(lambda: is_bound(ip, int(port)), 30, f"a server at {address}")
        return made[-1]

    yield make
    for run in made:
        if run.process.poll() is None:
            kill(run)


def is_bound(ip, port):
    """Whether a UDP socket has that address."""
    place = f"{struct.unpack('=I', socket.inet_aton(ip))[0]:08X}:{port:04X}"
    return any(line.split()[1] == place for line in Path("/proc/net/udp").read_text().splitlines()[1:])


def kill(run):
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()


def test_calls_in_setup_fail_over_when_a_server_dies_and_it_has_calls_again_when_it_is_back(example, sipp, server):
    fast = [("interval_secs = 5 ", "interval_secs = 2 ")]
    proxy = example("proxy_gateway", fast)
    servers = [server(address) for address in SERVERS]
    until(lambda: len(healthy(proxy, "pool")) == 3, 60, "the probes")
    caller = sipp.caller("uac_gateway", proxy.address, calls=600, rate=20, at_once=80, hold=500)
    time.sleep(3)  # calls are in setup when it dies
    kill(servers[0])
    until(lambda: f"gateway.down group=pool destination=sip:{SERVERS[0]}" in proxy.log(), 40, "the finding")
    assert f"sip:{SERVERS[0]}" not in healthy(proxy, "pool")
    until(lambda: untried(proxy, 2), 30, "the end of calls to it")  # in two seconds come forty
    servers[0] = server(SERVERS[0])
    until(lambda: f"gateway.up group=pool destination=sip:{SERVERS[0]}" in proxy.log(), 40, "the return")
    more = sipp.caller("uac_gateway", proxy.address, calls=60, rate=20, hold=500)  # half of them are for it
    for run, calls in ((caller, 600), (more, 60)):
        called = run.wait(120)
        assert (called.successful, called.failed) == (calls, 0), run.report()
    again = servers[0].stop()
    assert again.successful > 20, servers[0].report()
    assert said_on(proxy) > 0  # some calls did meet the dead one


def untried(proxy, secs):
    """No call has been sent on from the dead one for so long: what was on its way has been repeated by then."""
    tried = said_on(proxy)
    time.sleep(secs)
    return said_on(proxy) == tried


def said_on(proxy):
    return len(re.findall(r"said \d+, on to", proxy.log()))


def test_a_server_that_is_silent_costs_its_calls_some_seconds_until_it_is_found_and_none_afterwards(
    example, sipp, server
):
    proxy = example("proxy_gateway", [("interval_secs = 5 ", "interval_secs = 2 ")])
    servers = [server(address) for address in SERVERS]
    until(lambda: len(healthy(proxy, "pool")) == 3, 60, "the probes")
    os.killpg(servers[0].process.pid, signal.SIGSTOP)
    with_delay = sipp.caller("uac_gateway", proxy.address, calls=8, rate=8, hold=100)
    assert with_delay.wait(60).successful == 8, with_delay.report()
    assert said_on(proxy) > 0
    until(lambda: f"gateway.down group=pool destination=sip:{SERVERS[0]}" in proxy.log(), 60, "the finding")
    met = said_on(proxy)
    after = sipp.caller("uac_gateway", proxy.address, calls=24, rate=12, hold=100)
    assert after.wait(60).successful == 24, after.report()
    assert said_on(proxy) == met
    os.killpg(servers[0].process.pid, signal.SIGCONT)
    until(lambda: f"gateway.up group=pool destination=sip:{SERVERS[0]}" in proxy.log(), 60, "the return")


def test_a_drained_server_gets_no_new_call_and_what_cannot_be_done_is_said(example, sipp, server):
    proxy = example("proxy_gateway")
    for address in SERVERS:
        server(address)
    until(lambda: len(healthy(proxy, "pool")) == 3, 60, "the probes")
    uri = f"sip:{SERVERS[0]}"
    assert proxy.control("gateways", "drain", "pool", uri).returncode == 0
    assert healthy(proxy, "pool") == [f"sip:{address}" for address in SERVERS[1:]]
    assert "drained" in proxy.control("gateways").stdout
    caller = sipp.caller("uac_gateway", proxy.address, calls=20, rate=20, hold=100)
    assert caller.wait(60).successful == 20, caller.report()
    assert said_on(proxy) == 0
    done = proxy.control("gateways", "up", "pool", "sip:nobody")
    assert (done.returncode, "no destination 'sip:nobody'" in done.stderr) == (1, True)
    done = proxy.control("gateways", "down", "nowhere", uri)
    assert (done.returncode, "there are: pool" in done.stderr) == (1, True)
    assert proxy.control("gateways", "up", "pool", uri).returncode == 0
    assert len(healthy(proxy, "pool")) == 3


def test_pstn_calls_go_on_to_the_next_trunk_on_5xx_and_on_silence_and_back_when_it_is_well(example, sipp, server):
    proxy = example("pstn_breakout", [("interval_secs = 10", "interval_secs = 1"), ("t1 = 0.1 ", "t1 = 0.05 ")])
    first, _ = server("127.0.0.3:5080", status=503), server("127.0.0.4:5080")
    until(lambda: len(healthy(proxy, "carriers")) == 2, 60, "the probes")
    pbx = ("-i", "127.0.0.2", "-p", "5070")
    caller = sipp.caller("uac_gateway", proxy.address, *pbx, calls=20, rate=10, user="0731123456", hold=100)
    assert caller.wait(60).successful == 20, caller.report()
    assert len(re.findall(r"127.0.0.3:5080 said 503 .*, on to sip:127.0.0.4:5080", proxy.log())) == 20
    kill(first)
    first = server("127.0.0.3:5080")
    until(lambda: len(healthy(proxy, "carriers")) == 2, 60, "the probes")
    os.killpg(first.process.pid, signal.SIGSTOP)
    caller = sipp.caller("uac_gateway", proxy.address, *pbx, calls=4, rate=4, user="0731123456", hold=100)
    assert caller.wait(60).successful == 4, caller.report()
    assert " said 408 " in proxy.log()
    os.killpg(first.process.pid, signal.SIGCONT)
    until(lambda: len(healthy(proxy, "carriers")) == 2, 60, "the return")
    met = proxy.log().count("on to")
    caller = sipp.caller("uac_gateway", proxy.address, *pbx, calls=10, rate=10, user="+4930123456", hold=100)
    assert caller.wait(60).successful == 10, caller.report()
    assert proxy.log().count("on to") == met


def test_pstn_a_call_from_a_carrier_goes_to_the_pbx_and_a_stranger_gets_403(example, sipp, server):
    proxy = example("pstn_breakout")
    pbx = server("127.0.0.2:5070")
    carrier = sipp.caller("uac_gateway", proxy.address, "-i", "127.0.0.70", calls=3, rate=10, user="+49731", hold=50)
    assert carrier.wait(60).successful == 3, carrier.report()
    assert pbx.stop().failed == 0
    stranger = sipp.caller("uac_refused", proxy.address, "-i", "127.0.0.99", calls=3, rate=10, status=403)
    assert stranger.wait(60).successful == 3, stranger.report()
