-- Removes records of one key from a bucket.
-- KEYS: the bucket, the number of records of its partition.
-- ARGV: the field of the key, the provider or nothing for all, how many records to remove at most.
-- Returns how many records were removed, and how many of the key are left.
local bucket, field, id, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local ENTRY = 10
local old = redis.call('HGET', bucket, field)
if not old then return { 0, 0 } end

local gone, left, new = 0, 0, nil
if old == 'z' then
  local many = bucket .. ':' .. field
  local some = { id }
  if id == '' then some = redis.call('ZRANGE', many, 0, math.min(limit, 1000) - 1) end
  if #some > 0 then gone = redis.call('ZREM', many, unpack(some)) end
  left = redis.call('ZCARD', many)
else
  local kept = {}
  for at = 1, #old - ENTRY + 1, ENTRY do
    if gone < limit and (id == '' or string.sub(old, at, at + 5) == id) then
      gone = gone + 1
    else
      kept[#kept + 1] = string.sub(old, at, at + ENTRY - 1)
    end
  end
  left = #kept
  if gone > 0 then new = table.concat(kept) end
end

-- A script that has removed something may write even if no memory is left.
if left == 0 or new then redis.call('HDEL', bucket, field) end
if left > 0 and new then redis.call('HSET', bucket, field, new) end
if gone > 0 then redis.call('DECRBY', KEYS[2], gone) end
return { gone, left }
