/**
 * What we set, and what a client sets (RFC 9113, section 6.5).
 *
 * @module
 */
import { ConnectionError, ErrorCode, protocolError } from "./errors.ts";
import { defaultMaxFrameSize, defaultWindow, maxWindow, Setting } from "./frame.ts";
import { headerTableSize } from "./hpack.ts";

/** Receive window of a stream in bytes: a content chunk with its header fits. It bounds what waits for a slow reader. */
export const streamWindow: number = 2 << 20;
/** Most streams of a connection at once. */
export const maxStreams = 10_000;
/** Most bytes of a request's headers, as HTTP/2 counts them. */
export const maxHeaderListSize: number = 64 << 10;

/** The payload of our SETTINGS. */
export const ownSettings: Buffer = settingsPayload([
  [Setting.MaxConcurrentStreams, maxStreams],
  [Setting.InitialWindowSize, streamWindow],
  [Setting.MaxHeaderListSize, maxHeaderListSize],
]);

function settingsPayload(settings: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(settings.length * 6);
  settings.forEach(([setting, value], index) => {
    payload.writeUInt16BE(setting, index * 6);
    payload.writeUInt32BE(value, index * 6 + 2);
  });
  return payload;
}

/** Largest frame that any peer may ask for. */
const largestFrame = (1 << 24) - 1;

/** A client's settings. */
export class PeerSettings {
  /** Window that new streams have for answers. */
  initialWindow: number = defaultWindow;
  maxFrameSize: number = defaultMaxFrameSize;
  /** Whether the client has limited the table of headers, and must be told that none is used. */
  tableLimited = false;

  /** Takes the payload of a SETTINGS frame. @throws ConnectionError for values that are out of range */
  apply(payload: Buffer): void {
    if (payload.length % 6 !== 0) throw new ConnectionError(ErrorCode.FrameSizeError, "SETTINGS of a wrong length");
    for (let at = 0; at < payload.length; at += 6) this.#set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
  }

  #set(setting: number, value: number): void {
    if (setting === Setting.HeaderTableSize) {
      if (value < headerTableSize) this.tableLimited = true;
    } else if (setting === Setting.EnablePush) {
      if (value > 1) throw protocolError(`ENABLE_PUSH ${value}`);
    } else if (setting === Setting.InitialWindowSize) {
      if (value > maxWindow) throw new ConnectionError(ErrorCode.FlowControlError, `INITIAL_WINDOW_SIZE ${value}`);
      this.initialWindow = value;
    } else if (setting === Setting.MaxFrameSize) {
      if (value < defaultMaxFrameSize || value > largestFrame) throw protocolError(`MAX_FRAME_SIZE ${value}`);
      this.maxFrameSize = value;
    }
  }
}
