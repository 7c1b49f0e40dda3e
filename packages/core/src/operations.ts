/**
 * Operations under way, and the stages that they are in: what answers "what is it waiting for, and who has it?".
 *
 * Whoever receives a call starts an operation and puts it into the context; whoever works on the call says what it is
 * doing by {@link inStage}. Texts are made when somebody asks, so that an operation costs an object and no more.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import { formatGoDuration } from "./durations.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Timestamp } from "./records.ts";
import { timestampFromMillis } from "./records.ts";

/** The registry of a daemon; its plugin has id `local`. */
export const OperationsPlugin: PluginType<Operations> = pluginType("io.ctrd.operations.v1");

/** What an operation is about. */
export interface OperationObject {
  /** `container`, `image`, `content`, `ingest`, `snapshot`, `lease`, `sandbox`, `pod`, … */
  readonly kind: string;
  readonly id: string;
}

/** What an operation does now, or waits for. */
export interface Stage {
  /** A few words, as `start shim`. */
  readonly name: string;
  readonly object: OperationObject | undefined;
  /** When it began, in milliseconds since 1970. */
  readonly startedAt: number;
  /** The operation that has to end, or to go on, first. */
  readonly waitsFor: Operation | undefined;
}

/** What is known of a stage beyond its name. */
export interface StageDetails {
  readonly object?: OperationObject;
  readonly waitsFor?: Operation | undefined;
}

/** How an operation starts. What is a getter here is asked only when somebody wants to know. */
export interface OperationStart {
  /** What is done: `Tasks/Create`, `garbage collection`. */
  readonly name: string;
  readonly namespace?: string;
  /** What it is about. */
  readonly object?: OperationObject | undefined;
  /** Who wants it: `ctr (pid 4711)`, `the restart monitor`; the daemon itself when absent. */
  readonly caller?: string;
  /** Whether it does nothing but wait until something happens elsewhere: such are left out of lists. */
  readonly passive?: boolean;
}

/** An operation under way. */
export interface Operation {
  /** Counts from 1 in each daemon. */
  readonly id: number;
  readonly name: string;
  readonly namespace: string;
  readonly object: OperationObject | undefined;
  readonly caller: string;
  readonly passive: boolean;
  /** In milliseconds since 1970. */
  readonly startedAt: number;
  /** What it does now; several when it does things at the same time, or one within another (the outer one first). */
  readonly stages: readonly Stage[];
  /** Enters a stage. Returns what leaves it. */
  enter(name: string, details?: StageDetails): () => void;
  /** Says what it is about, once that is known. */
  concerns(object: OperationObject): void;
  /** Ends it; to be called once, whatever became of it. */
  end(): void;
}

/** The operations under way in a daemon. */
export interface Operations {
  start(start: OperationStart): Operation;
  /** All of them, the oldest first. */
  list(): readonly Operation[];
}

/** An operation as it is told to others. It has the shape of the API's message. */
export interface OperationRecord {
  id: bigint;
  name: string;
  namespace: string;
  object?: OperationObject | undefined;
  caller: string;
  startedAt: Timestamp | undefined;
  stages: StageRecord[];
  passive: boolean;
}

/** A stage as it is told to others. */
export interface StageRecord {
  name: string;
  object?: OperationObject | undefined;
  startedAt: Timestamp | undefined;
  /** The operation that has to end, or to go on, first; 0 when none has to. */
  waitsFor: bigint;
}

/** What a daemon is doing, for its clients. */
export interface OperationService {
  /**
   * Operations under way in all namespaces, the oldest first.
   *
   * @param request `passive`: also those that only wait for something to happen
   * @throws ContainerdError `not-implemented` from a daemon that does not tell
   */
  list(ctx: CallContext, request: { readonly passive: boolean }): Promise<OperationRecord[]>;
}

/** Tells what is in a registry. */
export function operationService(operations: Operations): OperationService {
  return {
    list: (_ctx, { passive }) =>
      Promise.resolve(
        operations
          .list()
          .filter((operation) => passive || !operation.passive)
          .map(recordOf),
      ),
  };
}

