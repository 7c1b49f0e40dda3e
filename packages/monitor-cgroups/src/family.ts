/** One metric of a cgroup, under the name that containerd gives it. */
export interface Family<Stats> {
  readonly name: string;
  readonly help: string;
  readonly values: (stats: Stats) => readonly Value[];
}

/** A value with the labels that it has beside those of its container. */
export interface Value {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A metric with at most one value for a container. */
export function single<Stats>(name: string, help: string, read: (stats: Stats) => bigint | undefined): Family<Stats> {
  return {
    name: `container_${name}`,
    help,
    values: (stats) => {
      const value = read(stats);
      return value === undefined ? [] : [{ value: Number(value) }];
    },
  };
}

/** A metric with a value for each of several things. */
export function several<Stats>(
  name: string,
  help: string,
  read: (stats: Stats) => readonly Value[] | undefined,
): Family<Stats> {
  return { name: `container_${name}`, help, values: (stats) => read(stats) ?? [] };
}
