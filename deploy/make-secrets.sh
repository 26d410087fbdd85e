#!/bin/sh
# Makes the secrets of a deployment that are only between its own parts. What is there already is left alone.
#   make-secrets.sh FOLDER [HOST:PORT/DB[?OPTIONS]]  (default redis:6379/0; a scheme rediss:// may be given before it)
set -eu
folder=${1:?the folder for the secrets}
address=${2:-redis://redis:6379/0}
case $address in *://*) ;; *) address=redis://$address ;; esac
# The folder keeps others out; the files are for the users of the containers, whoever owns them here.
mkdir -p "$folder"
chmod 0700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for user in engine worker operator flower scaler; do
  file=$folder/redis-$user-password
  [ -s "$file" ] || random >"$file"
  url=$folder/$user-redis-url
  [ -s "$url" ] || printf '%s://%s:%s@%s\n' "${address%%://*}" "$user" "$(cat "$file")" "${address#*://}" >"$url"
done
[ -s "$folder/flower-basic-auth" ] || printf 'operator:%s\n' "$(random)" >"$folder/flower-basic-auth"
