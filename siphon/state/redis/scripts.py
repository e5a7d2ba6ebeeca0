"""The scripts that Redis runs, one an operation, each atomic; bodies as siphon/state/redis/script.py wants them.

A script of records touches the keys of one partition only, which its hash tag names, so Redis Cluster runs it as Redis
does. A record is a string: the envelope and the record's bytes (siphon/state/redis/envelope.py). The index of a node in
a partition is a sorted set: the records that it owns by their deadlines. Index names are made from the owner that the
record names, so besides the keys that it is given a script uses others of the same hash tag.

Scripts of nodes use keys of one partition: leases (sorted set: number, end in ms), tokens (hash: number of a
token), facts (hash: of a number), dead (sorted set: number, since when), clock (hash: the last renewal, the last
number given) and reminders (a list of each node).
"""

from __future__ import annotations

from siphon.state.redis.envelope import (
    HEAD_BYTES,
    KIND_AT,
    MAGIC,
    NODE_AT,
    RECORD,
    TOMBSTONE,
    VERSION_AT,
    WRITER_AT,
)
from siphon.state.redis.remote import LATE_VERSIONS, NODES, SALT_BITS

MOST_REMINDERS = 1000
REMINDER_SECS = 10.0
"""How many wait for a node at most, and how long: they come again while there is a reason."""
DEAD_SECS = 30.0
"""A number stays dead at least this long after its last sign: a write that was under way may enter its index late."""

_HEADS = f"""
local function is(head, kind)
  local known = #head == {HEAD_BYTES} and head:sub(1, {len(MAGIC)}) == '{MAGIC.decode()}'
  return known and head:byte({KIND_AT + 1}) == kind
end
local function live(head)
  return is(head, {RECORD})
end
local function count_of(head)
  local count = 0
  for at = {VERSION_AT + 1}, {WRITER_AT - SALT_BITS // 8} do count = count * 256 + head:byte(at) end
  return count
end
local function node_of(head)
  local high, low = head:byte({NODE_AT + 1}, {NODE_AT + 2})
  return high * 256 + low
end
local function head_of(key)
  local head = redis.pcall('GETRANGE', key, 0, {HEAD_BYTES - 1})
  return type(head) == 'string' and head or '' -- of another type: no record
end
"""

# KEYS: the record. Answers its bytes, '' for what is no string, nothing where there is none.
LOAD = """
local found = redis.pcall('GET', KEYS[1])
return type(found) == 'table' and '' or found
"""

# KEYS: the record. ARGV: member, expected version, envelope and record, ms to live, deadline or '', prefix of indexes,
# number of the owner. Answers 1 when the write stands, 0 when another version does.
WRITE = (
    _HEADS
    + f"""
local head = head_of(KEYS[1])
if #head == {HEAD_BYTES} and head:sub({VERSION_AT + 1}, {NODE_AT}) == ARGV[3]:sub({VERSION_AT + 1}, {NODE_AT}) then
  return 1
end
local lives = live(head)
if (lives and head:sub({VERSION_AT + 1}, {WRITER_AT}) or '') ~= ARGV[2] then
  return 0
end
if not lives and is(head, {TOMBSTONE}) then
  local before = count_of(head) - count_of(ARGV[3])
  if before > 0 and before <= {LATE_VERSIONS} then return 0 end -- a late copy of what has been deleted
end
if lives and node_of(head) ~= tonumber(ARGV[7]) then
  redis.call('ZREM', ARGV[6] .. node_of(head), ARGV[1])
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
if ARGV[5] == '' then
  redis.call('ZREM', ARGV[6] .. ARGV[7], ARGV[1])
else
  redis.call('ZADD', ARGV[6] .. ARGV[7], ARGV[5], ARGV[1])
end
return 1
"""
)

