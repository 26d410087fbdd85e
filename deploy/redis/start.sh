#!/bin/sh
# Puts the digests of the users' passwords, which lie in one file each, into the access list, and becomes the server.
# Further arguments go to the server.
set -eu
umask 077
here=${PACKHOUSE_REDIS_CONF:-/etc/packhouse-redis}
secrets=${PACKHOUSE_REDIS_PASSWORDS:-/run/secrets}
run=${PACKHOUSE_REDIS_RUN:-/run/redis}

script=
for user in engine worker operator flower scaler; do
  password=$(cat "$secrets/redis-$user-password")
  [ "${#password}" -ge 16 ] || { echo "The password in $secrets/redis-$user-password is shorter than 16 characters." >&2; exit 5; }
  digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
  script="$script;s/@$user@/$digest/"
done
sed "${script#;}" "$here/users.acl" > "$run/users.acl"
exec "${REDIS_SERVER:-redis-server}" "$here/redis.conf" --dir "${PACKHOUSE_REDIS_DATA:-/data}" --aclfile "$run/users.acl" "$@"
