#!/usr/bin/env bash
# Installs what a fresh Debian machine lacks to build, run and test ctrd. Safe to run again: it does nothing when all
# is there. What cannot be installed is named on stderr, with the reason, and the tests that need it show as skipped.
#
#   tools/setup-host.sh start    what `npm start` needs
#   tools/setup-host.sh test     that and the peers of the test suite (default)
#   tools/setup-host.sh kubelet  the kubelet of `npm run test:kubelet`, which takes minutes to be built
set -euo pipefail
cd "$(dirname "$0")/.."
want=${1:-test}
host_bin=$PWD/.host/bin

# Where programs of root are, also for who has it not in PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# program → Debian package. Without these nothing can be tested.
declare -A package_of=([ctr]=containerd [containerd-shim-runc-v2]=containerd [runc]=runc [docker-registry]=docker-registry)
# The peers of single tests, which are skipped without them.
declare -A peer_package_of=()
if [ "$want" = test ]; then
  package_of+=([skopeo]=skopeo [umoci]=umoci [tmux]=tmux [zsh]=zsh [zstd]=zstd [python3]=python3-minimal)
  peer_package_of+=([ctr-remote]=stargz-snapshotter [tini-static]=tini [fuse-overlayfs]=fuse-overlayfs [mount.fuse3]=fuse3 [criu]=criu)
  peer_package_of+=([/usr/lib/cni/bridge]=containernetworking-plugins [iptables]=iptables [ip]=iproute2 [bash-static]=bash-static)
  # runc is partly C, and links to libseccomp.
  peer_package_of+=([gcc]=gcc [pkg-config]=pkg-config)
fi
missing=()
for program in "${!package_of[@]}"; do
  command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
done
# /bin/busybox must be the static one: it becomes the root file system of the test images.
if ! [ -x /bin/busybox ] || ldd /bin/busybox >/dev/null 2>&1; then missing+=(busybox-static); fi
missing_peers=()
for program in "${!peer_package_of[@]}"; do
  command -v "$program" >/dev/null || missing_peers+=("${peer_package_of[$program]}")
done
if [ "$want" = test ]; then
  [ -e /usr/include/stdio.h ] || missing_peers+=(libc6-dev)
  [ -e /usr/include/seccomp.h ] || missing_peers+=(libseccomp-dev)
fi

can_install=yes
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then can_install=; fi

