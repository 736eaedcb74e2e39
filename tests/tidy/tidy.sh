#!/bin/bash
# Checks that no compiler makes: the order of the layers, the one door of each dependency, and
# that errors go one way.
set -euo pipefail
cd "$1/src"
failed=0
complain() { echo "tidy: $*" >&2; failed=1; }

# forbid FOLDER OTHER: no file in FOLDER includes one of OTHER.
forbid() {
  [[ -d $1 ]] || return 0
  while read -r line; do complain "$1 includes $2: $line"; done \
    < <(grep -rnE "^#include \"$2/" "$1")
}

# A file may include its own layer and those before it, never one after it.
layers=(base wire net config auth pool session handoff daemon control cli)
for i in "${!layers[@]}"; do
  for above in "${layers[@]:i+1}"; do forbid "${layers[i]}" "$above"; done
done

# Strangers, whatever the order allows: bytes know no sockets, decisions know neither.
forbid net wire
for decides in config pool; do forbid "$decides" wire; forbid "$decides" net; done
forbid auth net
forbid auth wire

# Each dependency has one door.
door() {
  while read -r line; do complain "$1 outside $2: $line"; done \
    < <(grep -rnE "^#include <$1" . | grep -vE "^\./($2)/" || true)
}
door 'event2/' net
door 'openssl/ssl' net
door 'openssl/' 'net|auth'
door 'systemd/' 'handoff|daemon|control'
door 'ini\.h' config

# Errors are returned. Nothing is thrown, nothing is caught.
while read -r line; do complain "exception: $line"; done \
  < <(grep -rnE '\b(throw|catch|try) *[({]|\bthrow\b.*;' . | grep -vE '^[^:]+:[0-9]+: *//' || true)

exit $failed
