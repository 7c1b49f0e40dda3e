/**
 * Opening a history that another process has left, perhaps in the middle of a write.
 */
import type { Logger } from "@ctrd/core/log";
import { Envelope as EnvelopeMessage } from "@ctrd/api/types/event";
import { open } from "node:fs/promises";
import type { NumberedEnvelope } from "./records.ts";
import { eachRecord } from "./records.ts";
import type { Segment } from "./segments.ts";
import { listSegments } from "./segments.ts";

/** Events that are read back, for recognising those that are sent again. */
const recentCount = 256;

/** What was found. */
interface Recovered {
  readonly segments: Segment[];
  /** Sequence of the last event. */
  readonly last: number;
  readonly recent: NumberedEnvelope[];
}

/** Finds the end of the history in `directory`, and cuts off what is no whole record. */
export async function recover(directory: string, log: Logger): Promise<Recovered> {
  const segments = await listSegments(directory);
  const segment = segments.at(-1);
  if (segment === undefined) return { segments, last: 0, recent: [] };
  const file = await open(segment.path, "r+");
  try {
    const data = await file.readFile();
    const bodies: Buffer[] = [];
    const { bytes } = eachRecord(data, (body) => void bodies.push(body));
    if (bytes < data.length) {
      log.warn({ path: segment.path, bytes: data.length - bytes }, "cut the end of the history of events");
      await file.truncate(bytes);
    }
    segment.size = bytes;
    const recent = bodies.slice(-recentCount).map((body) => {
      const envelope = EnvelopeMessage.decode(body);
      return { ...envelope, sequence: envelope.sequence ?? 0n };
    });
    return { segments, last: Number(recent.at(-1)?.sequence ?? segment.after), recent };
  } finally {
    await file.close();
  }
}
