-- Performs a group of writes, each of which happens whole or not at all. ARGV: epoch, most tasks, most changes kept,
-- number of writes; then for each write its checks and its operations, both preceded by their count.
-- UIDS: uids have 32 bits.
local P, at, UIDS = KEYS[1], 0, 4294967295
local function take() at = at + 1; return ARGV[at] end
local function text(number) return string.format('%.0f', number) end
local meta = redis.call('HGET', P .. ':meta', 'epoch')
if take() ~= meta then return {-1} end
local tasks_max, kept_max = tonumber(take()), take()
local names = {}
local function name(kind, key) names[#names + 1] = kind; names[#names + 1] = key end
local function changed(hash, key)
  if hash == 'tasks' then name('t', key) elseif hash == 'indexes' then name('i', key)
  elseif hash == 'topology' then name('g', '') else name('r', string.sub(hash, 3) .. ':' .. key) end
end
local function keys_of(hash) if string.sub(hash, 1, 2) == 't:' then return P .. ':k:' .. string.sub(hash, 3) end end
local perform = {}
function perform.put(doing)
  local hash, key, value = take(), take(), take()
  if not doing then return end
  local revision = redis.call('INCR', P .. ':revision')
  redis.call('HSET', P .. ':' .. hash, key, text(revision) .. '|' .. value)
  if keys_of(hash) then redis.call('ZADD', keys_of(hash), 0, key) end
  changed(hash, key)
  return revision
end
function perform.set(doing)
  local hash, key, value = take(), take(), take()
  if not doing then return end
  redis.call('HSET', P .. ':' .. hash, key, value)
  if keys_of(hash) then redis.call('ZADD', keys_of(hash), 0, key) end
  changed(hash, key)
  return 0
end
function perform.delete(doing)
  local hash, key = take(), take()
  if not doing then return end
  redis.call('HDEL', P .. ':' .. hash, key)
  if keys_of(hash) then redis.call('ZREM', keys_of(hash), key) end
  changed(hash, key)
  return 0
end
function perform.task(doing)
  local value = take()
  if not doing then return end
  local uid = redis.call('INCR', P .. ':uid') - 1
  redis.call('HSET', P .. ':tasks', text(uid), '1|' .. value)
  changed('tasks', text(uid))
  return uid
end
-- Creates a task, and the idempotency key that refers to it from now on.
function perform.once(doing)
  local value, key, head, tail, _ = take(), take(), take(), take(), take()
  if not doing then return end
  local uid = redis.call('INCR', P .. ':uid') - 1
  redis.call('HSET', P .. ':tasks', text(uid), '1|' .. value)
  changed('tasks', text(uid))
  local revision = redis.call('INCR', P .. ':revision')
  redis.call('HSET', P .. ':t:idempotency', key, text(revision) .. '|' .. head .. text(uid) .. tail)
  redis.call('ZADD', P .. ':k:idempotency', 0, key)
  return uid
end
function perform.uids(doing)
  local count, least = tonumber(take()), tonumber(take())
  if not doing then return end
  local first = math.max(tonumber(redis.call('GET', P .. ':uid') or '0'), least)
  redis.call('SET', P .. ':uid', text(first + count))
  return first
end
local function entry(log, stream, padded, header, body)
  redis.call('SADD', P .. ':logs:' .. log, stream)
  redis.call('ZADD', P .. ':log:' .. log .. ':' .. stream, 0, padded .. ':' .. #body)
  redis.call('HSET', P .. ':body:' .. log .. ':' .. stream, padded .. 'h', header, padded .. 'b', body)
  name('l', log .. ':' .. stream)
end
function perform.append(doing)
  local log, stream, header, body = take(), take(), take(), take()
  if not doing then return end
  local sequence = redis.call('INCR', P .. ':revision')
  entry(log, stream, string.format('%020.0f', sequence), header, body)
  return sequence
end
function perform.entry(doing)
  local log, stream, padded, header, body = take(), take(), take(), take(), take()
  if doing then entry(log, stream, padded, header, body) end
  return 0
end
function perform.counters(doing)
  local uid, revision = tonumber(take()), tonumber(take())
  if not doing then return end
  if tonumber(redis.call('GET', P .. ':uid') or '0') < uid then redis.call('SET', P .. ':uid', text(uid)) end
  if tonumber(redis.call('GET', P .. ':revision')) < revision then redis.call('SET', P .. ':revision', text(revision)) end
  return 0
end
function perform.truncate(doing)
  local log, stream, through = take(), take(), take()
  if not doing then return end
  local entries, bodies = P .. ':log:' .. log .. ':' .. stream, P .. ':body:' .. log .. ':' .. stream
  local doomed = redis.call('ZRANGEBYLEX', entries, '-', '[' .. through .. '~')
  for _, member in ipairs(doomed) do
    local padded = string.match(member, '^(%d+):')
    redis.call('HDEL', bodies, padded .. 'h', padded .. 'b')
    redis.call('ZREM', entries, member)
  end
  if #doomed > 0 then name('l', log .. ':' .. stream) end
  if redis.call('EXISTS', entries) == 0 then redis.call('SREM', P .. ':logs:' .. log, stream) end
  return 0
end
local out = {1}
for _ = 1, tonumber(take()) do
  local failed, full = 0, false
  for check = 1, tonumber(take()) do
    local hash, key, expected = take(), take(), take()
    local stored = redis.call('HGET', P .. ':' .. hash, key)
    local revision = stored and string.match(stored, '^(%d+)|') or ''
    if failed == 0 and revision ~= expected then failed = check end
  end
  local results = {1}
  for _ = 1, tonumber(take()) do
    local kind = take()
    if failed == 0 and (kind == 'task' or kind == 'once' or kind == 'uids') then
      local uid = tonumber(redis.call('GET', P .. ':uid') or '0')
      if kind == 'uids' then full = full or math.max(uid, tonumber(ARGV[at + 2])) + tonumber(ARGV[at + 1]) > UIDS
      else full = full or uid >= UIDS or redis.call('HLEN', P .. ':tasks') >= tasks_max end
      if kind == 'once' then full = full or redis.call('HLEN', P .. ':t:idempotency') >= tonumber(ARGV[at + 5]) end
    end
    local result = perform[kind](failed == 0 and not full)
    if result then results[#results + 1] = result end
  end
  if full then results = {2} elseif failed > 0 then results = {0, failed} end
  out[#out + 1] = results
end
if #names > 0 then
  local version = redis.call('INCR', P .. ':version')
  -- In parts, because Lua bounds the number of arguments of a call.
  local part = 0
  for first = 1, #names, 1000 do
    redis.call('XADD', P .. ':changes', 'MAXLEN', '~', kept_max, text(version) .. '-' .. part,
      unpack(names, first, math.min(first + 999, #names)))
    part = part + 1
  end
end
return out
