/**
 * The images that critest asks for, made of busybox and bash: what each has to do is told at its place.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import type { ImageRunConfig, TestRegistry } from "@ctrd/testkit/fixtures";
import { busyboxEntries, buildImage, pushImage } from "@ctrd/testkit/fixtures";

type Entries = Awaited<ReturnType<typeof busyboxEntries>>;

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const staging = "k8s-staging-cri-tools";

/** Lists processes by name: this busybox has no such program. */
const pgrep = `#!/bin/sh
found=1
for process in /proc/[0-9]*; do
  read -r name <$process/comm 2>/dev/null || continue
  case $name in *"$1"*) [ \${process#/proc/} = $$ ] || { echo \${process#/proc/}; found=0; } ;; esac
done
exit $found
`;

const ipcs = `#!/bin/sh
echo "------ Shared Memory Segments --------"
cat /proc/sysvipc/shm
`;

/** Answers every connection; is called like the server that it stands for, and leaves its file. */
const serve = `port=$1
echo "$2: listening on port $port" >&2
echo $$ >/var/run/nginx.pid
mkdir -p /tmp/www
echo "<h1>It works!</h1>" >/tmp/www/index.html
busybox httpd -f -p $port -h /tmp/www &
trap 'kill $!; exit 0' TERM INT QUIT
while true; do wait; done
`;

const passwd = `root:x:0:0:root:/root:/bin/sh
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`;
const group = `root:x:0:
wheel:x:10:root
www-data:x:33:
nogroup:x:65534:
`;

/** Pushes all images. @returns the digest of the one that critest asks for by digest */
export async function pushCritestImages(registry: TestRegistry): Promise<string> {
  const builder = await openBuilder(registry);
  await pushPauses(builder);
  await pushServers(builder);
  await pushUsers(builder);
  await builder.push("e2e-test-images/busybox", ["1.29-2"], [{ path: "etc/e2e", data: "1.29-2\n" }]);
  // Keeps the rights that its file gives; bash drops them unless it is asked not to.
  await builder.push("e2e-test-images/nonewprivs", ["1.3"], [{ path: "nnp", mode: 0o4755, data: builder.bash }], {
    Entrypoint: ["/nnp", "-p", "-c", "echo Effective uid: $EUID"],
  });
  const tagged: [string, string[]][] = [
    ["test-image-latest", ["latest"]],
    ["test-image-tag", ["test", "all"]],
    ["test-image-1", ["latest"]],
    ["test-image-2", ["latest"]],
    ["test-image-3", ["latest"]],
    ["test-image-tags", ["1", "2", "3"]],
  ];
  for (const [name, tags] of tagged) {
    await builder.push(`${staging}/${name}`, tags, [{ path: `etc/${name}`, data: `${name}\n` }]);
  }
  return builder.push(`${staging}/test-image-digest`, ["latest"], [{ path: "etc/digest", data: "digest\n" }]);
}

interface Builder {
  readonly bash: Buffer;
  /** Builds an image on the base and pushes it under all tags. @returns its digest */
  push(repository: string, tags: readonly string[], entries: Entries, config?: ImageRunConfig): Promise<string>;
}

async function openBuilder(registry: TestRegistry): Promise<Builder> {
  const bash = await readFile("/bin/bash-static");
  const base = baseEntries(await busyboxEntries("hardlink"), shellWithout(await readFile("/bin/busybox")));
  return {
    bash,
    async push(repository, tags, entries, config = {}) {
      const image = await buildImage({
        layers: [{ entries: base }, { entries }],
        config: { Env: [path], Cmd: ["sh"], ...config },
      });
      for (const tag of tags) await pushImage(registry, repository, tag, image);
      return image.root.descriptor.digest;
    },
  };
}

/**
 * The shell of busybox without its own `ls`, so that it looks for the file: when that is masked there must be none. The
 * name is changed where the sorted list of programs has it, to one at the same place.
 */
function shellWithout(busybox: Buffer): Buffer {
  const name = Buffer.from("\0losetup\0ls\0");
  const at = busybox.indexOf(name);
  if (at < 0) throw new Error("/bin/busybox has no list of programs with losetup and ls in it");
  const shell = Buffer.from(busybox);
  shell.write("lr", at + "\0losetup\0".length, "latin1");
  return shell;
}

function baseEntries(busybox: Entries, shell: Buffer): Entries {
  const replaced = new Set(["bin/sh", "bin/pgrep", "bin/ipcs", "etc/passwd", "etc/group"]);
  return [
    ...busybox.filter((entry) => !replaced.has(entry.path)),
    { path: "usr/sbin/", type: "directory" },
    { path: "var/run/", type: "directory" },
    { path: "var/www/", type: "directory" },
    { path: "bin/sh", mode: 0o755, data: shell },
    { path: "bin/pgrep", mode: 0o755, data: pgrep },
    { path: "bin/ipcs", mode: 0o755, data: ipcs },
    { path: "etc/passwd", data: passwd },
    { path: "etc/group", data: group },
  ];
}

/** One process, which tests that look for others by name do not find. */
async function pushPauses(builder: Builder): Promise<void> {
  for (const tag of ["3.9", "3.10.2"]) {
    const config = { User: "65535:65535", Entrypoint: ["/bin/tail", "-f", "/dev/null"], Cmd: [] };
    await builder.push("pause", [tag], [{ path: "etc/pause", data: tag }], config);
  }
}

async function pushServers(builder: Builder): Promise<void> {
  const servers: [string, string, string, string, number][] = [
    ["e2e-test-images/nginx", "1.14-2", "nginx", "nginx: master process nginx -g daemon off;", 80],
    ["e2e-test-images/httpd", "2.4.39-4", "httpd", "httpd -DFOREGROUND", 80],
    [`${staging}/hostnet-nginx-amd64`, "latest", "nginx", "nginx: master process nginx -g daemon off;", 12_003],
  ];
  for (const [repository, tag, program, title, port] of servers) {
    const file = `/usr/sbin/${program}`;
    const entries: Entries = [
      { path: `usr/sbin/${program}`, mode: 0o755, data: builder.bash },
      { path: "serve", data: serve },
    ];
    const command = `exec -a "${title}" ${file} /serve ${port} "${title}"`;
    await builder.push(repository, [tag], entries, { Cmd: [file, "-c", command], StopSignal: "SIGQUIT" });
  }
}

async function pushUsers(builder: Builder): Promise<void> {
  const users = {
    "test-image-user-uid": "1002",
    "test-image-user-username": "www-data",
    "test-image-user-uid-group": "1003:1003",
    "test-image-user-username-group": "www-data:www-data",
  };
  for (const [name, user] of Object.entries(users)) {
    await builder.push(`${staging}/${name}`, ["latest"], [], { User: user });
  }
  const entries: Entries = [
    { path: "etc/passwd", data: `${passwd}default-user:x:1000:1000::/home/default-user:/bin/sh\n` },
    { path: "etc/group", data: `${group}default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n` },
  ];
  await builder.push(`${staging}/test-image-predefined-group`, ["latest"], entries, { User: "1000" });
}
