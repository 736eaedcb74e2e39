#!/bin/bash
# clang-tidy over every source file of a clang build: clang_tidy.sh PROJECT BUILD. A file that passed
# is looked at again only when what the compiler sees of it, or .clang-tidy, has changed.
set -euo pipefail
command -v clang-tidy >/dev/null || { echo "clang-tidy is missing: tests/install"; exit 77; }
cd "$1"
export build=$2 passed=$2/clang-tidy-passed
mkdir -p "$passed"

check() {
  local file=$1 command sum
  command=$(/usr/bin/python3 - "$build/compile_commands.json" "$PWD/$file" <<'END'
import json, sys
for entry in json.load(open(sys.argv[1])):
    if entry["file"] == sys.argv[2]:
        words = entry["command"].split(" -o ")[0].split()
        print(" ".join(w for w in words if not w.endswith("ccache")), "-E -P", entry["file"])
        break
END
  )
  [[ -n $command ]] || return 0
  sum=$( (cat .clang-tidy; clang-tidy --version; eval "$command") 2>/dev/null | sha256sum | cut -c1-64)
  [[ ! -e $passed/$sum ]] || return 0
  clang-tidy --quiet --warnings-as-errors='*' -p "$build" "$file" 2>/dev/null || return 1
  touch "$passed/$sum"
}
export -f check
find src -name '*.cc' -print0 | xargs -0 -n1 -P"$(nproc)" bash -c 'check "$0"'
