#!/usr/bin/env bash
# `npm test`: set everything up and run every check and test. Ends in a line `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/prepare.sh test
exec node_modules/.bin/node tools/test.ts "$@"
