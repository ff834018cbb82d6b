--! stream: somebody waits for what a run publishes, and its end is to be told there too.
--! use record
--! arg rid str
--! reply list: 'OK' | 'GONE', status

local run = load_run(rid)
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
if not run.streamed then set_rare(rid, 'streamed', 1) end
return { 'OK' }
