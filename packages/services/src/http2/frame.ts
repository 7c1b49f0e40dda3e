/** Types of frames (RFC 9113, section 6). */
export const FrameType = {
  Data: 0x0,
  Headers: 0x1,
  Priority: 0x2,
  Reset: 0x3,
  Settings: 0x4,
  PushPromise: 0x5,
  Ping: 0x6,
  GoAway: 0x7,
  WindowUpdate: 0x8,
  Continuation: 0x9,
} as const;

/** Flags of frames. `EndStream` and `Ack` are one bit. */
export const FrameFlag = { EndStream: 0x1, Ack: 0x1, EndHeaders: 0x4, Padded: 0x8, Priority: 0x20 } as const;

/** Numbers of settings. */
export const Setting = {
  HeaderTableSize: 0x1,
  EnablePush: 0x2,
  MaxConcurrentStreams: 0x3,
  InitialWindowSize: 0x4,
  MaxFrameSize: 0x5,
  MaxHeaderListSize: 0x6,
} as const;

/** Bytes of a frame's header: length, type, flags, stream. */
export const frameHeaderLength = 9;
/** Most bytes of a frame's payload, unless a peer allows more. We allow no more. */
export const defaultMaxFrameSize = 16_384;
/** Window of streams and connections until a peer says otherwise, in bytes. */
export const defaultWindow = 65_535;
/** Largest window. */
export const maxWindow = 0x7fff_ffff;
