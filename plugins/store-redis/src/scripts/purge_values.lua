-- Removes the value records of a partition that have expired.
-- KEYS: the index of the partition.
-- ARGV: now, how many records to remove at most, the beginning of their names.
-- Returns how many records were removed, and 1 if there may be more.
local limit = math.min(tonumber(ARGV[2]), 1000)
local keys = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, limit)
if #keys == 0 then return { 0, 0 } end
for _, key in ipairs(keys) do redis.call('DEL', ARGV[3] .. key) end
redis.call('ZREM', KEYS[1], unpack(keys))
return { #keys, #keys == limit and 1 or 0 }
