"""How long a phone waits when the node that carries its call dies: `python tests/processes/failover_times.py`.

N-B is killed by kill -9 and its address moves to N-A at once, so that the times are ours alone; what VRRP takes
to notice comes on top. Printed: the longest and the middle one of some deaths. Root, or nothing happens.

    answer     a callee's 200 right after the address has moved, until the caller has it
    new call   an INVITE right after the address has moved, until the callee has it
    timer      an INVITE that its callee does not answer, until the other node repeats it (Timer A was due after 0.5 s)
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from test_node_dies import offered, ringing
from two_nodes import B, two_nodes


def one_death(pair):
    pair.revive()
    alice, bob, _, offer = ringing(pair)
    dan, carol, _, _ = offered(pair, "carol")
    eve = pair.agent(B, "eve")
    carol_has = time.monotonic()
    pair.die_and_fail_over()
    began = time.monotonic()
    bob.respond(offer, 200, tag="b")
    alice.expect("200 INVITE", within=30)
    answer = time.monotonic() - began
    began = time.monotonic()
    eve.send(eve.request("INVITE", "sip:bob@example.com"))
    bob.expect("INVITE", within=30)
    new_call = time.monotonic() - began
    while carol.receive(30) is None:
        continue
    timer = time.monotonic() - carol_has
    pair.close_agents()
    return answer, new_call, timer


def main():
    parser = argparse.ArgumentParser(description="How long a phone waits when the node that carries its call dies.")
    parser.add_argument("--deaths", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, two_nodes(Path(directory)) as pair:
        deaths = [one_death(pair) for _ in range(asked.deaths)]
    for name, times in zip(("answer", "new call", "timer"), zip(*deaths, strict=True), strict=True):
        print(f"{name:9} {median(times):6.2f} s  (at most {max(times):.2f} s, {len(times)} deaths)")


if __name__ == "__main__":
    main()
