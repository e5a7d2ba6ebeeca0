"""Mutants of what only several nodes use: the store over a far store, its leases, take-overs, and what the core does
while an answer is on its way. The seeds that run over them are all on several nodes (tools/mutants.py)."""

from __future__ import annotations

from mutation import Mutant

REDIS, ENGINE = "siphon/state/redis/", "siphon/engine/"
MUTANTS = [
    Mutant("NODES: a conflict counts as done", REDIS + "store.py", "elif answer is False:", "elif answer is None:"),
    Mutant("NODES: a write expects nothing", REDIS + "store.py", "            commit.expected,\n", "            0,\n"),
    Mutant(
        "NODES: datagrams leave before the answer",
        REDIS + "store.py",
        "        self._flights[commit.key] = flight\n",
        "        self._flights[commit.key] = flight\n        self._send(commit)\n",
    ),
    Mutant(
        "NODES: datagrams leave however late the answer is",
        REDIS + "store.py",
        "flight.asked + self._hold_secs + SEND_MARGIN_SECS",
        "flight.asked + 1e9",
    ),
    Mutant(
        "NODES: a lost answer is a refusal",
        REDIS + "store.py",
        "elif isinstance(answer, Lost) or flight.abandoned:",
        "elif flight.abandoned:",
    ),
    Mutant(
        "NODES: who brought new work is told nothing while its fate is unknown",
        REDIS + "store.py",
        "            flight.abandoned = True\n            flight.wait.resolve(self._absent())\n",
        "            pass\n",
    ),
    Mutant(
        "NODES: what was refused and stands is kept",
        REDIS + "store.py",
        "        self._delete(flight.commit.key, flight.write.version)\n",
        "        pass\n",
    ),
    Mutant(
        "NODES: times are handed out in the clock of the store",
        REDIS + "store.py",
        "value = shifted(found.value, -self._remote.offset(key))",
        "value = found.value",
    ),
    Mutant(
        "NODES: the store gets deadlines of our clock",
        REDIS + "store.py",
        "commit.next_deadline + offset if",
        "commit.next_deadline if",
    ),
    Mutant(
        "NODES: what was taken over is not armed",
        REDIS + "store.py",
        "                self._arm(at, key, version)",
        "                pass",
    ),
    Mutant(
        "NODES: a record that was read is not noted",
        REDIS + "store.py",
        "            self._note(key, entry, found)\n",
        "            pass\n",
    ),
    Mutant(
        "NODES: a lease keeps nobody away",
        REDIS + "local.py",
        "return self._alive(entry.slot",
        "return False and (entry.slot",
    ),
    Mutant(
        "NODES: the holder of a lease is not its owner",
        REDIS + "local.py",
        "owner = self.owner_after(before)  #",
        "owner = self._slot if before.owner == NOBODY else before.owner  #",
        test="tests/state/test_far_store.py",
    ),
    Mutant(
        "NODES: a helper owns what it reads",
        REDIS + "local.py",
        "if self._home is None:",
        "if True:",
    ),
    Mutant(
        "NODES: nobody takes over",
        REDIS + "takeover.py",
        "if now >= self._again_at.get(number, 0.0)",
        "if False",
    ),
    Mutant(
        "NODES: nobody looks through the index of its own node",
        REDIS + "takeover.py",
        "            self._own = set(range(PARTITIONS))\n",
        "            pass\n",
        test="tests/state/test_takeover.py",
    ),
    Mutant(
        "NODES: the dead of another node live",
        REDIS + "nodes.py",
        "        if slots is None:\n            return False",
        "        if slots is None:\n            return True",
    ),
    Mutant(
        "NODES: a deadline is lost while the store is away",
        ENGINE + "core.py",
        "        elif not isinstance(event, REPEATED):\n            wait.then(lambda _: self.process(event))",
        "        elif not isinstance(event, REPEATED):\n            pass",
    ),
    Mutant(
        "NODES: our own claims always run",
        ENGINE + "orphans.py",
        "            if claim.slot == env.slot\n",
        "            if False\n",
    ),
    Mutant(
        "NODES: a request that has waited begins anew",
        ENGINE + "events.py",
        "if now - self.arrival.arrived > STALE_SECS:",
        "if False:",
        test="tests/engine/test_late_events.py",
    ),
    Mutant(
        "NODES: a deadline that was not yet due is not armed again",
        ENGINE + "core.py",
        "        if deadline > self.clock():\n",
        "        if False:\n",
        test="tests/engine/test_late_events.py",
    ),
    Mutant(
        "NODES: a call that another node has refused goes on",
        ENGINE + "elsewhere.py",
        "return transaction_of_tag(",
        "return False and transaction_of_tag(",
        test="tests/engine/test_refused_elsewhere.py",
    ),
    Mutant(
        "NODES: a late copy of a write brings back what was deleted",
        REDIS + "scripts.py",
        "if before > 0 and before <=",
        "if false and before <=",
        test="tests/state/test_redis_remote.py",
    ),
    Mutant(
        "NODES: nobody is reminded of a claim that it may not know",
        ENGINE + "core.py",
        "                self.remind(claim.slot, step.record.key)\n",
        "                pass\n",
        test="tests/engine/test_several_nodes.py",
    ),
    Mutant(
        "NODES: what could not be deleted stays",
        REDIS + "store.py",
        "            answer.then(lambda _: self._delete(key, version))\n",
        "            pass\n",
        test="tests/state/test_far_store.py",
    ),
]
