/**
 * SELinux labels of containers: what the policy of the host gives to containers, with categories of their own for each
 * pod, changed by what the pod asks for.
 */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import type { SELinuxOption } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument, resourceExhausted } from "@ctrd/core/errors";
import { readIfThere } from "./present-files.ts";

/** Labels of one container; "" without SELinux. */
export interface ContainerLabels {
  process: string;
  /** Of the files in its mounts. */
  mount: string;
}

/** A label, `user:role:type:level`. */
interface Context {
  user: string;
  role: string;
  type: string;
  level: string;
}

/** Labels that the policy gives to containers; absent without SELinux. */
interface Policy {
  process: Context;
  file: Context;
  kvm: Context | undefined;
}

const none: ContainerLabels = { process: "", mount: "" };
const levelPattern = /^s\d(?:-s\d)?(?::c\d{1,4}(?:\.c\d{1,4})?(?:,c\d{1,4}(?:\.c\d{1,4})?)*)?$/;
const maxTries = 10_000;

/** The labels in use. Those of pods that were there before the daemon are told to it with `reserve`. */
export class SelinuxLabels {
  readonly #policy: Policy | undefined;
  readonly #categories: number;
  /** How many have a level: the containers of a pod have that of the pod. */
  readonly #used = new Map<string, number>();

  private constructor(policy: Policy | undefined, categories: number) {
    this.#policy = policy;
    this.#categories = categories;
  }

  /** Without SELinux: no label is given. */
  static disabled(): SelinuxLabels {
    return new SelinuxLabels(undefined, 0);
  }

  /**
   * Reads the policy's labels. A host whose policy has none for containers gives none.
   *
   * @param categories how many categories pods share; 0 stands for 1024
   * @param root where `etc/selinux` is
   */
  static async open(categories: number, root = "/"): Promise<SelinuxLabels> {
    return new SelinuxLabels(await readPolicy(root), categories === 0 ? 1024 : categories);
  }

  /** Whether labels are given. */
  get enabled(): boolean {
    return this.#policy !== undefined;
  }

  /**
   * Labels for a new container. Give `process` to `release` in the end.
   *
   * @param podLabel label of the pod's process: the container gets it when it asks for nothing
   * @throws ContainerdError `invalid-argument` for a malformed level, `resource-exhausted` without free categories
   */
  take(options: SELinuxOption | undefined, podLabel = ""): ContainerLabels {
    const asked = options === undefined ? {} : definedFields(options);
    if (this.#policy === undefined) return none;
    const wanted = Object.keys(asked).length > 0 || podLabel === "" ? asked : parseContext(podLabel);
    const { process: base, file } = this.#policy;
    const level = wanted.level ?? (base.level === "" ? "" : this.#freeLevel());
    const process = { ...base, ...wanted, level };
    const mount = { ...file, level, ...(wanted.user === undefined ? {} : { user: wanted.user }) };
    this.reserve(formatContext(process));
    return { process: formatContext(process), mount: formatContext(mount) };
  }

  /** The label of a process that runs in a virtual machine. */
  forVirtualMachine(label: string): string {
    const kvm = this.#policy?.kvm;
    if (label === "" || this.#policy === undefined) return "";
    return kvm === undefined ? label : formatContext({ ...parseContext(label), type: kvm.type });
  }

  /** Keeps the categories of a label from being given to others, until it is released as often. */
  reserve(label: string): void {
    const { level } = parseContext(label);
    if (level.includes(":")) this.#used.set(level, (this.#used.get(level) ?? 0) + 1);
  }

  /** Gives the categories of a label back, once nobody else has them. */
  release(label: string): void {
    const { level } = parseContext(label);
    const left = (this.#used.get(level) ?? 0) - 1;
    if (left > 0) this.#used.set(level, left);
    else this.#used.delete(level);
  }

  /** Two categories that no other pod has. */
  #freeLevel(): string {
    for (let tries = 0; tries < maxTries; tries += 1) {
      const [first, second] = [randomInt(this.#categories), randomInt(this.#categories)];
      if (first === second) continue;
      const level = `s0:c${Math.min(first, second)},c${Math.max(first, second)}`;
      if (!this.#used.has(level)) return level;
    }
    throw resourceExhausted(`SELinux categories of ${this.#categories} are in use (raise selinux_category_range)`);
  }
}

/** What is asked for. @throws ContainerdError `invalid-argument` for a malformed level */
function definedFields({ user, role, type, level }: SELinuxOption): Partial<Context> {
  if (level !== "" && !levelPattern.test(level)) {
    throw invalidArgument(`SELinux level ${JSON.stringify(level)} is malformed (like s0:c1,c2)`);
  }
  for (const [name, value] of Object.entries({ user, role, type })) {
    if (!/^[\w.-]*$/.test(value)) throw invalidArgument(`SELinux ${name} ${JSON.stringify(value)} is malformed`);
  }
  return Object.fromEntries(Object.entries({ user, role, type, level }).filter(([, value]) => value !== ""));
}

function parseContext(label: string): Context {
  const [user = "", role = "", type = "", ...level] = label.split(":");
  return { user, role, type, level: level.join(":") };
}

function formatContext({ user, role, type, level }: Context): string {
  return [user, role, type, ...(level === "" ? [] : [level])].join(":");
}

async function readPolicy(root: string): Promise<Policy | undefined> {
  const config = await readIfThere(join(root, "etc/selinux/config"));
  const policy = /^\s*SELINUXTYPE\s*=\s*(\S+)/m.exec(config)?.[1] ?? "targeted";
  const contexts = await readIfThere(join(root, "etc/selinux", policy, "contexts/lxc_contexts"));
  const [process, file, kvm] = ["process", "file", "kvm_process"].map((key) => labelIn(contexts, key));
  return process === undefined || file === undefined ? undefined : { process, file, kvm };
}

/** The value of a line `key = "label"`. */
function labelIn(text: string, key: string): Context | undefined {
  const line = text.split("\n").find((each) => each.split("=", 1)[0]?.trim() === key);
  const label = line
    ?.slice(line.indexOf("=") + 1)
    .trim()
    .replaceAll('"', "");
  return label === undefined || label === "" ? undefined : parseContext(label);
}
