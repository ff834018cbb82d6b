--! cancel: end a run on request, unless it has ended.
--! use finish
--! arg rid str
--! reply list: 'OK' | 'GONE', status

local run = load_run(rid)
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
finish(run, rid, now_ms(), cancelled())
return { 'OK' }
