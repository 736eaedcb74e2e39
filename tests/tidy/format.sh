#!/bin/bash
# Every C++ file is as clang-format would write it.
set -euo pipefail
command -v clang-format >/dev/null || { echo "clang-format is missing: tests/install"; exit 77; }
cd "$1"
find src tests \( -name '*.cc' -o -name '*.h' -o -name '*.c' \) -print0 |
  xargs -0 clang-format --dry-run -Werror
