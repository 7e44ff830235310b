-- Merges records into a bucket.
-- KEYS: the bucket, the number of records of its partition.
-- ARGV: now, how much longer than its records a key is kept, the latest expiry; then fields, each with its packed providers.
-- Returns by how much the number of records has changed.
--
-- What is there stays, expired or not: "now" is of a clock that may have jumped, and only the purge removes (rule S23). So a value
-- holds what expired since the last pass of the purge came by, 6 providers at most; beyond that a key has its sorted set.
local bucket = KEYS[1]
local now, margin, latest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local ENTRY, INLINE_MAX = 10, 6

local fields = {}
for at = 4, #ARGV, 2 do fields[#fields + 1] = ARGV[at] end
local olds = redis.call('HMGET', bucket, unpack(fields))

local function keep(key)
  local wanted = latest - now + margin
  if redis.call('TTL', key) < wanted - margin / 2 then redis.call('EXPIRE', key, wanted) end
end

-- Adds packed providers to `order` and `expiries`.
local function take(packed, order, expiries)
  for at = 1, #packed - ENTRY + 1, ENTRY do
    local id, expires = string.sub(packed, at, at + 5), struct.unpack('>I4', packed, at + 6)
    local known = expiries[id]
    if not known then order[#order + 1] = id end
    if not known or known < expires then expiries[id] = expires end
  end
end

local changed, writes = 0, {}
for nth, field in ipairs(fields) do
  local old, told = olds[nth] or '', ARGV[2 * nth + 3]
  local many = bucket .. ':' .. field
  local order, expiries = {}, {}
  if old ~= 'z' then take(old, order, expiries) end
  take(told, order, expiries)
  if old == 'z' or #order > INLINE_MAX then
    local added = 0
    for _, id in ipairs(order) do
      added = added + redis.call('ZADD', many, 'GT', expiries[id], id)
    end
    keep(many)
    if old ~= 'z' then
      added = added - math.floor(#old / ENTRY)
      writes[#writes + 1] = field
      writes[#writes + 1] = 'z'
    end
    changed = changed + added
  else
    local packed = {}
    for _, id in ipairs(order) do packed[#packed + 1] = id .. struct.pack('>I4', expiries[id]) end
    changed = changed + #order - math.floor(#old / ENTRY)
    local new = table.concat(packed)
    if new ~= old then
      writes[#writes + 1] = field
      writes[#writes + 1] = new
    end
  end
end

if #writes > 0 then redis.call('HSET', bucket, unpack(writes)) end
keep(bucket)
if changed ~= 0 then redis.call('INCRBY', KEYS[2], changed) end
return changed
