/** Rates of processor use, from two samples of what was used. */

/** Samples closer than this are one: the kernel adds time up in ticks. */
const minInterval = 100_000_000n;

interface Sample {
  /** Nanoseconds since the epoch. */
  readonly at: bigint;
  /** Nanoseconds of processor time. */
  readonly used: bigint;
}

/** The last two samples of containers and pods. */
export class CpuSamples {
  readonly #maxAge: bigint;
  readonly #samples = new Map<string, { before: Sample | undefined; last: Sample }>();

  /** @param maxAgeMs after this long a sample tells nothing any more */
  constructor(maxAgeMs: number) {
    this.#maxAge = BigInt(Math.round(maxAgeMs)) * 1_000_000n;
  }

  /**
   * Takes a sample.
   *
   * @returns nanoseconds of processor time per second since the sample before; `undefined` without one
   */
  add(id: string, at: bigint, used: bigint): bigint | undefined {
    const known = this.#samples.get(id);
    const last = known?.last;
    // A counter that goes back is another cgroup's.
    const isUsable = last !== undefined && used >= last.used && at - last.at <= this.#maxAge;
    if (!isUsable) this.#samples.set(id, { before: undefined, last: { at, used } });
    else if (at - last.at >= minInterval) this.#samples.set(id, { before: last, last: { at, used } });
    return this.#rate(id);
  }

  /** Forgets what tells nothing any more at this time. */
  prune(at: bigint): void {
    for (const [id, { last }] of this.#samples) if (at - last.at > this.#maxAge) this.#samples.delete(id);
  }

  #rate(id: string): bigint | undefined {
    const { before, last } = this.#samples.get(id) ?? {};
    if (before === undefined || last === undefined) return undefined;
    return ((last.used - before.used) * 1_000_000_000n) / (last.at - before.at);
  }
}
