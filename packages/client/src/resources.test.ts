// What else a client has to do with: containers' records, leases, events, namespaces, plugins.
import { TaskExit } from "@ctrd/api/events/task";
import type { Envelope } from "@ctrd/core/events";
import { createSpec, withProcessArgs, withRootPath } from "@ctrd/oci";
import { startCtrd, tempDir } from "@ctrd/testkit/fixtures";
import { setTimeout as sleep } from "node:timers/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { forEachDaemon } from "../test/harness.ts";
import { connect, nullIo, signalNumber } from "./index.ts";

forEachDaemon("resources", (h) => {
  it("version, readiness, plugins", async () => {
    const { client, kind } = h();
    const { version } = await client.version();
    expect(version).toMatch(kind === "ctrd" ? /^\d+\.\d+\.\d+/ : /^1\.6\./);
    expect(await client.isServing()).toBe(true);
    const plugins = await client.plugins(["type==io.containerd.snapshotter.v1"]);
    expect(plugins.map(({ id }) => id)).toEqual(expect.arrayContaining(["overlayfs", "native"]));
  });

  it("the record of a container: spec, labels, extensions, filters", async () => {
    const { client, container } = h();
    const extension = { typeUrl: "test/thing", value: Buffer.from("x") };
    await using made = await container("record", ["sleep", "1"], {
      labels: { app: "web", tier: "front" },
      extensions: new Map([["mine", extension]]),
      runtime: "io.containerd.runc.v2",
    });
    const found = await client.loadContainer(made.id);
    expect(found.record).toMatchObject({ image: h().image.name, snapshotter: "overlayfs", snapshotKey: made.id });
    expect(found.record.runtime?.name).toBe("io.containerd.runc.v2");
    expect(Buffer.from(found.record.extensions.get("mine")?.value ?? []).toString()).toBe("x");
    expect((await found.image()).name).toBe(h().image.name);
    const spec = await found.spec();
    expect(spec.process?.args).toEqual(["sleep", "1"]);
    await found.setLabels({ tier: "", extra: "1" });
    expect(Object.fromEntries((await made.info()).labels)).toEqual({ app: "web", extra: "1" });
    await found.setSpec({ ...spec, hostname: "changed" });
    expect((await made.spec()).hostname).toBe("changed");
    await found.setExtension("mine", { ...extension, value: Buffer.from("y") });
    expect(Buffer.from((await made.info()).extensions.get("mine")?.value ?? []).toString()).toBe("y");
    expect((await client.containers(["labels.app==web"])).map(({ id }) => id)).toEqual([made.id]);
    expect(await client.containers(["labels.app==other"])).toEqual([]);
  });

  it("a container that cannot be made leaves no snapshot", async () => {
    const { client, image, container } = h();
    const snapshots = async (): Promise<string[]> =>
      (await Array.fromAsync(client.snapshotter("overlayfs").walk(client.context(), []))).map(({ name }) => name);
    await using first = await container("twice", ["true"]);
    const before = await snapshots();
    const failing = [
      client.newContainer(first.id, { image, snapshotKey: `${first.id}-other` }),
      client.newContainer(h().id("option"), {
        image,
        specOptions: [() => Promise.reject(new Error("an option of the caller's"))],
      }),
      client.newContainer(h().id("noprogram"), {}),
      client.newContainer("a/b", { image }),
      client.newContainer(h().id("absent"), { image: "example.test/absent:1" }),
    ];
    const results = await Promise.allSettled(failing);
    expect(
      results.map((each) => (each.status === "rejected" ? (each.reason as { kind: string }).kind : "made")),
    ).toEqual(["already-exists", "unknown", "invalid-argument", "invalid-argument", "not-found"]);
    expect(await snapshots()).toEqual(before);
  });

  it("a spec of one's own, a view, an existing snapshot, and no snapshot at all", async () => {
    const { client, image, id } = h();
    const ids = [id("view"), id("existing"), id("bare")] as const;
    const { signal } = client.context();
    const specFor = (name: string) => createSpec({ id: name, namespace: "default", signal }, withProcessArgs("true"));
    await using view = await client.newContainer(ids[0], { image, snapshot: "view", spec: await specFor(ids[0]) });
    const { kind } = await client.snapshotter("overlayfs").stat(client.context(), view.id);
    expect(kind).toBe(1);
    await using existing = await client.newContainer(ids[1], {
      snapshot: "existing",
      snapshotKey: view.id,
      specOptions: [withProcessArgs("true")],
    });
    expect(existing.record.snapshotKey).toBe(view.id);
    await using directory = await tempDir();
    await using bare = await client.newContainer(ids[2], {
      specOptions: [withProcessArgs("true"), withRootPath(directory.path)],
    });
    expect(bare.record).toMatchObject({ snapshotter: "", snapshotKey: "", image: "" });
    expect((await bare.spec()).root?.path).toBe(directory.path);
    await existing.delete();
  });

  it("leases keep what is made under them, until they end", async () => {
    const { client } = h();
    const data = Buffer.from(`kept by a lease ${h().id("data")}`);
    const lease = await client.createLease({ labels: { why: "test" } });
    expect(lease.labels.get("containerd.io/gc.expire")).toMatch(/^\d{4}-/);
    const ctx = lease.client.context();
    const writer = await lease.client.content.writer(ctx, { ref: h().id("ref"), total: BigInt(data.length) });
    await writer.write(data);
    const digest = await writer.digest();
    await writer.commit(ctx, { expected: digest });
    expect(await lease.resources()).toEqual([{ type: "content", id: digest }]);
    expect((await client.listLeases(["labels.why==test"])).map(({ id }) => id)).toEqual([lease.id]);
    await (await client.createLease()).delete({ sync: true });
    expect((await client.content.info(client.context(), digest)).size).toBe(BigInt(data.length));
    await lease.delete({ sync: true });
    await expect(client.content.info(client.context(), digest)).rejects.toMatchObject({ kind: "not-found" });
    await expect(lease.delete()).rejects.toMatchObject({ kind: "not-found" });
  });

  it("a lease holds a resource that is given to it, and ends with its scope", async () => {
    const { client, image } = h();
    const id = await (async () => {
      await using lease = await client.createLease({ id: h().id("scope"), expiresInMs: 0 });
      expect(lease.labels.size).toBe(0);
      await lease.addResource({ type: "content", id: image.target.digest });
      expect(await lease.resources()).toEqual([{ type: "content", id: image.target.digest }]);
      await lease.deleteResource({ type: "content", id: image.target.digest });
      expect(await lease.resources()).toEqual([]);
      return lease.id;
    })();
    expect((await client.listLeases()).map((lease) => lease.id)).not.toContain(id);
  });

  it("events of a task's life, with filters, until they are not wanted any more", async () => {
    const { client, container } = h();
    const controller = new AbortController();
    const events = client.subscribe(['topic~="^/tasks/"'], { signal: controller.signal });
    const seen: Envelope[] = [];
    const collecting = (async () => {
      for await (const event of events) seen.push(event);
    })();
    await using made = await container("events", ["sh", "-c", "exit 6"]);
    await using task = await made.newTask({ io: nullIo });
    await task.start();
    await task.wait();
    await task.delete();
    const own = (): string[] => seen.map(({ topic }) => topic).filter((topic) => topic !== "/tasks/exec-added");
    await expect.poll(own).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    const exit = seen.find(({ topic }) => topic === "/tasks/exit");
    expect(exit?.namespace).toBe("default");
    expect(TaskExit.decode(exit?.event?.value ?? new Uint8Array())).toMatchObject({
      containerId: made.id,
      exitStatus: 6,
    });
    controller.abort();
    await collecting;
  });

  it("namespaces are apart, and their labels are the defaults", async () => {
    const { client, image } = h();
    const own = client.inNamespace(h().id("ns"));
    expect(own.namespace).not.toBe(client.namespace);
    expect(await own.listImages()).toEqual([]);
    const labels = new Map([
      ["containerd.io/defaults/snapshotter", "native"],
      ["containerd.io/defaults/runtime", "io.containerd.test.v9"],
    ]);
    await own.namespaces.create(own.context(), { name: own.namespace, labels });
    expect(await own.defaultSnapshotter()).toBe("native");
    expect(await own.defaultRuntime()).toBe("io.containerd.test.v9");
    expect(await client.defaultSnapshotter()).toBe("overlayfs");
    const pulled = await own.pull(image.name);
    {
      await using container = await own.newContainer(h().id("default"), { image: pulled });
      expect(container.record).toMatchObject({ snapshotter: "native", runtime: { name: "io.containerd.test.v9" } });
      await expect(client.loadContainer(container.id)).rejects.toMatchObject({ kind: "not-found" });
    }
    await pulled.delete({ sync: true });
    await expect
      .poll(() => own.namespaces.delete(own.context(), own.namespace).then(() => "deleted", String), { timeout: 5_000 })
      .toBe("deleted");
  });

  it("a client that is closed ends its calls and takes none", async () => {
    await using made = await h().container("closed", ["sleep", "1000"]);
    await using task = await made.newTask({ io: nullIo });
    await task.start();
    const other = await connect(h().daemon.address);
    const wait = (await (await other.loadContainer(made.id)).task()).wait();
    await sleep(20);
    other.close();
    await expect(wait).rejects.toMatchObject({ kind: "canceled" });
    await expect(other.version()).rejects.toMatchObject({ kind: "canceled" });
    expect(await task.status()).toMatchObject({ state: "running" });
  });
});

it("a daemon that does not answer is an error that says what to do, and connecting can be given up", async () => {
  await using directory = await tempDir();
  const address = join(directory.path, "nobody.sock");
  await expect(connect(address, { timeoutMs: 200 })).rejects.toThrow(/check that it runs/);
  await expect(connect(address, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
    kind: "deadline-exceeded",
  });
});

it("a client survives a restart of the daemon", async () => {
  await using daemon = await startCtrd();
  await using client = await connect(daemon.address);
  await daemon.restart();
  await expect.poll(() => client.isServing(), { timeout: 5_000 }).toBe(true);
  expect((await client.version()).version).not.toBe("");
  await daemon.stop();
  expect(await client.isServing()).toBe(false);
});

it("signals by name and number", () => {
  for (const signal of ["TERM", "SIGTERM", "sigterm", "15", 15]) expect(signalNumber(signal)).toBe(15);
  expect([signalNumber("RTMIN"), signalNumber("SIGRTMIN+3"), signalNumber("SIGRTMAX-1")]).toEqual([34, 37, 63]);
  for (const signal of ["", "TERMINATE", 65, -1, 1.5, "RTMIN-9"]) expect(() => signalNumber(signal)).toThrow(/signal/);
});
