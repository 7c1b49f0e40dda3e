/**
 * What the suites of stores of records share.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import type { Any, Labels } from "@ctrd/core/records";
import { tempDir } from "../fixtures/temp-dir.ts";

/** A store under test. */
export interface OpenedRecords<S> {
  store: S;
  /** Given to every call; it has a namespace. */
  ctx: CallContext;
  close(): Promise<void>;
}

/**
 * Opens a store with its files in `root`, an existing directory: empty, or one that a store was opened in before and
 * closed.
 */
export type OpenRecords<O> = (root: string) => Promise<O>;

/** What a store of records can do. */
export interface RecordSuiteOptions {
  /** Records are there again when the store was closed and is opened with the same root; true by default. */
  persistent?: boolean;
}

/** Makes a test body that gets a store, and a function that closes it and opens it again. */
export type WithRecords<O> = (body: (opened: O, reopen: () => Promise<O>) => Promise<void>) => () => Promise<void>;

/** Makes test bodies for the store that `open` opens; each test gets one in a fresh directory. */
export function recordHarness<O extends OpenedRecords<unknown>>(open: OpenRecords<O>): WithRecords<O> {
  return (body) => async () => {
    await using dir = await tempDir("rec-");
    let opened = await open(dir.path);
    const reopen = async (): Promise<O> => {
      await opened.close();
      opened = await open(dir.path);
      return opened;
    };
    try {
      await body(opened, reopen);
    } finally {
      await opened.close();
    }
  };
}

/** Labels of an object literal. */
export function labelsOf(entries: Readonly<Record<string, string>>): Labels {
  return new Map(Object.entries(entries));
}

/** A label of `size` bytes, key and value together; 4096 are allowed. */
export function labelOfSize(size: number): Labels {
  return new Map([["k", "v".repeat(size - 1)]]);
}

/** A value of no known type. */
export function anyOf(text: string): Any {
  return { typeUrl: "testkit.example/Text", value: new TextEncoder().encode(text) };
}
