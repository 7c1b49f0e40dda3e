/** Issue 6, Build 4 and 5, Shows 4: the history of events, and who is stuck where. Golden output of both. */
import { chmodSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { once } from "node:events";
import type { Client } from "@ctrd/client";
import { connect } from "@ctrd/client";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Cli } from "./support/cli.ts";
import { cliOf } from "./support/cli.ts";
import { exited, start, until } from "./support/command.ts";
import { watchEvents } from "./support/events.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctr2, ctrdTest, daemonKind, peerTest } from "./support/peers.ts";
import { putBlob } from "./support/stored-things.ts";

let h: Harness;
let cli: Cli;
let client: Client;
beforeAll(async () => {
  h = await openHarness("events-why", { kind: daemonKind });
  cli = cliOf(h);
  client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
});
afterAll(async () => {
  client?.close();
  await h?.close();
});

interface Line {
  Time: string;
  Namespace: string;
  Topic: string;
  Event: Record<string, unknown>;
  Sequence: number;
}

const parsed = (text: string): Line[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);

/** What the history has, now. */
async function history(since: string, ...flags: string[]): Promise<Line[]> {
  return parsed(await cli.ctrd("events", "--json", "--since", since, "--until", new Date().toISOString(), ...flags));
}

const millisecond = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** The beginning of a stretch of time in which nothing has happened yet. */
async function mark(): Promise<string> {
  await millisecond();
  const time = new Date().toISOString();
  await millisecond();
  return time;
}

/** Ages, pids and digests left out. */
const plain = (text: string): string =>
  text
    .replaceAll(/pid \d+/g, "pid PID")
    .replaceAll(/\b(?:\d+m)?\d+(?:\.\d+)?m?s\b/g, "AGE")
    .replaceAll(/(?:less than a|\d+) (?:second|minute)s?(?= ago)/g, "AGE");

ctrdTest("6.4: events --since tells once, in order, what happened; --until and filters; ctr saw the same", async () => {
  const watch = await watchEvents(h.daemon);
  const since = await mark();
  const id = await cli.background("--name", "told", h.image, "sleep", "1000");
  const middle = await mark();
  await cli.ctrd("tag", h.image, "told:1");
  await cli.ctrd("rm", "-f", "told");
  await cli.ctrd("rmi", "told:1");
  await watch.next("the image's end", ({ topic }) => topic === "/images/delete");
  const lines = await history(since);
  const told = lines.map(
    ({ Topic, Event }) => `${Topic} ${String(Event["containerId"] ?? Event["id"] ?? Event["key"] ?? Event["name"])}`,
  );
  const own = told.filter((line) => !line.startsWith("/content/") && !line.startsWith("/leases/"));
  expect(own.map((line) => line.replace(id, "ID"))).toEqual(
    [
      "/snapshot/prepare ID",
      "/containers/create ID",
      "/tasks/create ID",
      "/tasks/start ID",
      "/images/create docker.io/library/told:1",
      "/tasks/exit ID",
      "/tasks/delete ID",
      "/snapshot/remove ID",
      "/containers/delete ID",
      "/images/delete docker.io/library/told:1",
    ].map((line) => line),
  );
  const sequences = lines.map(({ Sequence }) => Sequence);
  expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b));
  const seen = watch.seen().filter(({ namespace }) => namespace === h.daemon.namespace);
  expect(seen.slice(-lines.length).map(({ topic }) => topic)).toEqual(lines.map(({ Topic }) => Topic));
  await watch.stop();
  const tasks = (await history(since, "--filter", "topic~=^/tasks/")).map(({ Topic }) => Topic);
  expect(tasks).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
  const first = parsed(await cli.ctrd("events", "--json", "--since", since, "--until", middle));
  expect(first.map(({ Sequence }) => Sequence)).toEqual(sequences.slice(0, first.length));
  expect(first.at(-1)?.Topic).toBe("/tasks/start");
  expect(await cli.ctrd("events", "--since", since, "--until", middle, "--filter", "topic==/tasks/start")).toMatch(
    new RegExp(`^\\S+Z {3}${h.daemon.namespace} {3}/tasks/start {3}\\{"containerId":"${id}","pid":\\d+\\}\n$`),
  );
  expect(await history("1ms")).toEqual([]);
});

