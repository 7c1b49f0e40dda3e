import { ContainerState, ListContainersResponse, ListPodSandboxResponse } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerConfig, PodSandboxConfig, PodSandboxState } from "@ctrd/api/cri/runtime/v1/api";
import { expect, it } from "vitest";
import { Container } from "../containers/container.ts";
import { listedContainer } from "../containers/status-message.ts";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { listedSandbox } from "../sandboxes/status-message.ts";
import { containerList, sandboxList } from "./listed-records.ts";

const labels = new Map([["app", "web"]]);

function container(id: string): Container {
  const config = ContainerConfig.fromPartial({ metadata: { name: id }, image: { image: "app:1" }, labels });
  const status = { pid: 0, createdAt: 7n, startedAt: 0n, finishedAt: 0n, exitCode: 0, reason: "", message: "" };
  return new Container({
    metadata: { id, name: id, sandboxId: "pod", config, imageRef: "i", logPath: "", stopSignal: "", processLabel: "" },
    root: "/nowhere",
    snapshotter: "overlayfs",
    user: undefined,
    status: { ...status, resources: undefined },
  });
}

it("lists containers as they are now", () => {
  const [one, two] = [container("one"), container("two")];
  const decoded = (): ListContainersResponse => ListContainersResponse.decode(containerList([one, two]).bytes);
  expect(decoded().containers).toEqual([one, two].map(listedContainer));
  one.note({ startedAt: 8n });
  expect(decoded().containers.map(({ state }) => state)).toEqual([
    ContainerState.CONTAINER_RUNNING,
    ContainerState.CONTAINER_CREATED,
  ]);
  expect(decoded().containers).toEqual([one, two].map(listedContainer));
  expect(ListContainersResponse.decode(containerList([]).bytes)).toEqual({ containers: [] });
});

it("lists pods as they are now", () => {
  const config = PodSandboxConfig.fromPartial({ metadata: { name: "p", uid: "u", namespace: "n" }, labels });
  const metadata = { id: "p", name: "p", config, runtimeHandler: "", netnsPath: "", ip: "", additionalIps: [] };
  const pod: Sandbox = {
    id: "p",
    metadata: { ...metadata, cniResult: undefined, processLabel: "" },
    sandboxer: "podsandbox",
    state: "ready",
    pid: 1,
    createdAt: 7n,
    endpoint: { address: "", version: 0 },
  };
  const decoded = (): ListPodSandboxResponse => ListPodSandboxResponse.decode(sandboxList([pod]).bytes);
  expect(decoded().items).toEqual([listedSandbox(pod)]);
  pod.state = "notready";
  expect(decoded().items[0]?.state).toBe(PodSandboxState.SANDBOX_NOTREADY);
});
