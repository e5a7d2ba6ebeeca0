"""The engine with a virtual network and a virtual clock: for tests, and the simulator.

world, worker, agent, clock, schedule, aio    several workers of the real engine in one process; tests drive them
simulated, sim_store, faults, handlers, names a world whose workers die, stand still and meet conflicts
wire, peer, caller, callee, asker             a bad network and the user agents on it
routing, scenario                             what is called how: drawn from a seed
invariants, records, verdict, ladder          what must hold, and what is printed when it does not
reliable                                      the same of reliable provisionals and PRACK
run, sim                                      one seed; many: python -m siphon.testing.sim --seeds N --from K
"""
