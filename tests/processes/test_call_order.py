"""The order of messages through four workers, in 10,000 calls. See call_order.py, which is a command as well.

A machine that has other things to do makes fewer: as many as it can in ENOUGH seconds.
"""

import pytest
from call_order import AT_ONCE, SCRIPT, measure

CALLS = 10_000
FEWEST = 1000
ENOUGH = 40


@pytest.mark.alone
@pytest.mark.parametrize("steering", ["flow", "spread"])
def test_shared_03_prx_43_no_provisional_comes_after_the_200_and_each_call_has_one(steering, siphond, sleeper, capsys):
    proxy = siphond(workers=4, steering=steering, script=SCRIPT, transactions=2 * CALLS + 10_000).start()
    counts = measure(proxy, CALLS, enough=ENOUGH, limit=120)
    with capsys.disabled():
        print(f"\n{steering}: {counts}")
    assert (counts.late_provisionals, counts.more_than_one_200, counts.equal_branches) == (0, 0, 0)
    assert FEWEST <= counts.calls <= CALLS
    assert (counts.acks, counts.branches) == (counts.calls, 3 * counts.calls)
    few = counts.calls / 100 + sleeper.excused(AT_ONCE)
    assert counts.repeats < few, "none but what a machine without time brings about"
    assert min(proxy.messages()) > counts.calls / 20, "all workers have had a share"
    assert proxy.restarts() == 0
    if steering == "flow":
        # A sibling that reads the socket of a worker which stands still may overtake what that one has in its hands:
        # of each call that runs, at most.
        assert counts.byes_before_their_ack <= min(AT_ONCE * proxy.adoptions(), few)