ctrdTest(
  "6.4: a follower goes on over kill -9 of the daemon: no event twice, none missing",
  async () => {
    const since = await mark();
    const [node = "", ...args] = [...cli.command, "events", "--json", "--filter", 'topic~="^/content/"'];
    const follower = start(node, args, { env: cli.env });
    let output = "";
    follower.stdout?.on("data", (chunk) => (output += String(chunk)));
    const digests: string[] = [];
    const put = async (text: string): Promise<void> => {
      digests.push(await putBlob(client, `${since} ${text}`));
    };
    const shown = (): unknown[] =>
      parsed(output.slice(0, output.lastIndexOf("\n") + 1))
        .filter(({ Topic }) => Topic === "/content/create")
        .map(({ Event }) => Event["digest"]);
    await until("it follows", async () => {
      await put(`probe ${digests.length}`);
      return shown().length > 0;
    });
    const first = shown()[0];
    // What was put before it followed.
    digests.splice(0, digests.indexOf(String(first)));
    for (let round = 0; round < 2; round++) {
      for (let n = 0; n < 20; n++) await put(`${round} ${n}`);
      // It is written milliseconds after it was told.
      await until(
        "the last one is kept",
        async () => digests.at(-1) === (await history(since)).at(-1)?.Event["digest"],
      );
      await h.daemon.kill9();
      await h.daemon.restart();
      client.close();
      client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
      for (let n = 20; n < 40; n++) await put(`${round} ${n}`);
    }
    await until("it has all", () => shown().length >= digests.length);
    follower.kill("SIGTERM");
    await exited(follower);
    expect(shown()).toEqual(digests);
    const kept = (await history(since)).filter(({ Topic }) => Topic === "/content/create");
    const all = kept.map(({ Event }) => Event["digest"]);
    expect(all.slice(all.indexOf(first))).toEqual(digests);
  },
  60_000,
);

/** Sizes and the widths of columns left out. */
const plainTable = (text: string): string =>
  text.replaceAll(/\d+(?:\.\d+)? (?:[KMG]i)?B\b/g, "SIZE").replaceAll(/ +/g, " ");

ctrdTest(
  "6.4: system df, why and doctor of one container that has ended and one that runs",
  async () => {
    const ended = await cli.background("--name", "ended", h.image, "sh", "-c", "sleep 0.2; exit 3");
    await until("it has ended", async () => (await cli.ctrd("ps", "-a")).includes("Exited (3)"));
    const runs = await cli.background("--name", "runs", "-v", "golden:/data", h.image, "sleep", "1000");
    const short = (id: string): string => id.slice(0, 12);
    const { digest } = h.busybox.root.descriptor;
    const line = (id: string, name: string): string => `${short(id)} ${name} SIZE has a task ${short(id)} (overlayfs)`;
    const containers = [line(runs, "runs"), line(ended, "ended")];
    // Blobs of other tests are garbage.
    await cli.ctrd("gc", "run");
    expect(plainTable(await cli.ctrd("system", "df", "-v"))).toBe(`TYPE TOTAL ACTIVE SIZE RECLAIMABLE
images 1 1 SIZE SIZE
containers 2 2 SIZE SIZE
content 3 3 SIZE SIZE
snapshots (overlayfs) 3 3 SIZE SIZE
ingests 0 0 SIZE SIZE
leases 0 0 SIZE SIZE
volumes 1 1 SIZE SIZE

Images
IMAGE ID CONTENT SNAPSHOTS SHARED EXCLUSIVE CONTAINERS
${h.image} ${digest.slice(7, 19)} SIZE SIZE SIZE SIZE 2

Containers
CONTAINER NAME WRITTEN STATE SNAPSHOT
${containers.sort().join("\n")}

Volumes
VOLUME SIZE USED BY
golden SIZE runs
`);
    const why = async (name: string): Promise<string> =>
      plain(await cli.ctrd("why", name))
        .replaceAll(/process \d+/g, "process PID")
        .replace(/^(Process: +)\d+/m, "$1PID")
        .replace(/socket \S+/, "socket PATH");
    const bundles = `${h.daemon.state}/io.containerd.runtime.v2.task/${h.daemon.namespace}`;
    const record = (id: string, name: string): string => `
Container:  ${id}
Name:       ${name}
Image:      ${h.image}
Runtime:    io.containerd.runc.v2
Snapshot:   ${short(id)} (overlayfs)
`;
    expect(await why("ended")).toBe(`It has ended AGE ago with exit code 3, its own.
${record(ended, "ended")}Task:       stopped, process PID
Bundle:     ${bundles}/${ended}
Shim:       process PID, socket PATH (answers)
Next:
  ctrd logs ended
  ctrd start ended
`);
    expect(await why("runs")).toBe(`It runs.
${record(runs, "runs")}Task:       running, process PID
Bundle:     ${bundles}/${runs}
Shim:       process PID, socket PATH (answers)
Process:    PID sleep 1000
`);
    expect(await cli.ctrd("why", h.image)).toBe(`It is there, and nothing is done with it.

Image:      ${h.image}
Target:     ${digest}
Next:
  ctrd explain ${h.image}
`);
    expect(await cli.ctrd("doctor", "--patience", "1")).toMatch(
      /^not checked: digests \(the bytes of each blob have its digest\): it reads everything: ask with --deep\nHealthy: \d+ checks found nothing\.\n$/,
    );
    await cli.ctrd("rm", "-f", "runs", "ended");
    await cli.ctrd("volume", "rm", "golden");
  },
  60_000,
);

