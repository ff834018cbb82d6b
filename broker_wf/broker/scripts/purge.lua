--! purge: forget a run that has ended.
--! use forget
--! arg rid  str
--! reply str: OK, or the status of a run that was left alone: running, missing

local run = load_run(rid)
if not run then return 'missing' end
if run.status == 'running' then return run.status end
forget(run, rid)
return 'OK'
