/** The kernel's table of network interfaces. */

/** What went through one interface. */
export interface InterfaceCounters {
  name: string;
  received: DirectionCounters;
  sent: DirectionCounters;
}

/** One direction of it. */
export interface DirectionCounters {
  bytes: bigint;
  packets: bigint;
  errors: bigint;
  dropped: bigint;
}

/** Parses `/proc/net/dev`; the loopback interface is left out. */
export function parseNetDev(text: string): InterfaceCounters[] {
  // Two lines of headings come first.
  const lines = text.split("\n").slice(2);
  const interfaces = lines.filter((line) => line.includes(":")).map((line) => parseLine(line));
  return interfaces.filter(({ name }) => name !== "lo");
}

/** `eth0: bytes packets errs drop fifo frame compressed multicast`, and eight numbers of what was sent. */
function parseLine(line: string): InterfaceCounters {
  const end = line.lastIndexOf(":");
  const numbers = line
    .slice(end + 1)
    .trim()
    .split(/\s+/)
    .map(BigInt);
  const direction = (start: number): DirectionCounters => {
    const [bytes = 0n, packets = 0n, errors = 0n, dropped = 0n] = numbers.slice(start, start + 4);
    return { bytes, packets, errors, dropped };
  };
  return { name: line.slice(0, end).trim(), received: direction(0), sent: direction(8) };
}
