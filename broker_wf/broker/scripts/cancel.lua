--! cancel: end a run on request, unless it has ended.
--! use finish export rest
--! arg rid  str
--! arg keep int   1: give what the run was made of, so that it can be resumed
--! reply list: 'OK', packed as by export, or '' | 'GONE', status

local run, now = load_run(rid), now_ms()
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
local was = keep == 1 and cmsgpack.pack(exported(rid, now)) or ''
keep_rest(run, rid)
finish(run, rid, now, cancelled())
return { 'OK', was }
