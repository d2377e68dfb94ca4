-- What all scripts begin with. Python sets SLICES, WIDTH (microseconds of a slice, by window) and
-- MAX before it.
--
-- Rules:
-- 1. Times are whole microseconds and amounts integers up to MAX: exact as the doubles of Lua. No
--    number is written by `tostring` or cjson, which keep 14 digits.
-- 2. Nothing is touched but KEYS: 1 the ledger's own figures, 2 when each id ends or is forgotten,
--    3 the journal, 4 the scopes in order of first use, then the id if there is one, then scopes.
-- 3. All is read and decided before the first write, so that no error leaves half a move.
-- 4. Time is the server's, and never goes back, whatever its clock does.
--
-- A scope is a hash: `l <unit>` its limit, `u <unit>` used (reserved + spent), `r <unit>` reserved,
-- `w <unit>/<window>` a packed window, and `stop`, `entered`, `known`, `windows`, `policy`.

local call = redis.call
local given = cmsgpack.unpack(ARGV[1])
local LEDGER, TIMES, JOURNAL, SCOPES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ID, FIRST = given.id and KEYS[5], given.id and 6 or 5

local meta = call('HMGET', LEDGER, 'epoch', 'seq', 't')
if meta[1] ~= given.epoch then
  if given.epoch ~= '' then return {'lost'} end
  if not meta[1] then call('HSET', LEDGER, 'epoch', given.fresh) end
  return {'epoch', meta[1] or given.fresh}
end
local seq, now = tonumber(meta[2] or 0), given.now
if not now then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
now = math.max(now, tonumber(meta[3] or 0))

local function whole(n) return string.format('%.0f', n) end
local function ns(us) return us == 0 and '0' or whole(us) .. '000' end
local function scope(n) return string.sub(KEYS[n], given.skip) end

-- ---- what is written down

-- The next transition as JSON, also appended to the journal. `tail`: all of it but number and time.
local function write(tail, expires)
  seq = seq + 1
  local head = '{"seq":' .. whole(seq) .. ',"t":' .. ns(now)
  if expires then head = head .. ',"expires":' .. ns(expires) end
  local body = head .. tail
  call('HSET', LEDGER, 'seq', seq, 't', now)
  if given.keep > 0 then
    call('XADD', JOURNAL, 'MAXLEN', '~', given.keep, whole(seq) .. '-0', 'body', body)
  end
  return body
end

-- An id that was new is in `state` from now on. `expires`: its hold ends, or it is forgotten, then.
local function open(state, body, expires)
  call('HSET', ID, 'state', state, 'seq', seq, 'opened', body, 'expires', expires)
  call('ZADD', TIMES, expires, given.id)
end

-- What is known of the id, for a move that it cannot make.
local function standing()
  local row = call('HMGET', ID, 'state', 'opened', 'last', 'expires')
  return {'standing', row[1], row[2], row[3], tonumber(row[4] or 0)}
end

-- ---- windows

local function load_window(n, field)
  local window = cmsgpack.unpack(call('HGET', KEYS[n], 'w ' .. field))
  window.n, window.field = n, field
  window.width = WIDTH[string.match(field, '/(%a+)$')]
  return window
end

local function save_window(window)
  local kept = {limit = window.limit, since = window.since, slices = window.slices}
  call('HSET', KEYS[window.n], 'w ' .. window.field, cmsgpack.pack(kept))
end

-- What counts in a window now; slices that are over are dropped.
local function count(window)
  local oldest, used = math.floor(now / window.width) - SLICES, 0
  for number, amount in pairs(window.slices) do
    if number < oldest then window.slices[number] = nil else used = used + amount end
  end
  return used
end

local function add(window, amount)
  local number = math.floor(now / window.width)
  window.slices[number] = (window.slices[number] or 0) + amount
end

