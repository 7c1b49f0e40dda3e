// Streams of a real daemon, under leases.
import { StreamInit, StreamingDefinition } from "@ctrd/api/services/streaming/v1/streaming";
import { createContext, withLease } from "@ctrd/core/context";
import { protoAny } from "@ctrd/core/typeurl";
import type { RpcChannel } from "@ctrd/services";
import { openChannel, proxyLeases } from "@ctrd/services";
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import { startCtrd } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, it } from "vitest";

const ctx = createContext({ namespace: "default" });
let daemon: TestDaemon;
let channel: RpcChannel;

beforeAll(async () => {
  daemon = await startCtrd({ extraConfig: '[plugins."io.containerd.gc.v1.scheduler"]\nmutation_threshold = 1\n' });
  channel = openChannel(daemon.address);
});
afterAll(async () => {
  channel?.close();
  await daemon?.[Symbol.asyncDispose]();
});

async function open(id: string, lease?: string) {
  const call = channel.client(StreamingDefinition).stream(lease === undefined ? ctx : withLease(ctx, lease));
  await call.send(protoAny("containerd.services.streaming.v1.StreamInit", StreamInit.encode({ id }).finish()));
  await call.receive();
  let ended = false;
  const end = call.receive().then(
    (message) => {
      expect(message).toBeUndefined();
      ended = true;
    },
    () => {},
  );
  return { call, end, isOpen: () => !ended };
}

it("a stream ends with its lease; those of other leases and of none go on", async () => {
  const leases = proxyLeases(channel);
  const create = () => leases.create(ctx, { id: "", labels: new Map() });
  const [one, other] = [await create(), await create()];
  const mine = await open("mine", one.id);
  const second = await open("second", one.id);
  const others = await open("others", other.id);
  const free = await open("free");
  await leases.delete(ctx, (await create()).id, { sync: true });
  expect([mine, second, others, free].map(({ isOpen }) => isOpen())).toEqual([true, true, true, true]);
  await leases.delete(ctx, one.id, { sync: true });
  await Promise.all([mine.end, second.end]);
  // Their names are free again.
  const again = await open("mine");
  expect([others, free, again].map(({ isOpen }) => isOpen())).toEqual([true, true, true]);
  await leases.delete(ctx, other.id);
  await others.end;
  expect(free.isOpen()).toBe(true);
  for (const { call } of [free, again]) call.cancel();
});
