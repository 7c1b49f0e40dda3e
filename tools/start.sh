#!/usr/bin/env bash
# `npm start`: set everything up and show the main job once, on a temporary root.
set -euo pipefail
cd "$(dirname "$0")/.."
bash tools/prepare.sh start
exec node_modules/.bin/node tools/start.ts
