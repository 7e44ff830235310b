-- Writes a peer's row: when its addresses were told, the length of its id, its id, its addresses.
-- KEYS: the row.
-- ARGV: the id, the addresses or nothing to keep those that are known, now in 4 bytes, how long to keep the row in seconds.
-- Returns the row; nothing if it belongs to another peer with the same fingerprint.
local id, addresses, at = ARGV[1], ARGV[2], ARGV[3]
local old = redis.call('GET', KEYS[1])
if old and #old > 5 then
  local len = string.byte(old, 5)
  if string.sub(old, 6, 5 + len) ~= id then return false end
  if addresses == '' then
    addresses, at = string.sub(old, 6 + len), string.sub(old, 1, 4)
  end
end
local row = at .. string.char(#id) .. id .. addresses
local ttl = math.max(redis.call('TTL', KEYS[1]), tonumber(ARGV[4]))
redis.call('SET', KEYS[1], row, 'EX', ttl)
return row
