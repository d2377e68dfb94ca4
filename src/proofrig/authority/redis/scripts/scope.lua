-- Set the limits of one scope, or stop it.

if given.limits then
  allocate(FIRST, given.limits, given.tail)
else
  write(given.tail)
  call('HSET', KEYS[FIRST], 'stop', given.reason)
end
return {'moved', seq, now}
