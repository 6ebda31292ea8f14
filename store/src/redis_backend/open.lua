-- Creates the store, or checks its format. ARGV: format, epoch for a new store, least next task uid, and how many uids
-- a lost store may have given out that the pod never learned of.
local meta, least = KEYS[1] .. ':meta', tonumber(ARGV[3])
local format = redis.call('HGET', meta, 'format')
if format then
  if tonumber(format) ~= tonumber(ARGV[1]) then return {'format', format} end
else
  redis.call('HSET', meta, 'format', ARGV[1], 'epoch', ARGV[2])
  -- The clock keeps revisions above those of a store that was lost.
  local time = redis.call('TIME')
  redis.call('SET', KEYS[1] .. ':revision', string.format('%.0f', time[1] * 1000000 + time[2]))
  if least > 0 then least = least + tonumber(ARGV[4]) end
end
local uid = KEYS[1] .. ':uid'
if tonumber(redis.call('GET', uid) or '0') < least then redis.call('SET', uid, string.format('%.0f', least)) end
return {'epoch', redis.call('HGET', meta, 'epoch'), redis.call('GET', KEYS[1] .. ':version') or '0'}