test("6.4: where no events are kept, events --since says so", async () => {
  const config = '[plugins."io.containerd.event.v1.exchange"]\nhistory = false\n';
  const none = await openHarness("no-history", { ...(daemonKind === "ctrd" ? { config } : {}), pull: false });
  try {
    expect(await cliOf(none).attempt(["events", "--since", "1h"])).toMatchObject({
      code: 1,
      stderr:
        "ctrd: the daemon keeps no events of the past\n" +
        '      ctrd does, unless history = false in [plugins."io.containerd.event.v1.exchange"]; containerd does not\n',
    });
    // Live ones all the same, until the time has come.
    const later = new Date(Date.now() + 1500).toISOString();
    expect(await cliOf(none).attempt(["events", "--until", later])).toMatchObject({ code: 0, stderr: "" });
  } finally {
    await none.close();
  }
});

/** A runc that does not create before a file is there. */
function slowRunc(): { path: string; gate: string } {
  const [path, gate] = [h.path("slow-runc"), h.path("gate")];
  const waits = `case " $* " in *" create "*) while [ ! -e ${gate} ]; do sleep 0.1; done;; esac`;
  writeFileSync(path, `#!/bin/sh\n${waits}\nexec runc "$@"\n`);
  chmodSync(path, 0o755);
  return { path, gate };
}

ctrdTest(
  "6.5: a task whose runc does not come back: operations, why, and the error of who wants it too, name stage and holder",
  async () => {
    const { path, gate } = slowRunc();
    const id = h.daemon.id("slow");
    const [image] = [h.image];
    const running = h.daemon.spawnCtr(["run", "-d", "--runc-binary", path, image, id, "sleep", "1000"]);
    try {
      const listed = await until("runc is waited for", async () => {
        const text = await cli.ctrd("operations");
        return text.includes("create in the shim") ? text : undefined;
      });
      expect(
        plain(listed)
          .replaceAll(/ +/g, " ")
          .replaceAll(/\n\d+ /g, "\nN "),
      ).toBe(
        "ID OPERATION OBJECT NAMESPACE AGE CALLER STAGE\n" +
          `N Tasks/Create container "${id}" ${h.daemon.namespace} AGE ctr (pid PID) create in the shim, for AGE\n`,
      );
      const why = plain(await cli.ctrd("why", id));
      const [verdict, empty, ...facts] = why.split("\n");
      expect(verdict).toBe("Under way: Tasks/Create by ctr (pid PID), for AGE; stage: create in the shim, for AGE.");
      expect(empty).toBe("");
      expect(facts.join("\n")).toMatch(new RegExp(`^Container: {2}${id}\n[^]*\nShim: +process PID|process \\d+`));
      const json = JSON.parse(await cli.ctrd("why", "--json", id)) as { Operations: { Caller: string }[] };
      expect(json.Operations.map(({ Caller }) => Caller)).toEqual([`ctr (pid ${running.pid})`]);
      const second = await h.daemon.tryCtr(["tasks", "start", id]);
      expect(second.code).toBe(1);
      expect(plain(second.stderr).replace(/^ctr: /, "")).toBe(
        `task ${id} is being created: Tasks/Create of container "${id}" by ctr (pid PID), for AGE ` +
          "(stage: create in the shim, for AGE): already exists\n",
      );
    } finally {
      writeFileSync(gate, "");
      await exited(running);
    }
    expect(running.exitCode).toBe(0);
    expect(await cli.ctrd("why", id)).toMatch(/^It runs\.\n/);
    expect(await cli.ctrd("operations")).toBe("ID   OPERATION   OBJECT   NAMESPACE   AGE   CALLER   STAGE\n");
    await h.daemon.ctr(["tasks", "kill", "-s", "KILL", id]);
    await until("it has ended", async () => (await cli.ctrd("tasks", "ls")).includes("stopped"));
    await h.daemon.ctr(["tasks", "rm", id]);
    await h.daemon.ctr(["containers", "rm", id]);
  },
  60_000,
);