# KEYS: index of the dead, index of the heir. ARGV: prefix of records, number of the dead, number of the heir, the same
# as bytes, limit. Answers whether there is more, then member, version and deadline of each that was taken.
TAKE = (
    _HEADS
    + f"""
local found = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[5]) - 1, 'WITHSCORES')
local out = {{0}}
for i = 1, #found, 2 do
  local record = ARGV[1] .. found[i]
  local head = head_of(record)
  redis.call('ZREM', KEYS[1], found[i])
  if live(head) and node_of(head) == tonumber(ARGV[2]) then
    redis.call('SETRANGE', record, {NODE_AT}, ARGV[4])
    redis.call('ZADD', KEYS[2], found[i + 1], found[i])
    out[#out + 1] = found[i]
    out[#out + 1] = head:sub({VERSION_AT + 1}, {WRITER_AT})
    out[#out + 1] = found[i + 1]
  end
end
out[1] = redis.call('EXISTS', KEYS[1])
return out
"""
)

# KEYS: leases, tokens, facts, dead, clock, prefix of reminders. ARGV: token, ms of a lease, facts, a number that was
# lost or 0. Answers number, [number, end, facts ...] of the live, [number ...] of the dead, and the reminders of this
# number, which are gone then; number 0: none is free.
RENEW = f"""
local ttl = tonumber(ARGV[2])
local last = tonumber(redis.call('HGET', KEYS[5], 'last') or '0')
if now - last > ttl / 2 then
  for _, number in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    redis.call('ZADD', KEYS[1], 'GT', now + ttl, number)
  end
end
redis.call('HSET', KEYS[5], 'last', now)
local mine = redis.call('HGET', KEYS[2], ARGV[1])
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
if #ended > 0 then
  local owners = {{}}
  local tokens = redis.call('HGETALL', KEYS[2])
  for i = 1, #tokens, 2 do owners[tokens[i + 1]] = tokens[i] end
  for _, number in ipairs(ended) do
    if number ~= mine then
      redis.call('ZREM', KEYS[1], number)
      redis.call('HDEL', KEYS[3], number)
      if owners[number] then redis.call('HDEL', KEYS[2], owners[number]) end
      redis.call('ZADD', KEYS[4], now, number)
    end
  end
end
if not mine then
  for _ = 1, {NODES} do
    local number = tostring((redis.call('HINCRBY', KEYS[5], 'given', 1) - 1) % {NODES} + 1)
    if not redis.call('ZSCORE', KEYS[1], number) and not redis.call('ZSCORE', KEYS[4], number) then
      mine = number
      break
    end
  end
  if not mine then return {{0, {{}}, {{}}, {{}}}} end
  redis.call('HSET', KEYS[2], ARGV[1], mine)
end
redis.call('ZADD', KEYS[1], now + ttl, mine)
redis.call('HSET', KEYS[3], mine, ARGV[3])
if ARGV[4] ~= '0' and ARGV[4] ~= mine and not redis.call('ZSCORE', KEYS[1], ARGV[4]) then
  redis.call('ZADD', KEYS[4], now, ARGV[4])
end
local live = {{}}
local leases = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #leases, 2 do
  live[#live + 1] = leases[i]
  live[#live + 1] = leases[i + 1]
  live[#live + 1] = redis.call('HGET', KEYS[3], leases[i]) or ''
end
local reminders = redis.call('LRANGE', KEYS[6] .. mine, 0, -1)
if #reminders > 0 then redis.call('DEL', KEYS[6] .. mine) end
return {{tonumber(mine), live, redis.call('ZRANGE', KEYS[4], 0, -1), reminders}}
"""

# KEYS: reminders of a node. ARGV: slot and key.
REMIND = f"""
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], {-MOST_REMINDERS}, -1)
redis.call('PEXPIRE', KEYS[1], {round(REMINDER_SECS * 1000)})
return 1
"""

# KEYS as of RENEW. ARGV: token.
LEAVE = """
local mine = redis.call('HGET', KEYS[2], ARGV[1])
if mine then
  redis.call('ZREM', KEYS[1], mine)
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], mine)
  redis.call('ZADD', KEYS[4], now, mine)
end
return 1
"""

# KEYS: dead. ARGV: number, ms that it stays dead at least.
FORGET = """
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
if since and now - since >= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
return 1
"""
