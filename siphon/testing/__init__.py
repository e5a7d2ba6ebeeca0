"""The engine with a virtual network and a virtual clock: for tests, and the seed of the simulator."""
