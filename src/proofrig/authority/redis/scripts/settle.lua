-- End a reservation: commit, release or expire. What it held is replaced by what is charged.

local row = call('HMGET', ID, 'state', 'seq', 'expires')
if row[2] and tonumber(row[2]) ~= given.opened then return {'other'} end
if given.due then
  if not row[1] then
    call('ZREM', TIMES, given.id)
    return {'gone'}
  end
  if tonumber(row[3]) > now then return {'later'} end
end
local move = given.moves[row[1] or '']
if not move then
  if not given.due then return standing() end
  call('DEL', ID)  -- it ended long enough ago
  call('ZREM', TIMES, given.id)
  return {'forgotten'}
end

read_scopes()
local used, reserved = {}, {}
for i, held in ipairs(given.held) do
  used[i], reserved[i] = move.charged[i] - held, -held
end
local counting = {}
for n = FIRST, #KEYS do
  for _, window in ipairs(windows_of(n)) do counting[#counting + 1] = window end
end
local overflow = book(used, reserved)
if overflow then return overflow end
for _, window in ipairs(counting) do
  -- What was reserved before there was a window counts in it from its settlement.
  local held = given.opened > window.since and given.held[window.i] or 0
  local number, more = math.floor(given.t / window.width), move.charged[window.i] - held
  count(window)
  if window.slices[number] then
    window.slices[number] = window.slices[number] + more
  elseif more > 0 then
    add(window, more)
  end
  save_window(window)
end

local body = write(move.tail)
local forget = now + given.retention
call('HSET', ID, 'state', move.state, 'last', body, 'expires', forget)
call('ZADD', TIMES, forget, given.id)
return {'moved', seq, now}
