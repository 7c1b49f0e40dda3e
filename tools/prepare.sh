#!/usr/bin/env bash
# Set-up shared by `npm start` and `npm test`: host packages, node modules by the lock file, build.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/setup-host.sh "${1:-test}"
# npm ci removes node_modules first; skip it when the installed tree is the lock file's.
if ! cmp -s package-lock.json node_modules/.ctrd-lock 2>/dev/null; then
  echo "prepare: npm ci" >&2
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.ctrd-lock
fi
echo "prepare: build" >&2
npm run --silent build
