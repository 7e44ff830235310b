-- Removes what has expired from a part of a bucket.
-- KEYS: the bucket, the number of records of its partition.
-- ARGV: now, how many records to remove at most, where to go on.
-- Returns where to go on, and how many records were removed and how many are left in this part.
local bucket = KEYS[1]
local now, left, cursor = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local ENTRY = 10
local scan = redis.call('HSCAN', bucket, cursor, 'COUNT', 100)
local gone, kept, writes, drops = 0, 0, {}, {}

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
    if count > 0 and left > 0 and redis.call('ZCOUNT', many, '-inf', now) > 0 then left = 0 end
  else
    local new, count = {}, math.floor(#old / ENTRY)
    for from = 1, #old - ENTRY + 1, ENTRY do
      if left > 0 and struct.unpack('>I4', old, from + 6) <= now then
        gone, left = gone + 1, left - 1
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
    end
  end
end

-- A script that has removed something may write even if no memory is left.
for at = 1, #writes, 2 do drops[#drops + 1] = writes[at] end
if #drops > 0 then redis.call('HDEL', bucket, unpack(drops)) end
if #writes > 0 then redis.call('HSET', bucket, unpack(writes)) end
if gone > 0 then redis.call('DECRBY', KEYS[2], gone) end
-- At the limit there may be more of the same part.
if left > 0 then cursor = scan[1] end
return { cursor, gone, kept, left }
