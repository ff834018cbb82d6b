--! expose: publish from now on what the engine does for a run.
--! use record notes
--! arg rid str
--! reply list: 'OK' | 'GONE', status

local run = load_run(rid)
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end
if run.exposed then return { 'OK' } end
set_rare(rid, 'exposed', 1)
if run.started and notes().is_idle(rid) then notes().add(run, { 'i' }) end
notes().publish(run, rid, now_ms())
return { 'OK' }
