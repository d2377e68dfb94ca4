-- Every unit limited or booked in one scope: [unit, limit or -1, reserved, spent], its windows as
-- of now.

local row, units, parts = call('HGETALL', KEYS[FIRST]), {}, {}
for at = 1, #row, 2 do
  local kind, unit = string.match(row[at], '^([lurw]) (.+)$')
  if kind and kind ~= 'w' then
    if not parts[unit] then
      parts[unit] = {l = -1, u = 0, r = 0}
      units[#units + 1] = unit
    end
    parts[unit][kind] = tonumber(row[at + 1])
  elseif kind then
    local window = load_window(FIRST, unit)
    parts[unit] = {l = window.limit, u = count(window), r = 0}
    units[#units + 1] = unit
  end
end
local found = {}
for _, unit in ipairs(units) do
  local part = parts[unit]
  if unit ~= 'children' or part.l ~= -1 then
    found[#found + 1] = {unit, part.l, part.r, part.u - part.r}
  end
end
return {'found', found}
