-- Removes what has expired from a part of a bucket, and lowers expiries that are too late.
-- KEYS: the bucket, the number of records of its partition.
-- ARGV: now, how many records to change at most, where to go on, the latest expiry that there may be.
-- Returns where to go on, how many records were removed and how many are left in this part, how many more could be changed, and the
-- providers of those whose expiry was lowered.
local bucket = KEYS[1]
local now, left, cursor, latest = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local ENTRY = 10
local function is_error(said) return type(said) == 'table' and said.err ~= nil end
local scan = redis.call('HSCAN', bucket, cursor, 'COUNT', 100)
local gone, kept, writes, drops, lowers, inline, lowered = 0, 0, {}, {}, {}, {}, {}

for at = 1, #scan[2], 2 do
  local field, old = scan[2][at], scan[2][at + 1]
  if old == 'z' then
    local many = bucket .. ':' .. field
    if left > 0 then
      local expired = redis.call('ZRANGEBYSCORE', many, '-inf', now, 'LIMIT', 0, math.min(left, 1000))
      if #expired > 0 then
        redis.call('ZREM', many, unpack(expired))
        gone, left = gone + #expired, left - #expired
      end
    end
    local count = redis.call('ZCARD', many)
    if count == 0 then drops[#drops + 1] = field end
    kept = kept + count
    if count > 0 and left > 0 then
      local far = redis.call('ZRANGEBYSCORE', many, '(' .. latest, '+inf', 'LIMIT', 0, math.min(left, 1000))
      local scores = {}
      for _, id in ipairs(far) do
        scores[#scores + 1] = latest
        scores[#scores + 1] = id
      end
      -- Without memory it is left for the next pass.
      if #far > 0 and not is_error(redis.pcall('ZADD', many, 'XX', unpack(scores))) then
        left = left - #far
        for _, id in ipairs(far) do lowered[#lowered + 1] = id end
      end
    end
    if count > 0 and left > 0 and redis.call('ZCOUNT', many, '-inf', now) > 0 then left = 0 end
  else
    local new, count, is_lowered = {}, math.floor(#old / ENTRY), false
    for from = 1, #old - ENTRY + 1, ENTRY do
      local expires = struct.unpack('>I4', old, from + 6)
      if left > 0 and expires <= now then
        gone, left = gone + 1, left - 1
      elseif left > 0 and expires > latest then
        local id = string.sub(old, from, from + 5)
        new[#new + 1] = id .. struct.pack('>I4', latest)
        inline[#inline + 1] = id
        left, is_lowered = left - 1, true
      else
        new[#new + 1] = string.sub(old, from, from + ENTRY - 1)
      end
    end
    kept = kept + #new
    if #new == 0 then
      drops[#drops + 1] = field
    elseif #new < count then
      writes[#writes + 1] = field
      writes[#writes + 1] = table.concat(new)
    elseif is_lowered then
      lowers[#lowers + 1] = field
      lowers[#lowers + 1] = table.concat(new)
    end
  end
end

-- A script that has removed something may write even if no memory is left.
for at = 1, #writes, 2 do drops[#drops + 1] = writes[at] end
if #drops > 0 then redis.call('HDEL', bucket, unpack(drops)) end
if #writes > 0 then redis.call('HSET', bucket, unpack(writes)) end
-- Without memory it is left for the next pass.
if #lowers > 0 and is_error(redis.pcall('HSET', bucket, unpack(lowers))) then
  left, inline = left + #inline, {}
end
for _, id in ipairs(inline) do lowered[#lowered + 1] = id end
if gone > 0 then redis.call('DECRBY', KEYS[2], gone) end
-- At the limit there may be more of the same part.
if left > 0 then cursor = scan[1] end
return { cursor, gone, kept, left, lowered }
