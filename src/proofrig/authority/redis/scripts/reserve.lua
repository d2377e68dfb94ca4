-- Hold the amounts on every scope or on none; write the reserve, ask or deny.

-- What the caller's rules went by: it looks again when that is not, or no longer, so.
for _, at in ipairs(given.limited) do
  if not call('HGET', KEYS[FIRST + at], 'policy') then return {'limits'} end
end
if given.own and #given.guards > 0 then
  local own, fields, holds = KEYS[FIRST + given.own], {}, true
  for i, unit in ipairs(given.guards) do fields[i] = 'u ' .. unit end
  local used = call('HMGET', own, unpack(fields))
  for i, was in ipairs(given.were) do
    used[i] = tonumber(used[i] or 0)
    if (used[i] > 0) ~= was then holds = false end
  end
  if not holds then return {'again', used} end
end
allot()
local known = call('HGET', ID, 'opened')
if known then return {'known', known} end
read_scopes()

-- ---- refusals

local function remaining(n)
  local row, listed, left = call('HGETALL', KEYS[n]), {}, {}
  local limits, used = {}, {}
  for at = 1, #row, 2 do
    local kind, unit = string.sub(row[at], 1, 2), string.sub(row[at], 3)
    if kind == 'l ' and unit ~= 'children' then
      limits[unit] = tonumber(row[at + 1])
      listed[#listed + 1] = unit
    elseif kind == 'u ' then
      used[unit] = tonumber(row[at + 1])
    end
  end
  for _, unit in ipairs(listed) do
    left[#left + 1] = cjson.encode(unit) .. ':' .. whole(limits[unit] - (used[unit] or 0))
  end
  for field in string.gmatch(rows[n][WINDOWS] or '', '%S+') do
    local window = load_window(n, field)
    left[#left + 1] = cjson.encode(field) .. ':' .. whole(window.limit - count(window))
  end
  return '{' .. table.concat(left, ',') .. '}'
end

local function deny(code, n, left, fix, retry)
  local said = ',"code":' .. cjson.encode(code) .. ',"at":' .. cjson.encode(scope(n))
  said = said .. ',"remaining":' .. left
  if fix then said = said .. ',"fix":' .. cjson.encode(fix) end
  if retry and retry > 0 then said = said .. ',"retry_ns":' .. ns(retry) end
  local body = write(said .. given.refused, now + given.ttl)
  open('denied', body, now + given.retention)
  return {'deny', body}
end

for n = FIRST, #KEYS do
  if rows[n][STOP] then return deny('run_stopped', n, '{}', rows[n][STOP]) end
end
if given.forbidden then
  local body = write(given.forbidden, now + given.ttl)
  open('denied', body, now + given.retention)
  return {'deny', body}
end
for _, n in ipairs(parents()) do
  local row = call('HMGET', KEYS[n], 'l children', 'u children')
  local limit, used = tonumber(row[1] or nil), tonumber(row[2] or 0)
  if limit and used >= limit then
    return deny('fan_out_exceeded', n, '{"children":' .. whole(limit - used) .. '}')
  end
end

local wanted, counting = given.wanted or given.amounts, {}
for n = FIRST, #KEYS do
  local code, retry = nil, 0
  for _, window in ipairs(windows_of(n)) do
    if count(window) + wanted[window.i] > window.limit then
      code, retry = 'rate_exceeded', math.max(retry, wait(window, wanted[window.i]))
    end
    counting[#counting + 1] = window
  end
  local row = rows[n]
  for i, amount in ipairs(wanted) do
    local limit = row[HEAD + 3 * i - 2]
    if limit and (row[HEAD + 3 * i - 1] or 0) + amount > tonumber(limit) then
      code, retry = 'budget_exceeded', 0
      break
    end
  end
  if code then return deny(code, n, remaining(n), nil, retry) end
end

-- ---- admission

local overflow = book(given.amounts, given.amounts)
if overflow then return overflow end
for _, window in ipairs(counting) do
  add(window, given.amounts[window.i])
  save_window(window)
end
enter()
open(given.state, write(given.admitted, now + given.hold), now + given.hold)
return {'admitted', seq, now}
