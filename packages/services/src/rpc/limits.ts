/** Default limit of a message in each direction, in bytes: 16 MiB. */
export const defaultMaxMessageBytes: number = 16 << 20;
