--! blob: keep a large part of an event of a live run, once; what refers to it comes later.
--! use blobs record
--! arg rid  str
--! arg hash str   of its content
--! arg part str   encoded
--! reply list: 'OK' | 'GONE', status

local run = load_run(rid)

-- Guards.
if not run then return { 'GONE', 'missing' } end
if run.status ~= 'running' then return { 'GONE', run.status } end

-- Writes.
keep_blob(rid, hash, part)
return { 'OK' }
