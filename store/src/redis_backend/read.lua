-- Performs one kind of read. The answer begins with the time and the epoch.
local P, kind = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local out = {time[1], time[2], redis.call('HGET', P .. ':meta', 'epoch') or ''}
local function add(value) out[#out + 1] = value end
if kind == 'fields' then
  for i = 2, #ARGV, 2 do add(redis.call('HGET', P .. ':' .. ARGV[i], ARGV[i + 1])) end
elseif kind == 'all' then
  for _, value in ipairs(redis.call('HGETALL', P .. ':' .. ARGV[2])) do add(value) end
elseif kind == 'page' then
  local hash = P .. ':t:' .. ARGV[2]
  for _, key in ipairs(redis.call('ZRANGEBYLEX', P .. ':k:' .. ARGV[2], ARGV[3], '+', 'LIMIT', 0, ARGV[4])) do
    add(key)
    add(redis.call('HGET', hash, key))
  end
elseif kind == 'entries' then
  local name = ARGV[2] .. ':' .. ARGV[3]
  local bytes, count = 0, 0
  for _, member in ipairs(redis.call('ZRANGEBYLEX', P .. ':log:' .. name, '(' .. ARGV[4] .. '~', '+', 'LIMIT', 0, ARGV[6])) do
    local sequence, length = string.match(member, '^(%d+):(%d+)$')
    bytes = bytes + tonumber(length)
    if count > 0 and bytes > tonumber(ARGV[5]) then break end
    count = count + 1
    add(sequence)
    add(redis.call('HGET', P .. ':body:' .. name, sequence .. 'h'))
    add(redis.call('HGET', P .. ':body:' .. name, sequence .. 'b'))
  end
elseif kind == 'sizes' then
  local streams = redis.call('SMEMBERS', P .. ':logs:' .. ARGV[2])
  table.sort(streams)
  for _, stream in ipairs(streams) do
    local entries, bytes = 0, 0
    for _, member in ipairs(redis.call('ZRANGE', P .. ':log:' .. ARGV[2] .. ':' .. stream, 0, -1)) do
      entries = entries + 1
      bytes = bytes + tonumber(string.match(member, ':(%d+)$'))
    end
    add(stream)
    add(tostring(entries))
    add(string.format('%.0f', bytes))
  end
elseif kind == 'names' then
  add(redis.call('GET', P .. ':uid') or '0')
  add(redis.call('GET', P .. ':revision') or '0')
  for _, group in ipairs({':k:', ':logs:'}) do
    local names = redis.call('KEYS', P .. group .. '*')
    table.sort(names)
    for _, found in ipairs(names) do add(string.sub(found, #P + 2)) end
  end
elseif kind == 'changes' then
  add(redis.call('GET', P .. ':version') or '0')
  for _, entry in ipairs(redis.call('XRANGE', P .. ':changes', ARGV[2], '+', 'COUNT', ARGV[3])) do
    add(entry[1])
    add(entry[2])
  end
elseif kind == 'tasks' then
  local page = redis.call('HSCAN', P .. ':tasks', ARGV[2], 'COUNT', ARGV[3])
  add(page[1])
  for _, value in ipairs(page[2]) do add(value) end
end
return out