# install PACKAGE...
install() {
  echo "setup-host: installing $*" >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if [ ${#missing[@]} -gt 0 ] || [ ${#missing_peers[@]} -gt 0 ]; then
  if [ ${#missing[@]} -gt 0 ] && [ -z "$can_install" ]; then
    echo "setup-host: missing ${missing[*]}; installing them needs root and apt-get (Debian). Install them and try again." >&2
    exit 1
  fi
  if [ -n "$can_install" ]; then
    # No service of these packages is to start: the tests start their own daemons.
    policy=/usr/sbin/policy-rc.d
    if ! [ -e $policy ]; then
      trap 'rm -f $policy' EXIT
      printf '#!/bin/sh\nexit 101\n' >$policy
      chmod 755 $policy
    fi
    apt-get update -qq
  fi
  if [ ${#missing[@]} -gt 0 ]; then
    mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
    install "${missing[@]}"
  fi
  for package in "${missing_peers[@]}"; do
    if [ -z "$can_install" ]; then
      echo "setup-host: $package is missing; installing it needs root and apt-get: its tests will be skipped" >&2
    elif ! install "$package"; then
      echo "setup-host: $package cannot be installed (see above): its tests will be skipped" >&2
    fi
  done
fi

[ "$want" = start ] && exit 0

# Peers from the Go module proxy.
go=$(command -v go || true)
[ -n "$go" ] || { [ -x /usr/local/go/bin/go ] && go=/usr/local/go/bin/go; } || true

# How a program is made; `test -c` makes one of the tests of a package.
go_command=(build)
# Whether it may have C in it.
cgo=0
# build_go NAME VERSION PACKAGE MODULE...   builds PACKAGE out of MODULE...@VERSION as $host_bin/NAME
# PACKAGE may be a folder here, whose program needs the modules. Its VERSION changes with it.
build_go() {
  local name=$1 version=$2 package=$3
  shift 3
  [ -x "$host_bin/$name-$version" ] && return
  if [ -z "$go" ]; then
    echo "setup-host: no Go toolchain: $name $version is not built, its tests will be skipped" >&2
    return
  fi
  echo "setup-host: building $name $version from the Go module proxy" >&2
  local build
  build=$(mktemp -d)
  # A module of its own and not `go install`, which refuses modules that replace their own parts.
  printf 'module host\ngo 1.17\n' >"$build/go.mod"
  printf "require %s ${version%+[0-9]*}\n" "$@" >>"$build/go.mod"
  if [ -d "$package" ]; then
    cp "$package"/*.go "$build"
    package=.
  fi
  if (cd "$build" && GOFLAGS=-mod=mod CGO_ENABLED=$cgo "$go" "${go_command[@]}" -o program "$package"); then
    mkdir -p "$host_bin"
    mv "$build/program" "$host_bin/$name-$version"
    ln -sfn "$name-$version" "$host_bin/$name"
  else
    echo "setup-host: building $name $version failed (see above): its tests will be skipped" >&2
  fi
  rm -rf "$build"
}

# module_dir MODULE VERSION   prints where the Go module cache has the source, which it fetches
module_dir() {
  GOFLAGS=-mod=mod "$go" mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

# nerdctl's own module cannot be built as a dependency: its helpers for tests need a module that was never published.
build_nerdctl() {
  local version=$1
  [ -x "$host_bin/nerdctl-$version" ] && return
  if [ -z "$go" ]; then
    echo "setup-host: no Go toolchain: nerdctl $version is not built, its tests will be skipped" >&2
    return
  fi
  echo "setup-host: building nerdctl $version from the Go module proxy" >&2
  local build source module=github.com/containerd/nerdctl/v2
  build=$(mktemp -d)
  source=$(module_dir $module "$version") || true
  if [ -d "$source" ] && cp -r "$source" "$build/nerdctl" && chmod -R u+w "$build" &&
    rm "$build"/nerdctl/cmd/nerdctl/helpers/testing*.go && sed -i '/mod\/tigron/d' "$build/nerdctl/go.mod" &&
    (cd "$build/nerdctl" && CGO_ENABLED=0 "$go" build -mod=mod -o ../program \
      -ldflags "-X $module/pkg/version.Version=${version#v}" ./cmd/nerdctl); then
    mkdir -p "$host_bin"
    mv "$build/program" "$host_bin/nerdctl-$version"
    ln -sfn "nerdctl-$version" "$host_bin/nerdctl"
  else
    echo "setup-host: building nerdctl $version failed (see above): its tests will be skipped" >&2
  fi
  rm -rf "$build"
}

# gVisor's runtime and its shim. The shim lowers its OOM score to -999 and does not start where that is refused (no
# CAP_SYS_RESOURCE, as on the machines that this was built on), under no daemon: that refusal is made to count as none.
build_gvisor() {
  local version=$1
  [ -x "$host_bin/containerd-shim-runsc-v1-$version" ] && [ -x "$host_bin/runsc-$version" ] && return
  if [ -z "$go" ]; then
    echo "setup-host: no Go toolchain: runsc $version is not built, its tests will be skipped" >&2
    return
  fi
  echo "setup-host: building runsc $version and its shim from the Go module proxy" >&2
  local build source name module=gvisor.dev/gvisor
  build=$(mktemp -d)
  source=$(module_dir $module "$version") || true
  if [ -d "$source" ] && cp -r "$source" "$build/gvisor" && chmod -R u+w "$build" &&
    sed -i '/SetOOMScore(.*err != nil {/s/err != nil {/err != nil \&\& !os.IsPermission(err) {/' \
      "$build/gvisor/pkg/shim/v1/manager.go" && grep -q '!os.IsPermission(err)' "$build/gvisor/pkg/shim/v1/manager.go" &&
    mkdir "$build/programs" && (cd "$build/gvisor" && CGO_ENABLED=0 "$go" build -mod=mod -o ../programs \
      -ldflags "-s -w -X $module/runsc/version.version=${version#v}" ./runsc ./shim); then
    mkdir -p "$host_bin"
    mv "$build/programs/shim" "$build/programs/containerd-shim-runsc-v1"
    for name in runsc containerd-shim-runsc-v1; do
      mv "$build/programs/$name" "$host_bin/$name-$version"
      ln -sfn "$name-$version" "$host_bin/$name"
    done
  else
    echo "setup-host: building runsc $version failed (see above): its tests will be skipped" >&2
  fi
  rm -rf "$build"
}

# Kubernetes' main module replaces its parts by folders beside it; they are modules of their own with versions like its own.
build_kubelet() {
  local version=$1
  [ -x "$host_bin/kubelet-$version" ] && return
  [ -n "$go" ] || { echo "setup-host: no Go toolchain: the kubelet is not built" >&2 && return 1; }
  echo "setup-host: building kubelet $version from the Go module proxy" >&2
  local build modfile module=k8s.io/kubernetes package=k8s.io/component-base/version
  build=$(mktemp -d)
  modfile=$(GOFLAGS=-mod=mod "$go" mod download -json "$module@$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
  {
    echo "module host"
    sed -n '/^go \|^godebug /p' "$modfile"
    echo "require $module $version"
    sed -n "s#^\t\(k8s.io/[^ ]*\) => ./staging.*#replace \1 => \1 v0.${version#v1.}#p" "$modfile"
  } >"$build/go.mod"
  (cd "$build" && GOFLAGS=-mod=mod CGO_ENABLED=0 "$go" build -o program \
    -ldflags "-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$version")" \
    $module/cmd/kubelet) || { rm -rf "$build" && return 1; }
  mkdir -p "$host_bin"
  mv "$build/program" "$host_bin/kubelet-$version"
  ln -sfn "kubelet-$version" "$host_bin/kubelet"
  rm -rf "$build"
}

if [ "$want" = kubelet ]; then
  build_kubelet v1.36.3
  exit
fi

# A newer ctr, containerd and shim, and a newer runc for that.
containerd2=github.com/containerd/containerd/v2
build_go ctr2 v2.3.4 $containerd2/cmd/ctr $containerd2
build_go containerd2 v2.3.4 $containerd2/cmd/containerd $containerd2
build_go containerd-shim-runc-v2 v2.3.4 $containerd2/cmd/containerd-shim-runc-v2 $containerd2
# A shim with the sandbox API, on the newer shim's own parts.
build_go containerd-shim-pods-v1 v2.3.4+2 packages/runtime-v2/test/pods-shim $containerd2
go_command=(build -tags seccomp)
cgo=1
build_go runc v1.5.2 github.com/opencontainers/runc github.com/opencontainers/runc
go_command=(build)
cgo=0
build_gvisor v0.0.0-20260905035102-160fafc42237
# What decrypts layers for a daemon. The last version of the module that has the program in it.
build_go ctd-decoder v1.1.1 github.com/containerd/imgcrypt/cmd/ctd-decoder github.com/containerd/imgcrypt
# The command line of CRI, and the conformance suite of CRI runtimes, which is a test.
cri_tools=sigs.k8s.io/cri-tools
build_go crictl v1.36.0 $cri_tools/cmd/crictl $cri_tools
go_command=(test -c)
build_go critest v1.36.0 $cri_tools/cmd/critest $cri_tools
go_command=(build)
build_nerdctl v2.3.5
# What HTTP/2 servers are tested with.
build_go h2spec v2.2.1+incompatible github.com/summerwind/h2spec/cmd/h2spec github.com/summerwind/h2spec
# A plugin for NRI, on NRI's own library.
build_go nri-plugin v0.12.0+3 packages/nri/test/plugin github.com/containerd/nri
# A collector of traces, on OpenTelemetry's own messages; and a shim that sends its own there.
build_go otlp-sink v1.10.0 packages/tracing-otlp/test/sink go.opentelemetry.io/proto/otlp
go_command=(build -tags shim_tracing)
build_go containerd-shim-traced v2.3.4 $containerd2/cmd/containerd-shim-runc-v2 $containerd2
go_command=(build)
# Debian's package stargz-snapshotter has only the client. This is the last version whose daemon the proxy has: later ones
# keep it in a module of its own that was never published.
stargz=github.com/containerd/stargz-snapshotter
build_go containerd-stargz-grpc v0.9.0 $stargz/cmd/containerd-stargz-grpc $stargz $stargz/estargz

# The JSON schema of the OCI runtime specification, which @ctrd/oci is tested against.
schema=$PWD/.host/runtime-spec-v1.2.1
if ! [ -d "$schema" ]; then
  if [ -z "$go" ]; then
    echo "setup-host: no Go toolchain: the runtime specification's schema is not fetched, its tests will be skipped" >&2
  else
    echo "setup-host: fetching the runtime specification's schema from the Go module proxy" >&2
    source=$(module_dir github.com/opencontainers/runtime-spec v1.2.1) || true
    if [ -d "$source/schema" ]; then
      rm -rf "$schema.new"
      mkdir -p "$schema.new"
      cp "$source"/schema/*.json "$schema.new"
      chmod -R u+w "$schema.new"
      mv "$schema.new" "$schema"
    else
      echo "setup-host: the schema cannot be fetched (see above): its tests will be skipped" >&2
    fi
  fi
fi
