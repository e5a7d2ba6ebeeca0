"""Redis as a store: one process's link to it, what its users share, and the transactions in it.

    names.py       partitions, names of keys, the version of the layout
    script.py      Lua scripts, and what a call of one may answer
    connect.py     connections to servers, Sentinels and Clusters by a URL
    lane.py        one server: a pipeline of calls, their limit, the circuit breaker
    link.py        the store: which server has a partition, redirections
    clock.py       the store's time in ours
    agreement.py   what all nodes must agree on: layout and secret

Transactions:

    remote.py      what a far store does, whatever it is
    scripts.py     the same as Lua, on records in their envelope (envelope.py)
    client.py      the same as calls over a link
    store.py       the Store over a far store
    local.py       leases and deadlines of this node
    nodes.py       leases of nodes; takeover.py: what a dead one owned
"""
