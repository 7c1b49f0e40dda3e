/**
 * Readers of output other than the event loop of this program: a worker thread, for example.
 *
 * @module
 */

/** Reads the output of a process from its FIFOs. */
export interface OutputReader {
  /** Opens FIFOs that nobody writes to yet, or that were written to before. An empty path: there is none. */
  open(paths: { readonly stdout: string; readonly stderr: string }): Promise<TakenOutputs>;
}

/** How far a reader has come. */
export interface OutputProgress {
  /** Read so far, of all outputs. */
  readonly bytes: number;
  /** Whether something was read, or is not read, because it cannot be handed on yet. */
  readonly waiting: boolean;
}

/** The outputs of one process while they are read. */
export interface TakenOutputs {
  /** Resolves when all was read and handed on, or when they were closed. */
  readonly ended: Promise<void>;
  progress(): Promise<OutputProgress>;
  /** Reads no more. */
  close(): void;
}
