/** A daemon of either kind, a registry, and a client with a busybox image that was pulled from one into the other. */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { Resolver } from "@ctrd/core/remotes";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import type { LeakCheck, TestDaemon, TestRegistry } from "@ctrd/testkit/fixtures";
import { busyboxImage, leakCheck, pushImage, startContainerd, startCtrd, startRegistry } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { withImageConfig } from "@ctrd/oci";
import type { SpecOption } from "@ctrd/oci";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { Client, Container, Image, NewContainerOptions } from "../src/index.ts";
import { connect } from "../src/index.ts";

export type DaemonKind = "ctrd" | "containerd";

export interface Harness {
  readonly kind: DaemonKind;
  readonly daemon: TestDaemon;
  readonly registry: TestRegistry;
  readonly resolver: Resolver;
  readonly client: Client;
  /** The busybox image. */
  readonly image: Image;
  /** A path in a directory of the test. */
  path(name: string): string;
  /** An id that no other test uses: shims and runc share directories between daemons. */
  id(name: string): string;
  /** A container of the busybox image that runs `args`. */
  container(name: string, args: readonly string[], options?: ContainerOptions): Promise<Container>;
}

export interface ContainerOptions extends Omit<NewContainerOptions, "specOptions"> {
  readonly specOptions?: readonly SpecOption[];
}

/** Everything that comes out of a stream, which must be there. */
export function textOf(stream: Readable | undefined): Promise<string> {
  if (stream === undefined) throw new Error("there is no such stream");
  return text(stream);
}

/** Declares the tests of `body` twice: for ctrd and for Debian's containerd. */
export function forEachDaemon(what: string, body: (harness: () => Harness) => void): void {
  describe.each(["ctrd", "containerd"] as const)(`${what} (%s)`, (kind) => {
    let opened: Opened | undefined;
    beforeAll(async () => {
      opened = await openHarness(kind);
    });
    afterAll(() => opened?.close());
    body(() => {
      if (opened === undefined) throw new Error("the harness is not open");
      return opened;
    });
  });
}

interface Opened extends Harness {
  close(): Promise<void>;
}

async function openHarness(kind: DaemonKind): Promise<Opened> {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir("cli-"));
  const registry = stack.use(await startRegistry());
  const marker = `cl${randomBytes(3).toString("hex")}`;
  const daemon = stack.use(await (kind === "containerd" ? startContainerd() : startCtrd()));
  const resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) });
  const fifoDirectory = join(dir.path, "fifo");
  const client = stack.use(await connect(daemon.address, { resolver, fifoDirectory }));
  const leaks = await leakCheck({ root: daemon.state, markers: [marker] });
  const image = await client.pull(await pushImage(registry, "test/busybox", "1", await busyboxImage()));
  let ids = 0;
  const id = (name: string): string => `${marker}-${name}-${++ids}`;
  return {
    kind,
    daemon,
    registry,
    resolver,
    client,
    image,
    path: (name) => join(dir.path, name),
    id,
    container: (name, args, options = {}) =>
      client.newContainer(id(name), {
        image,
        ...options,
        specOptions: [withImageConfig({ args }), ...(options.specOptions ?? [])],
      }),
    close: () => close(stack, leaks, client, fifoDirectory),
  };
}

async function close(
  stack: AsyncDisposableStack,
  leaks: LeakCheck,
  client: Client,
  fifoDirectory: string,
): Promise<void> {
  try {
    expect(await client.tasks()).toEqual([]);
    expect((await client.containers()).map(({ id }) => id)).toEqual([]);
    expect((await client.listLeases()).map(({ id }) => id)).toEqual([]);
    expect(await readdir(fifoDirectory).catch(() => [])).toEqual([]);
    await leaks.expectClean();
  } finally {
    await stack.disposeAsync();
  }
}