-- In how long `amount` fits, in microseconds; 0 when it fits now or never will.
local function wait(window, amount)
  local short = count(window) + amount - window.limit
  if short <= 0 or amount > window.limit then return 0 end
  local numbers = {}
  for number in pairs(window.slices) do numbers[#numbers + 1] = number end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    short = short - window.slices[number]
    if short <= 0 then return (number + SLICES + 1) * window.width - now end
  end
  return 0
end

-- ---- scopes

local STOP, ENTERED, KNOWN, WINDOWS, HEAD = 1, 2, 3, 4, 4
local rows, USED, RESERVED = {}, {}, {}

-- Read the figures of every scope in the units of this call: of unit i its limit, what is used and
-- what is reserved are at HEAD + 3 * i - 2, - 1 and - 0.
local function read_scopes()
  local fields = {'stop', 'entered', 'known', 'windows'}
  for i, unit in ipairs(given.units) do
    USED[i], RESERVED[i] = 'u ' .. unit, 'r ' .. unit
    local at = HEAD + 3 * i
    fields[at - 2], fields[at - 1], fields[at] = 'l ' .. unit, USED[i], RESERVED[i]
  end
  for n = FIRST, #KEYS do rows[n] = call('HMGET', KEYS[n], unpack(fields)) end
end

-- The windows of a scope in the units of this call: each with the place of its unit.
local function windows_of(n)
  local found, listed = {}, rows[n][WINDOWS]
  if not listed then return found end
  for field in string.gmatch(listed, '%S+') do
    local unit = string.match(field, '^[^/]+')
    for i, one in ipairs(given.units) do
      if one == unit then
        local window = load_window(n, field)
        window.i = i
        found[#found + 1] = window
      end
    end
  end
  return found
end

-- Add to what is used and reserved of each unit, everywhere. Answers an error, and writes nothing,
-- when a sum would no longer be exact.
local function book(used, reserved)
  local written = {}
  for n = FIRST, #KEYS do
    local row, fields, size = rows[n], {}, 0
    for i, more in ipairs(used) do
      local at = HEAD + 3 * i
      local sum = (row[at - 1] or 0) + more
      if sum > MAX then return {'overflow', scope(n), given.units[i]} end
      fields[size + 1], fields[size + 2] = USED[i], sum
      size = size + 2
      if reserved[i] ~= 0 then
        fields[size + 1], fields[size + 2] = RESERVED[i], (row[at] or 0) + reserved[i]
        size = size + 2
      end
    end
    written[n] = fields
  end
  for n = FIRST, #KEYS do
    if #written[n] > 0 then call('HSET', KEYS[n], unpack(written[n])) end
  end
end

local function know(n)
  if call('HSETNX', KEYS[n], 'known', 1) == 1 then call('RPUSH', SCOPES, scope(n)) end
end

-- The parents of scopes never entered, each with one new child at most.
local function parents()
  local found = {}
  for n = FIRST, FIRST + given.path - 2 do
    if not rows[n + 1][ENTERED] then found[#found + 1] = n end
  end
  return found
end

-- An action was let in: its scopes are children of their parents from now on.
local function enter()
  for _, n in ipairs(parents()) do call('HINCRBY', KEYS[n], 'u children', 1) end
  for n = FIRST, #KEYS do
    if not rows[n][ENTERED] then call('HSET', KEYS[n], 'entered', 1) end
    if not rows[n][KNOWN] then know(n) end
  end
end

-- ---- limits

-- Set limits, pairs of a name and an amount, as a transition of its own.
local function allocate(n, limits, tail)
  write(tail)
  know(n)
  for _, limit in ipairs(limits) do
    local name, amount = limit[1], limit[2]
    if not string.find(name, '/', 1, true) then
      call('HSET', KEYS[n], 'l ' .. name, amount)
    elseif call('HEXISTS', KEYS[n], 'w ' .. name) == 1 then
      local window = load_window(n, name)
      window.limit = amount
      save_window(window)
    else
      save_window({n = n, field = name, limit = amount, since = seq, slices = {}})
      local listed = call('HGET', KEYS[n], 'windows')
      call('HSET', KEYS[n], 'windows', listed and listed .. ' ' .. name or name)
    end
  end
end

local function lift(n, names)
  for _, name in ipairs(names) do
    call('HDEL', KEYS[n], (string.find(name, '/', 1, true) and 'w ' or 'l ') .. name)
  end
  local left = {}
  for name in string.gmatch(call('HGET', KEYS[n], 'windows') or '', '%S+') do
    if call('HEXISTS', KEYS[n], 'w ' .. name) == 1 then left[#left + 1] = name end
  end
  if #left > 0 then
    call('HSET', KEYS[n], 'windows', table.concat(left, ' '))
  else
    call('HDEL', KEYS[n], 'windows')
  end
end

-- Give scopes the limits of the caller's policy, where they are not what it, or another, gave last;
-- those that it has no more are lifted. `policy`: what was given, as `unit=amount unit=amount`.
local function allot()
  for _, one in ipairs(given.allot or {}) do
    local n, given_now, quoted, lifted = FIRST + one.at, {}, {}, {}
    local had = call('HGET', KEYS[n], 'policy') or ''
    if had ~= one.mark then
      for _, limit in ipairs(one.limits) do given_now[limit[1]] = true end
      for name in string.gmatch(had, '(%S+)=%d+') do
        if not given_now[name] then
          lifted[#lifted + 1], quoted[#quoted + 1] = name, cjson.encode(name)
        end
      end
      local said = #lifted > 0 and ',"lifted":[' .. table.concat(quoted, ',') .. ']' or ''
      allocate(n, one.limits, said .. one.tail)
      lift(n, lifted)
      call('HSET', KEYS[n], 'policy', one.mark)
    end
  end
end
