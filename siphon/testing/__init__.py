"""The engine with a virtual network and a virtual clock: for tests of scripts, for our own, and the simulator.

kit, plugin    what people test their scripts with: Server, Phone and the pytest fixture (docs/testing-scripts.md)

The rest is how siphond itself is tested and may change:

world, worker, agent, clock, schedule, aio    several workers of the real engine in one process; tests drive them
simulated, sim_store, faults, handlers, names a world whose workers die, stand still and meet conflicts
wire, peer, caller, callee, asker             a bad network and the user agents on it
strict, stranger, registrant                  a strict router, somebody who forges messages, phones that register
routing, scenario                             what is called how: drawn from a seed
invariants, records, verdict, ladder          what must hold, and what is printed when it does not
reliable, asks, registrations                 the same of PRACK, requests of our own, bindings and their events
run, sim                                      one seed; many: ./dev sim --seeds N --from K
"""

__all__ = ["Call", "Dialog", "Message", "Phone", "Received", "Sent", "Server"]


def __getattr__(name: str) -> object:
    """The kit, loaded when it is first used: pytest loads this package at every start."""
    if name in __all__:
        from siphon.testing import kit

        return getattr(kit, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
