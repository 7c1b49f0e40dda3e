/** Annotations of specs: what runtimes are told about pods, and what of the pod's own annotations reaches them. */
import type { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";

/** Annotations that every container of a pod has. */
function podAnnotations(sandboxId: string, config: PodSandboxConfig): Record<string, string> {
  const { name = "", namespace = "", uid = "" } = config.metadata ?? {};
  return {
    "io.kubernetes.cri.sandbox-id": sandboxId,
    "io.kubernetes.cri.sandbox-namespace": namespace,
    "io.kubernetes.cri.sandbox-uid": uid,
    "io.kubernetes.cri.sandbox-name": name,
  };
}

/** Annotations of the sandbox. The resources are those of the whole pod, when kubelet tells them. */
export function sandboxAnnotations(id: string, config: PodSandboxConfig, imageName: string): Record<string, string> {
  const resources = config.linux?.resources;
  return {
    ...(resources === undefined
      ? {}
      : {
          "io.kubernetes.cri.sandbox-cpu-period": String(resources.cpuPeriod),
          "io.kubernetes.cri.sandbox-cpu-quota": String(resources.cpuQuota),
          "io.kubernetes.cri.sandbox-cpu-shares": String(resources.cpuShares),
          "io.kubernetes.cri.sandbox-memory": String(resources.memoryLimitInBytes),
        }),
    ...podAnnotations(id, config),
    "io.kubernetes.cri.sandbox-log-directory": config.logDirectory,
    "io.kubernetes.cri.podsandbox.image-name": imageName,
    "io.kubernetes.cri.container-type": "sandbox",
  };
}

/** Annotations of a container of the pod. */
export function containerAnnotations(
  sandboxId: string,
  config: PodSandboxConfig,
  names: { container: string; image: string },
): Record<string, string> {
  return {
    ...podAnnotations(sandboxId, config),
    "io.kubernetes.cri.container-name": names.container,
    "io.kubernetes.cri.image-name": names.image,
    "io.kubernetes.cri.container-type": "container",
  };
}

/** Those annotations whose key matches one of the patterns. */
export function passedAnnotations(
  annotations: ReadonlyMap<string, string>,
  patterns: readonly string[],
): Record<string, string> {
  if (patterns.length === 0) return {};
  const matchers = patterns.map((pattern) => keyMatcher(pattern));
  return Object.fromEntries([...annotations].filter(([key]) => matchers.some((matches) => matches(key))));
}

/**
 * A test for a pattern of the configuration: `*` is any text without a slash, `?` one character that is no slash,
 * `[a-z]` and `[^a-z]` a class, a backslash takes the next character as it is. A malformed pattern matches nothing.
 */
function keyMatcher(pattern: string): (key: string) => boolean {
  const tokens = tokenize(pattern);
  return tokens === undefined ? () => false : (key) => matchTokens(tokens, key);
}

type Token = "*" | ((character: string) => boolean);

function tokenize(pattern: string): Token[] | undefined {
  const tokens: Token[] = [];
  const characters = [...pattern];
  for (let place = 0; place < characters.length; place += 1) {
    const character = characters[place];
    if (character === "*") tokens.push("*");
    else if (character === "?") tokens.push((other) => other !== "/");
    else if (character === "[") {
      const found = readClass(characters, place + 1);
      if (found === undefined) return undefined;
      tokens.push(found.token);
      place = found.end;
    } else {
      if (character === "\\") place += 1;
      const exact = characters[place];
      if (exact === undefined) return undefined;
      tokens.push((other) => other === exact);
    }
  }
  return tokens;
}

/** Reads a class from behind its bracket to its end. */
function readClass(characters: readonly string[], start: number): { token: Token; end: number } | undefined {
  let place = start;
  const negated = characters[place] === "^";
  if (negated) place += 1;
  const ranges: [low: string, high: string][] = [];
  const next = (): string | undefined => {
    if (characters[place] === "\\") place += 1;
    return characters[place++];
  };
  while (characters[place] !== "]") {
    const low = next();
    if (low === undefined) return undefined;
    if (characters[place] !== "-") {
      ranges.push([low, low]);
      continue;
    }
    place += 1;
    const high = next();
    if (high === undefined) return undefined;
    ranges.push([low, high]);
  }
  const token: Token = (other) => ranges.some(([low, high]) => low <= other && other <= high) !== negated;
  return ranges.length === 0 ? undefined : { token, end: place };
}

/** Matches without going back over more than the last `*`: the time is bounded by both lengths. */
function matchTokens(tokens: readonly Token[], key: string): boolean {
  const characters = [...key];
  let [token, place] = [0, 0];
  let star: { token: number; place: number } | undefined;
  while (place < characters.length) {
    const current = tokens[token];
    const character = characters[place] ?? "";
    if (current === "*") {
      star = { token, place };
      token += 1;
    } else if (current?.(character) === true) {
      token += 1;
      place += 1;
    } else if (star !== undefined && characters[star.place] !== "/") {
      star.place += 1;
      token = star.token + 1;
      place = star.place;
    } else {
      return false;
    }
  }
  return tokens.slice(token).every((rest) => rest === "*");
}
