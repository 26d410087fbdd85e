#!/bin/sh
# Publishes a finished run and waits for what comes of it: publish.sh EVENT.json [SECONDS]
#
# The server is PACKHOUSE_REDIS_URL, the namespace PACKHOUSE_NAMESPACE. Needs redis-cli 7 and jq. The final event goes to
# standard output. Exit status as of `packhouse publish --wait`: 0 succeeded, 1 failed or rejected, 2 usage, 3 partly
# succeeded, 4 timed out, 5 no connection. Events are not signed here: openssl would show the key to everyone on the
# machine, among its arguments. publish.mjs signs.
set -eu
[ $# -ge 1 ] && [ -r "$1" ] || { echo "usage: publish.sh EVENT.json [SECONDS]" >&2; exit 2; }
event=$1 seconds=${2:-600} keys="{${PACKHOUSE_NAMESPACE:-packhouse}}"
server() { redis-cli -u "${PACKHOUSE_REDIS_URL:-redis://127.0.0.1:6379/0}" --no-auth-warning -e "$@" || exit 5; }
field() { jq -er "$1" "$event" || { echo "$event has no $1" >&2; exit 2; }; }

id=$(field .id) source=$(field .source) subject=$(field .subject)

tell() { # prints a final event and leaves with its exit status
  printf '%s\n' "$1"
  case $(printf '%s' "$1" | jq -r '.data.state // "rejected"') in
    succeeded) exit 0 ;; partly_succeeded) exit 3 ;; *) exit 1 ;;
  esac
}

# A run is named by source and subject, and is packaged once: its final event lies under a key for as long as its record.
key=$(printf '%s\0%s' "$source" "$subject" | sha256sum | cut -c-32)
known=$(server GET "$keys:final:$key")
if [ -n "$known" ]; then
  echo "run $subject was published before: this is its outcome" >&2
  tell "$known"
fi

# One connection for both commands: WAITAOF answers for the writes of its own. It is an error before Redis 7.2.
answer=$(printf 'XADD %s:runs * event %s\nWAITAOF 1 0 5000\n' "$keys" "$(jq -c . "$event" | jq -R .)" | server)
entry=$(printf '%s\n' "$answer" | head -n 1)
[ "$(printf '%s\n' "$answer" | sed -n 2p)" = 1 ] || echo "note: the server did not say that the event is on its disk" >&2

# Whatever is said of the run comes after its entry, by the clock of the same server.
after=${entry%-*}-0
until=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$until" ]; do
  read=$(server --json XREAD COUNT 100 BLOCK 1000 STREAMS "$keys:status" "$after")
  final=$(printf '%s' "$read" | jq -c --arg id "$id" --arg source "$source" --arg subject "$subject" '
    [.[]?[]?[1][1] | fromjson | select(.source == $source and .subject == $subject)
     | select(.type == "packhouse.packaging.completed" or (.type == "packhouse.packaging.rejected" and .data.event_id == $id))
    ] | first // empty')
  [ -z "$final" ] || tell "$final"
  after=$(printf '%s' "$read" | jq -r --arg after "$after" '[.[]?[]?[0]] | last // $after')
done
echo "no final status within $seconds s" >&2
exit 4
