#!/usr/bin/env bash
# Installs what a fresh Debian machine lacks to build, run and test ctrd. Safe to run again: it does nothing when all
# is there. What cannot be installed is named on stderr, with the reason, and the tests that need it show as skipped.
#
#   tools/setup-host.sh start    what `npm start` needs
#   tools/setup-host.sh test     that and the peers of the test suite (default)
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-test}
host_bin=$PWD/.host/bin

# program → Debian package
declare -A package_of=([ctr]=containerd [containerd-shim-runc-v2]=containerd [runc]=runc [docker-registry]=docker-registry)
if [ "$want" = test ]; then
  package_of+=([skopeo]=skopeo [umoci]=umoci [tmux]=tmux [zstd]=zstd [python3]=python3-minimal)
fi
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
# /bin/busybox must be the static one: it becomes the root file system of the test images.
if ! [ -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then missing+=(busybox-static); fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup-host: missing ${missing[*]}; installing them needs root and apt-get (Debian). Install them and try again." >&2
    exit 1
  fi
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
  echo "setup-host: installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # The service units of the packages are of no use here: the tests start their own daemons.
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# A newer ctr, from the Go module proxy.
ctr2_version=v2.3.4
if [ "$want" = test ] && ! [ -x "$host_bin/ctr2-$ctr2_version" ]; then
  go=$(command -v go || true)
  [ -n "$go" ] || { [ -x /usr/local/go/bin/go ] && go=/usr/local/go/bin/go; } || true
  if [ -z "$go" ]; then
    echo "setup-host: no Go toolchain: ctr $ctr2_version is not built, its tests will be skipped" >&2
  else
    echo "setup-host: building ctr $ctr2_version from the Go module proxy" >&2
    build=$(mktemp -d)
    if GOBIN=$build GOFLAGS=-mod=mod CGO_ENABLED=0 "$go" install "github.com/containerd/containerd/v2/cmd/ctr@$ctr2_version"; then
      mkdir -p "$host_bin"
      mv "$build/ctr" "$host_bin/ctr2-$ctr2_version"
      ln -sfn "ctr2-$ctr2_version" "$host_bin/ctr2"
    else
      echo "setup-host: building ctr $ctr2_version failed (see above): its tests will be skipped" >&2
    fi
    rm -rf "$build"
  fi
fi
