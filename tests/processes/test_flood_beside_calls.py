"""SEC-13 at its full rate: 50,000 malformed datagrams a second beside good calls.

The figures are printed: what was offered and received, what the kernel dropped, what became of the calls.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_calls import serve_bob

RATE = 50_000
SECONDS = 12
CALLS, CALL_RATE = 400, 50
LIMITED = """
[security.rate_limit]
window_secs = 1
max_requests = 2000
ban_duration_secs = 600
"""


def dropped_by_kernel(port):
    """Of all sockets with this port, as /proc tells it."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return sum(int(row[12]) for row in rows if row[1].endswith(f":{port:04X}"))


@pytest.mark.alone
@pytest.mark.parametrize("more", [LIMITED, ""], ids=["rate_limit", "nothing configured"])
def test_sec_13_fifty_thousand_malformed_datagrams_a_second_cost_good_calls_less_than_a_hundredth(
    siphond, agent, sipp, more, capsys
):
    proxy = siphond(workers=2, steering="spread", more=more).start()
    serve_bob(proxy, agent, sipp, "uas_answer")
    before, cpu = proxy.status()["counters"], proxy.cpu_seconds()
    line = [sys.executable, str(Path(__file__).with_name("flooder.py"))]
    flooder = subprocess.Popen(
        [*line, "127.0.0.66", str(proxy.port), str(RATE), str(SECONDS)], stdout=subprocess.PIPE, text=True
    )
    caller = sipp.caller("uac_call", proxy.address, calls=CALLS, rate=CALL_RATE, hold=500)
    statistics = caller.wait(90)
    out, _ = flooder.communicate(timeout=60)
    sent, took = (float(number) for number in out.split())
    after = proxy.status()["counters"]
    seen = {name: after[name] - before[name] for name in after}
    offered, cost = sent / took, (proxy.cpu_seconds() - cpu) / seen["datagrams"] * 1e6
    with capsys.disabled():
        print(
            f"\noffered {offered:.0f}/s, received {seen['datagrams'] / took:.0f}/s, "
            f"kernel drops {dropped_by_kernel(proxy.port)}, banned {seen['banned']}, malformed {seen['malformed']}; "
            f"calls {statistics.successful} of {statistics.calls}, retransmissions {statistics.retransmissions}; "
            f"{cost:.1f} us of CPU a datagram"
        )
    assert sent > 100_000, "too weak a flood to say anything"
    assert statistics.calls == CALLS
    assert statistics.failed <= CALLS // 100
    assert proxy.restarts() == 0
    assert len(proxy.log().splitlines()) < 200
    if more:
        assert seen["banned"] > 0.5 * seen["datagrams"]
        assert [ban["reason"] for ban in json.loads(proxy.control("bans", "--json").stdout)] == ["rate limit"]
