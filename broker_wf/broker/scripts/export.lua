--! export: read all that a run is made of, as it stands at one moment.
--! use export
--! arg rid str
--! reply pack {status, now, record, state, list of {key, type, content}} | false: no such run

return cmsgpack.pack(exported(rid, now_ms()) or false)
