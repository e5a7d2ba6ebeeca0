"""The engine with a virtual network and a virtual clock: for tests, and the simulator.

world, worker, agent, clock, schedule, aio    several workers of the real engine in one process; tests drive them
simulated, sim_store, faults, handlers, names a world whose workers die, stand still and meet conflicts
wire, peer, caller, callee, asker             a bad network and the user agents on it
strict, stranger, registrant                  a strict router, somebody who forges messages, phones that register
routing, scenario                             what is called how: drawn from a seed
invariants, records, verdict, ladder          what must hold, and what is printed when it does not
reliable, asks, registrations                 the same of PRACK, requests of our own, bindings and their events
run, sim                                      one seed; many: ./dev sim --seeds N --from K
"""
