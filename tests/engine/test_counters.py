"""What status prints is what happened."""

from siphon.cli.memory import COUNTERS
from siphon.engine import durations
from siphon.engine.counters import Counter
from siphon.testing.world import World


def test_new_requests_and_their_repeats_are_counted_apart(world: World) -> None:
    caller = world.agent("192.0.2.1")
    world.agent("127.0.0.2", 5090)
    text = caller.request("INVITE", "sip:bob@example.com")
    caller.send(text)
    assert (world.count(Counter.TRANSACTIONS), world.count(Counter.RETRANSMISSIONS)) == (1, 0)
    for worker in (0, 1):
        caller.send(text, worker)
    assert (world.count(Counter.TRANSACTIONS), world.count(Counter.RETRANSMISSIONS)) == (1, 2)


def test_durations_have_columns_that_no_counter_has() -> None:
    assert max(Counter) < durations.FIRST
    assert durations.FIRST + durations.COLUMNS <= COUNTERS
