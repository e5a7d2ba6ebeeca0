"""Lua scripts of the location service in Redis, and the keys that they work on.

Of each partition:

    r:KEY    hash of one address of record: v version, w who wrote it, d its bytes
    m        hash: run, the server's run id; epoch, which grows with each new run id; n, changes so far
    s        stream of changes; an entry's id is its version, so a reader knows whether it has missed one
    i        sorted set of all keys by the time (ms) at which the sweep must look at them
    n        hash of the nodes that follow: lease and position of each

A version is "epoch-n". After a failover or a restart the server's run id is another: the epoch grows by one, so a
version is never used twice, also when the server has lost its last changes. The floor that a writer passes keeps it
growing when the server has lost all of them, and it leaps over a last entry that is none of ours (damage).
"""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]

from siphon.state.redis.names import Names
from siphon.state.redis.script import Script

STREAM_ENTRIES = 1000
"""Changes of a partition that a reader may be late by before it has to take a snapshot."""

_LIVE = """
local function live(nodes, but)
    local all, found = redis.call('HGETALL', nodes), {}
    for i = 1, #all, 2 do
        local lease, position = string.match(all[i + 1], '^(%d+) (.*)$')
        if all[i] ~= but and tonumber(lease) > now then
            found[#found + 1] = all[i]
            found[#found + 1] = position
        end
    end
    return found
end
"""

_NEXT = """
local function next_version(meta, stream, run, floor)
    local known = redis.call('HMGET', meta, 'run', 'epoch')
    local before, epoch = tonumber(known[2] or 0) or 0, tonumber(floor)
    epoch = math.max(before, epoch)
    if known[1] ~= run then epoch = epoch + 1 end
    local number = redis.call('HINCRBY', meta, 'n', 1)
    local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
    if last[1] then
        local last_epoch, last_number = string.match(last[1][1], '^(%d+)-(%d+)$')
        last_epoch, last_number = tonumber(last_epoch), tonumber(last_number)
        if last_epoch > 1000000 then
            redis.call('DEL', stream)
        elseif last_epoch > epoch or (last_epoch == epoch and last_number >= number) then
            epoch = last_epoch + 1
        end
    end
    if epoch ~= before or known[1] ~= run then redis.call('HSET', meta, 'run', run, 'epoch', epoch) end
    return string.format('%d-%d', epoch, number)
end
"""

COMMIT = Script(
    "location.commit",
    _LIVE
    + _NEXT
    + """
    local record, meta, stream, index, nodes = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
    local expected, value, writer, until_ms, slack = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
    local key, node, events, run, floor = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
    local channel, number = ARGV[11], ARGV[12]
    local found = redis.call('HMGET', record, 'v', 'w', 'd')
    local version = found[1] or ''
    if found[2] == writer then return {1, version, live(nodes, node)} end
    if version ~= expected then return {0, version, found[3] or ''} end
    if value == '' and version == '' then return {1, '', {}} end
    local new = next_version(meta, stream, run, floor)
    if value == '' then
        redis.call('DEL', record)
        redis.call('ZREM', index, key)
    else
        redis.call('HSET', record, 'v', new, 'w', writer, 'd', value)
        redis.call('PEXPIREAT', record, until_ms + slack)
        redis.call('ZADD', index, until_ms, key)
    end
    redis.call('XADD', stream, 'MAXLEN', '~', ARGV[13], new, 'k', key, 'd', value, 'n', node, 'e', events)
    redis.call('PUBLISH', channel, number)
    return {1, new, live(nodes, node)}
    """,
)

FETCH = Script("location.fetch", "return redis.call('HMGET', KEYS[1], 'v', 'w', 'd')", writes=False)

NODES = Script("location.nodes", _LIVE + "return live(KEYS[1], ARGV[1])", writes=False)

RENEW = Script(
    "location.renew",
    """
    redis.call('HSET', KEYS[1], ARGV[1], (now + ARGV[2]) .. ' ' .. ARGV[3])
    local all = redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
        if tonumber(string.match(all[i + 1], '^%d+')) < now - 60000 then redis.call('HDEL', KEYS[1], all[i]) end
    end
    """,
)

LEAVE = Script("location.leave", "redis.call('HDEL', KEYS[1], ARGV[1])")

ENTRIES = Script(
    "location.entries",
    """
    local known = redis.call('HMGET', KEYS[1], 'epoch', 'n')
    local at = string.format('%d-%d', known[1] or 0, known[2] or 0)
    local entries = {}
    if at ~= ARGV[1] then entries = redis.call('XRANGE', KEYS[2], '(' .. ARGV[1], '+', 'COUNT', ARGV[2]) end
    return {at, cmsgpack.pack(entries)}
    """,
    writes=False,
)

SNAPSHOT = Script(
    "location.snapshot",
    """
    local known = redis.call('HMGET', KEYS[1], 'epoch', 'n')
    local page = redis.call('ZSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
    local rows = {}
    for i = 1, #page[2], 2 do
        local found = redis.call('HMGET', ARGV[3] .. page[2][i], 'v', 'd')
        if found[1] then
            rows[#rows + 1] = {page[2][i], found[1], found[2]}
        end
    end
    return {page[1], string.format('%d-%d', known[1] or 0, known[2] or 0), cmsgpack.pack(rows)}
    """,
    writes=False,
)

SWEEP = Script(
    "location.sweep",
    _NEXT
    + """
    local meta, stream, index = KEYS[1], KEYS[2], KEYS[3]
    local due = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, ARGV[1])
    for _, key in ipairs(due) do
        redis.call('DEL', ARGV[2] .. key)
        redis.call('ZREM', index, key)
        local new = next_version(meta, stream, ARGV[4], ARGV[5])
        redis.call('XADD', stream, 'MAXLEN', '~', ARGV[7], new, 'k', key, 'd', '', 'n', ARGV[3], 'e', '4')
    end
    if #due > 0 then redis.call('PUBLISH', ARGV[6], ARGV[8]) end
    return #due
    """,
)


def rows_of(packed: bytes) -> list[Any]:
    """A page of ENTRIES or SNAPSHOT. It comes as one msgpack value: read in C, a page costs a hundredth of what its
    thousands of small values would cost one by one. ValueError for anything else."""
    try:
        rows = msgpack.unpackb(packed, raw=True)
    except (msgpack.exceptions.ExtraData, msgpack.exceptions.StackError) as error:
        raise ValueError(f"not a page: {error}") from None
    if not isinstance(rows, list):
        raise ValueError("not a page")
    return rows


class Keys:
    """The keys of the location service."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.channel = names.channel()

    def record(self, partition: int, key: bytes) -> bytes:
        return self._names.key(partition, b"r", key)

    def records(self, partition: int) -> bytes:
        """What the key of each record of a partition begins with."""
        return self._names.key(partition, b"r") + b":"

    def meta(self, partition: int) -> bytes:
        return self._names.key(partition, b"m")

    def stream(self, partition: int) -> bytes:
        return self._names.key(partition, b"s")

    def index(self, partition: int) -> bytes:
        return self._names.key(partition, b"i")

    def nodes(self, partition: int) -> bytes:
        return self._names.key(partition, b"n")
