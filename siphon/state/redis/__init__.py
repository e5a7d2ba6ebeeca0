"""Redis as a store: one process's link to it, and what its users share.

names.py       partitions, names of keys, the version of the layout
script.py      Lua scripts, and what a call of one may answer
connect.py     connections to servers, Sentinels and Clusters by a URL
lane.py        one server: a pipeline of calls, their limit, the circuit breaker
link.py        the store: which server has a partition, redirections
clock.py       the store's time in ours
agreement.py   what all nodes must agree on: layout and secret
"""