function recordOf({ id, name, namespace, object, caller, startedAt, stages, passive }: Operation): OperationRecord {
  return {
    ...{ id: BigInt(id), name, namespace, object, caller, passive },
    startedAt: timestampFromMillis(startedAt),
    stages: stages.map((stage) => ({
      name: stage.name,
      object: stage.object,
      startedAt: timestampFromMillis(stage.startedAt),
      waitsFor: BigInt(stage.waitsFor?.id ?? 0),
    })),
  };
}

/** Makes a registry in memory. */
export function createOperations(): Operations {
  const running = new Set<Operation>();
  let last = 0;
  return {
    start(start) {
      const operation = new RunningOperation(++last, start, running);
      running.add(operation);
      return operation;
    },
    list: () => [...running],
  };
}

const none: readonly Stage[] = [];

class RunningOperation implements Operation {
  readonly id: number;
  readonly startedAt: number = Date.now();
  readonly #start: OperationStart;
  readonly #running: Set<Operation>;
  #object: OperationObject | undefined;
  #stages: Stage[] | undefined;

  constructor(id: number, start: OperationStart, running: Set<Operation>) {
    [this.id, this.#start, this.#running] = [id, start, running];
  }

  get name(): string {
    return this.#start.name;
  }

  get namespace(): string {
    return this.#start.namespace ?? "";
  }

  get passive(): boolean {
    return this.#start.passive ?? false;
  }

  get object(): OperationObject | undefined {
    return this.#object ?? this.#start.object;
  }

  get caller(): string {
    return this.#start.caller ?? "the daemon itself";
  }

  get stages(): readonly Stage[] {
    return this.#stages ?? none;
  }

  enter(name: string, details: StageDetails = {}): () => void {
    const stage = { name, object: details.object, startedAt: Date.now(), waitsFor: details.waitsFor };
    const stages = (this.#stages ??= []);
    stages.push(stage);
    return () => {
      const at = stages.lastIndexOf(stage);
      if (at >= 0) stages.splice(at, 1);
    };
  }

  concerns(object: OperationObject): void {
    this.#object = object;
  }

  end(): void {
    this.#running.delete(this);
  }
}

/** Runs `work` as a stage of the operation that `ctx` belongs to, if it belongs to one. */
export async function inStage<T>(
  ctx: CallContext,
  name: string,
  work: () => Promise<T>,
  details?: StageDetails,
): Promise<T> {
  if (ctx.operation === undefined) return work();
  const leave = ctx.operation.enter(name, details);
  try {
    return await work();
  } finally {
    leave();
  }
}

/** Runs `work` as an operation that no call asked for, in a context that belongs to it. */
export async function asOperation<T>(
  operations: Operations | undefined,
  ctx: CallContext,
  start: OperationStart,
  work: (ctx: CallContext) => Promise<T>,
): Promise<T> {
  if (operations === undefined) return work(ctx);
  const operation = operations.start(start);
  try {
    return await work({ ...ctx, operation });
  } finally {
    operation.end();
  }
}

/** `container "web"`. */
export function nameOfObject({ kind, id }: OperationObject): string {
  return `${kind} "${id}"`;
}

/**
 * Names an operation to somebody whom it keeps waiting:
 * `Tasks/Create of container "web" by ctr (pid 4711), for 3.2s (stage: start shim, for 3.1s)`.
 */
export function describeOperation(operation: Operation, now: number = Date.now()): string {
  const { name, object, caller, startedAt } = operation;
  const what = object === undefined ? name : `${name} of ${nameOfObject(object)}`;
  return `${what} by ${caller}, for ${ageText(startedAt, now)}${stageText(operation, now)}`;
}

/** ` (stage: start shim, for 3.1s)`: the innermost or latest stage of an operation; empty when it is in none. */
export function stageText(operation: Operation, now: number = Date.now()): string {
  const stage = operation.stages.at(-1);
  return stage === undefined ? "" : ` (stage: ${describeStage(stage)}, for ${ageText(stage.startedAt, now)})`;
}

/** A stage with what it is about: `fetch content "sha256:…"`. */
export function describeStage({ name, object }: Pick<Stage, "name" | "object"> | StageRecord): string {
  return object === undefined ? name : `${name} ${nameOfObject(object)}`;
}

/** An age for people, to the tenth of a second. */
export function ageText(since: number, now: number = Date.now()): string {
  return formatGoDuration(Math.max(0, Math.round((now - since) / 100) * 100));
}
