--! seal: a write, so that there is something behind all that was written before for WAIT and WAITAOF to wait for.
--! key seal STRING
--! reply {'OK'}

return redis.call('SET', seal_key(), now_ms(), 'PX', 60000)
