/**
 * Writing files beneath a root that is in use: what a layer's entries are, without what is only a layer's.
 *
 * @module
 */
import type { TarSink } from "../tar/reader.ts";
import { Directories } from "./directories.ts";
import { LayerWriter } from "./layer-writer.ts";
import { RemovingWhiteouts } from "./whiteout-target.ts";

/** Where entries are written. */
export interface TreeWriterOptions {
  /** Directory that paths begin at and links are resolved in; `/proc/self/fd/…` for one that is open. */
  root: string;
  /** Set owners. */
  owners: boolean;
  /** Make device nodes; they are left out otherwise. */
  devices: boolean;
  /** Told of what could not be kept, such as an unsupported extended attribute. */
  warn(message: string): void;
}

/** Takes entries. Call `finish` after the last, and `close` in any case. */
export interface TreeWriter extends TarSink {
  /** Sets what is set last. */
  finish(): void;
  close(): void;
}

/**
 * Opens a writer of entries beneath a root. All calls are synchronous.
 *
 * @throws SysError when the root is no directory
 */
export function openTreeWriter({ root, owners, devices, warn }: TreeWriterOptions): TreeWriter {
  const whiteouts = new RemovingWhiteouts();
  const directories = new Directories(root, {
    made: () => {},
    isMarker: () => false,
    makeOpaque: () => {},
  });
  const writer = new LayerWriter({
    directories,
    whiteouts,
    plainNames: true,
    owners,
    devices,
    maxEntries: Infinity,
    warn,
  });
  return {
    begin: (entry) => writer.begin(entry),
    data: (bytes, position) => writer.data(bytes, position),
    end: () => writer.end(),
    finish: () => writer.finish(),
    close() {
      writer.close();
      directories.close();
    },
  };
}
