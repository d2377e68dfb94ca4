-- Charge what has already happened, in full, without a hold.

allot()
local known = call('HGET', ID, 'opened')
if known then return {'known', known} end
read_scopes()
local counting, none = {}, {}
for n = FIRST, #KEYS do
  for _, window in ipairs(windows_of(n)) do counting[#counting + 1] = window end
end
for i = 1, #given.units do none[i] = 0 end
local overflow = book(given.amounts, none)
if overflow then return overflow end
for _, window in ipairs(counting) do
  count(window)
  add(window, given.amounts[window.i])
  save_window(window)
end
enter()
open('committed', write(given.tail, now + given.ttl), now + given.retention)
return {'moved', seq, now}
