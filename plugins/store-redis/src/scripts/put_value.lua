-- Puts a value record if its key has what was seen.
-- KEYS: the record, the index of its partition.
-- ARGV: now, the record, its key, its expiry, how long to keep it in seconds; then what was seen, if something was.
-- Returns 1 if the record is the one that was put, else 0.
local old, new, seen = redis.call('GET', KEYS[1]), ARGV[2], ARGV[6]
if old and #old >= 16 then
  -- The mark is that of this put: it is sent again.
  if string.sub(old, 9, 16) == string.sub(new, 9, 16) then return 1 end
  if struct.unpack('>I4', old, 5) > tonumber(ARGV[1]) then
    if string.sub(old, 17) ~= seen then return 0 end
  elseif seen then
    return 0
  end
elseif seen then
  return 0
end

local ttl = tonumber(ARGV[5])
redis.call('SET', KEYS[1], new, 'EX', ttl)
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
if redis.call('TTL', KEYS[2]) < ttl then redis.call('EXPIRE', KEYS[2], ttl) end
return 1
