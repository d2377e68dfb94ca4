-- Move a reservation that stays open: start, approve or extend.

local row = call('HMGET', ID, 'state', 'expires', 'seq')
if row[3] and tonumber(row[3]) ~= given.opened then return {'other'} end
local move = row[1] and given.moves[row[1]]
if not move then return standing() end

local expires = given.ttl and now + given.ttl
if expires and given.longer and expires <= tonumber(row[2]) then
  return {'kept', seq, now, tonumber(row[2])}
end
local body = write(move.tail, expires)
if expires then
  call('HSET', ID, 'state', move.state, 'last', body, 'expires', expires)
  call('ZADD', TIMES, expires, given.id)
else
  call('HSET', ID, 'state', move.state, 'last', body)
end
return {'moved', seq, now, expires or tonumber(row[2])}
