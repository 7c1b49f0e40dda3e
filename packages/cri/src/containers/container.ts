/**
 * Containers in memory.
 *
 * @module
 */
import type { ContainerUser } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import type { Task } from "@ctrd/client";
import type { ContainerIo } from "./container-io.ts";
import type { ContainerMetadata } from "./container-metadata.ts";
import type { StoredStatus } from "./status-file.ts";
import { writeStatus } from "./status-file.ts";

/** What a container is made with. */
export interface ContainerParts {
  readonly metadata: ContainerMetadata;
  /** Its directory that survives a reboot. */
  readonly root: string;
  readonly snapshotter: string;
  readonly status: StoredStatus;
  readonly user: ContainerUser | undefined;
}

/** A container of a pod. */
export class Container {
  readonly id: string;
  readonly metadata: ContainerMetadata;
  readonly root: string;
  readonly snapshotter: string;
  /** Who its first process runs as. */
  readonly user: ContainerUser | undefined;
  io: ContainerIo | undefined;
  task: Task | undefined;
  /** What is being done with it now; nothing else may begin meanwhile. */
  busy: "starting" | "removing" | undefined;
  /** Whether its stop signal was sent. */
  isStopping = false;
  /** Whether the kernel was told to have killed it for its memory. */
  isOomKilled = false;
  /** Whether the daemon could not find out what has become of it. */
  isUnknown = false;
  #status: StoredStatus;
  #written: Promise<void> = Promise.resolve();
  readonly #exit = Promise.withResolvers<void>();

  constructor(parts: ContainerParts) {
    this.metadata = parts.metadata;
    this.id = parts.metadata.id;
    this.root = parts.root;
    this.snapshotter = parts.snapshotter;
    this.user = parts.user;
    this.#status = parts.status;
    if (parts.status.finishedAt !== 0n) this.#exit.resolve();
  }

  get status(): StoredStatus {
    return this.#status;
  }

  get state(): ContainerState {
    if (this.isUnknown) return ContainerState.CONTAINER_UNKNOWN;
    if (this.#status.finishedAt !== 0n) return ContainerState.CONTAINER_EXITED;
    if (this.#status.startedAt !== 0n) return ContainerState.CONTAINER_RUNNING;
    return ContainerState.CONTAINER_CREATED;
  }

  /** Resolves when it has exited. */
  get exited(): Promise<void> {
    return this.#exit.promise;
  }

  /** Changes the status in memory at once, and in its file. */
  update(change: Partial<StoredStatus>): Promise<void> {
    this.note(change);
    return this.save();
  }

  /** Changes the status in memory only. */
  note(change: Partial<StoredStatus>): void {
    this.#status = { ...this.#status, ...change };
    if (this.#status.finishedAt !== 0n) this.#exit.resolve();
  }

  /**
   * Writes the status as it is, or as it is about to be with `change`; writes of one container come one after the other.
   */
  save(change: Partial<StoredStatus> = {}): Promise<void> {
    const write = (): Promise<void> => writeStatus(this.root, { ...this.#status, ...change });
    this.#written = this.#written.then(write, write);
    return this.#written;
  }
}
