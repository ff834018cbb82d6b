#!/bin/sh
# Starts the Redis of docker-compose.yml: as the server's own user, on a repaired log, with the password of the secret.
set -eu

here=$(dirname "$0")
secret=${REDIS_PASSWORD_FILE:-/run/secrets/redis_password}
manifest=/data/appendonlydir/appendonly.aof.manifest

refuse() {
    echo "start.sh: $*" >&2
    exit 1
}

if [ "$(id -u)" = 0 ]; then
    user=redis
    id -u redis >/dev/null 2>&1 || user=valkey
    find /data ! -user "$user" -exec chown "$user" {} +
    if command -v gosu >/dev/null; then
        exec gosu "$user" "$0" "$@"
    fi
    exec setpriv --reuid="$user" --regid="$user" --init-groups "$0" "$@"
fi

[ -f "$secret" ] || refuse "there is no password at $secret: run 'make secret' beside docker-compose.yml"
password=$(cat "$secret")
[ -n "$password" ] || refuse "the password at $secret is empty"
case $password in
    *[!A-Za-z0-9._~-]*) refuse "the password may hold letters, digits and . _ ~ - only: others end a word in a URL or in a configuration" ;;
esac

# A log torn by a power loss must be mended before anything is written behind the tear: the server itself
# would drop the torn end when it loads, but the next start reads across it.
if [ -f "$manifest" ]; then
    echo y | redis-check-aof --fix "$manifest" || refuse "the log cannot be repaired: $manifest"
fi

# On standard input, so that the password is in no argument list and in no file.
exec redis-server - <<CONF
$(cat "$here/redis.conf")
maxmemory ${REDIS_MAXMEMORY:-1gb}
appendfsync ${REDIS_APPENDFSYNC:-everysec}
requirepass $password
CONF
