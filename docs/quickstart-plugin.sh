#!/bin/sh
# From an empty folder to a container on a snapshotter of your own. It needs root, Node 22.15 or newer with npm, and
# containerd's ctr and shim with runc; no compiler. The image may come from any registry that ctr can pull from.
#
#   sh quickstart-plugin.sh docker.io/library/busybox:latest
#   sh quickstart-plugin.sh 127.0.0.1:5000/busybox:1 --plain-http
set -eu
image=$1
shift

npm create --yes ctrd-plugin my-snapshotter -- --kind snapshotter
(cd my-snapshotter && npm pack --silent)

mkdir app
cd app
npm init --yes >/dev/null
npm install --no-audit --no-fund @ctrd/server ../my-snapshotter/my-snapshotter-0.1.0.tgz

export CONTAINERD_ADDRESS="$PWD/ctrd.sock"
node_modules/.bin/ctrd --app . --root "$PWD/root" --state "$PWD/state" --address "$CONTAINERD_ADDRESS" -l warn &
daemon=$!
trap 'kill $daemon; wait $daemon' EXIT
until ctr version >/dev/null 2>&1; do sleep 0.1; done

ctr images pull "$@" --snapshotter my-snapshotter "$image"
ctr run --rm --snapshotter my-snapshotter "$image" "hello-$$" echo hello from my-snapshotter
