"""What Redis does in one step: Lua scripts over keys and the leases beside them.

Each takes the names of n values and then of their n leases. A value that cannot be stored, because
the server is full, takes its older one along: a miss is better than what was overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

__all__ = [
    "CLAIM",
    "COMPARE_AND_SET",
    "DROP",
    "DROP_TAG",
    "PUT",
    "RELEASE",
    "RENEW",
    "SETTLE",
    "STAMPS",
    "Script",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script and what Redis calls it by.

    Attributes:
        text: The Lua.
        leases: Whether it takes leases beside the keys.
    """

    text: str
    leases: bool = True

    @property
    def digest(self) -> str:
        """The name Redis gives the script."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_STORE = """
local function store(key, ms, data)
  if ms > 0 then return redis.pcall('psetex', key, ms, data) end
  return redis.pcall('set', key, data)
end
"""

CLAIM = Script(
    # A lease without an end is none of ours: waiting for it would never end either.
    text="""
local n, token, ms = #KEYS / 2, ARGV[1], ARGV[2]
local least, magic, at = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local values, out = redis.call('mget', unpack(KEYS, 1, n)), {}
for i = 1, n do
  local v, state = values[i], 0
  local ours = v and #v > at + 6 and string.sub(v, 1, #magic) == magic
  if not (ours and struct.unpack('>d', string.sub(v, at, at + 7)) > least) then
    local left = redis.call('pttl', KEYS[n + i])
    if left > 0 then
      state = 2
    elseif left == -2 and not redis.pcall('psetex', KEYS[n + i], ms, token).err then
      state = 1
    end
  end
  out[2 * i - 1], out[2 * i] = v, state
end
return out
""",
)
"""Each value, and 0 where it is fresh, 1 where the lease was taken, 2 where somebody holds it."""

RENEW = Script(
    text="""
local n, held = #KEYS / 2, 0
for i = n + 1, 2 * n do
  if redis.call('get', KEYS[i]) == ARGV[1] then
    held = held + redis.call('pexpire', KEYS[i], ARGV[2])
  end
end
return held
"""
)
"""How many leases still hold; each for so many milliseconds from now."""

SETTLE = Script(
    text=_STORE
    + """
local n, token, ms, failed, out = #KEYS / 2, ARGV[1], tonumber(ARGV[2]), nil, {}
local held = redis.call('mget', unpack(KEYS, n + 1, 2 * n))
for i = 1, n do
  out[i] = held[i] == token and 1 or 0
  if out[i] == 1 then
    if ARGV[2 + i] ~= '' then
      local stored = store(KEYS[i], ms, ARGV[2 + i])
      if stored.err then failed = stored end
    end
    redis.call('unlink', KEYS[n + i])
  end
end
return failed or out
"""
)
"""1 for each lease that held: its value was stored, and the lease is gone."""

PUT = Script(
    text=_STORE
    + """
local n, ms, failed = #KEYS / 2, tonumber(ARGV[1]), nil
for i = 1, n do
  local stored = store(KEYS[i], ms, ARGV[3 + i])
  if stored.err then
    failed = stored
    redis.call('unlink', KEYS[i])
  end
end
redis.call('unlink', unpack(KEYS, n + 1, 2 * n))
redis.pcall('publish', ARGV[2], ARGV[3])
return failed or n
"""
)

DROP = Script(
    text="""
local n = #KEYS / 2
local gone = redis.call('unlink', unpack(KEYS, 1, n))
redis.call('unlink', unpack(KEYS, n + 1, 2 * n))
redis.pcall('publish', ARGV[1], ARGV[2])
return gone
"""
)

STAMPS = Script(
    text=_STORE
    + """
local out = {}
for i = 1, #KEYS do
  local stamp, left = redis.call('get', KEYS[i]) or ARGV[1 + i], redis.call('pttl', KEYS[i])
  local ms = tonumber(ARGV[1])
  if left == -1 or ms == 0 then ms = 0 elseif left > ms then ms = left end
  local stored = store(KEYS[i], ms, stamp)
  if stored.err then return stored end
  out[i] = stamp
end
return out
""",
    leases=False,
)
"""The stamp of each tag, which lives at least so many milliseconds from now."""

DROP_TAG = Script(
    text="""
redis.call('unlink', KEYS[1])
redis.pcall('publish', ARGV[1], ARGV[2])
return 1
""",
    leases=False,
)

COMPARE_AND_SET = Script(
    text=_STORE
    + """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
local stored = store(KEYS[1], tonumber(ARGV[3]), ARGV[2])
return stored.err and stored or 1
""",
    leases=False,
)

RELEASE = Script(
    text="""
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('unlink', KEYS[1])
""",
    leases=False,
)
