/**
 * The client of ctrd and containerd: images, containers, tasks, leases and events as objects, over services each of
 * which can be replaced.
 *
 * ```ts
 * await using client = await connect("/run/ctrd/ctrd.sock");
 * const image = await client.pull("docker.io/library/busybox:latest");
 * await using container = await client.newContainer("hello", {
 *   image,
 *   specOptions: [withImageConfig({ args: ["echo", "hello"] })],
 * });
 * await using task = await container.newTask({ io: inherit({ stdin: false }) });
 * await task.start();
 * const { exitCode } = await task.wait();
 * ```
 *
 * @module
 */
export type { ExportArchiveOptions, ImportArchiveOptions } from "./archives.ts";
export type { ClientOptions } from "./client.ts";
export { Client } from "./client.ts";
export type { ConnectOptions } from "./connect.ts";
export { connect } from "./connect.ts";
export type { CommitContainerOptions, DeleteContainerOptions, FindTaskOptions, NewTaskOptions } from "./container.ts";
export { Container } from "./container.ts";
export type { DaemonPullOptions } from "./daemon-pull.ts";
export type { EmbeddedDaemon } from "./embedded.ts";
export { fromDaemon } from "./embedded.ts";
export type { ForPlatform, ImageUsageOptions, UnpackImageOptions } from "./image.ts";
export { Image } from "./image.ts";
export { defaultFifoDirectory } from "./io/fifos.ts";
export type { OutputProgress, OutputReader, TakenOutputs } from "./io/output-reader.ts";
export type { IoCreator, IoTarget, ProcessIo } from "./io/process-io.ts";
export type { StreamOptions } from "./io/streams.ts";
export { inherit, streams } from "./io/streams.ts";
export type { Resizable } from "./io/terminal.ts";
export { useTerminal } from "./io/terminal.ts";
export { logFile, logProgram, logUri, nullIo } from "./io/uris.ts";
export type { LeaseOptions } from "./lease.ts";
export { ClientLease } from "./lease.ts";
export { ignoreLeases } from "./leaseless.ts";
export type { NewContainerOptions } from "./new-container.ts";
export type { Abortable, LabelValues, PlatformChoice } from "./options.ts";
export type { DeleteProcessOptions, KillOptions, ProcessExit, ProcessState, ProcessStatus } from "./process.ts";
export { ContainerProcess } from "./process.ts";
export type {
  ChainStep,
  HeldObject,
  HeldReference,
  HoldingChain,
  ObjectId,
  ObjectKind,
  ReferenceGraphOptions,
} from "./references/index.ts";
export { ReferenceGraph, referenceGraph, snapshotterNames } from "./references/index.ts";
export type { PullImageOptions, PushImageOptions } from "./registries.ts";
export type { ClientServices, ServiceOverrides, VersionService } from "./services.ts";
export { withMountedRootfs } from "./rootfs.ts";
export { signalNumber } from "./signals.ts";
export type { CheckpointTaskOptions, ExecOptions, ListedTask, TaskMetrics, UpdateTaskOptions } from "./task.ts";
export { ExecProcess, Task } from "./task.ts";