ctrdTest("6.5: an upload that stands still: why, and the error of who wants the ref, name who has it", async () => {
  const uploading = start("ctr", [...h.daemon.flags(), "content", "ingest", "held-ref"], {
    env: { TMPDIR: h.daemon.tmp },
  });
  uploading.stdin?.write("half");
  await until("it is open", async () => (await cli.ctrd("operations")).includes("held-ref"));
  const why = plain(await cli.ctrd("why", "held-ref"));
  expect(why).toMatch(
    /^Under way: Content\/Write by ctr \(pid PID\), for AGE; stage: receive data from its client, for AGE\.\n\nUpload: {5}held-ref\nBytes: {6}[04] B\nBegun: {6}AGE ago\nChanged: {4}AGE ago\n$/,
  );
  const error: unknown = await client.content.writer(client.context(), { ref: "held-ref" }).catch((reason) => reason);
  expect(kindOf(error)).toBe("unavailable");
  expect(plain(messageOf(error)).replace(/\(since [^)]*\)/, "(since TIME)")).toBe(
    'ref held-ref locked for AGE (since TIME), held by Content/Write of ingest "held-ref" by ctr (pid PID), for AGE ' +
      "(stage: receive data from its client, for AGE): unavailable",
  );
  uploading.kill("SIGKILL");
  await exited(uploading);
  await until("nobody has it", async () => !(await cli.ctrd("operations")).includes("held-ref"));
  expect(plain(await cli.ctrd("why", "held-ref"))).toMatch(
    /^Nobody writes to it: it goes on when somebody does, or is collected when its lease ends\.\n\n[^]*\nNext:\n {2}ctrd content abort held-ref\n$/,
  );
  await cli.ctrd("content", "abort", "held-ref");
  expect(await cli.attempt(["why", "held-ref"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no container "held-ref"'),
  });
});

if (daemonKind === "ctrd") {
  peerTest("6.5: a pull whose registry does not answer: why names the stage and who pulls", [ctr2], async () => {
    const silent = createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const image = `127.0.0.1:${(silent.address() as AddressInfo).port}/stalled:1`;
    const sockets = new Set<{ destroy(): void }>();
    silent.on("connection", (socket) => void sockets.add(socket));
    const pulling = start(ctr2, [...h.daemon.flags(), "images", "pull", "--plain-http", image], {
      env: { TMPDIR: h.daemon.tmp },
    });
    try {
      const why = await until("the registry is waited for", async () => {
        const { code, stdout } = await cli.attempt(["why", image]);
        return code === 0 && stdout.includes("HTTP") ? stdout : undefined;
      });
      expect(plain(why)).toMatch(
        /^Under way: Transfer\/Transfer by ctr2? \(pid PID\), for AGE; stage: HTTP (?:HEAD|GET) URL "http:\/\/127\.0\.0\.1:\d+\/v2\/[^"]*", for AGE\.\n\nImage: /,
      );
      expect(why).toContain("\nTarget:     none yet\n");
      pulling.kill("SIGKILL");
      await exited(pulling);
      await until("it was given up", async () => (await cli.attempt(["why", image])).code === 1);
    } finally {
      pulling.kill("SIGKILL");
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });
}
