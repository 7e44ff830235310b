-- Removes a value record.
-- KEYS: the record, the index of its partition.
-- ARGV: its key.
-- Returns how many records were removed.
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('DEL', KEYS[1])
