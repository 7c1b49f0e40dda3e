/** The network file that a kubelet's pod CIDR makes, for nodes without a network add-on. */
import { mkdir, readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { invalidArgument } from "@ctrd/core/errors";
import { writeFileDurably } from "../store/durable-file.ts";

/** Fills the template `file` in and writes it to `directory`. */
export async function writeNetworkTemplate(file: string, directory: string, podCidr: string): Promise<void> {
  const text = fillTemplate(await readFile(file, "utf8"), podCidr, file);
  await mkdir(directory, { recursive: true });
  await writeFileDurably(join(directory, "10-containerd-net.conflist"), text, 0o644);
}

/**
 * Fills a template of Go's template language in, as far as network templates use that: fields and variables, `range` over
 * `.PodCIDRRanges` and `.Routes`, and `if`.
 *
 * @param podCidr one or more, separated by commas
 * @param file where the template is from, for messages
 */
export function fillTemplate(template: string, podCidr: string, file: string): string {
  const cidrs = podCidr.split(",").map((cidr) => cidr.trim());
  const routes = [...new Set(cidrs.map((cidr) => (isIPv6(cidr.split("/")[0] ?? "") ? "::/0" : "0.0.0.0/0")))];
  const scope: Scope = new Map<string, Value>([
    [".PodCIDR", cidrs[0] ?? ""],
    [".PodCIDRRanges", cidrs],
    [".Routes", routes],
  ]);
  // Text and actions by turns.
  const tokens = template.split(/\{\{-?\s*(.*?)\s*-?\}\}/s);
  const { text, next } = fill({ tokens, file }, 0, scope);
  if (next < tokens.length) throw wrong(file, "end");
  return text;
}

type Value = string | number | readonly string[];
type Scope = ReadonlyMap<string, Value>;

interface Source {
  readonly tokens: readonly string[];
  readonly file: string;
}

/** Fills in from the text at `start` to the `end` that belongs to it, or to the end of the template. */
function fill(source: Source, start: number, scope: Scope): { text: string; next: number } {
  const { tokens, file } = source;
  let text = tokens[start] ?? "";
  let at = start + 1;
  while (at < tokens.length) {
    const action = tokens[at] ?? "";
    if (action === "end") return { text, next: at + 1 };
    const scopes = scopesOf(action, scope, file);
    if (scopes === undefined) {
      text += String(valueOf(action, scope, file));
      at += 1;
    } else {
      const bodies = scopes.map((inner) => fill(source, at + 1, inner).text);
      text += bodies.join("");
      at = fill(source, at + 1, new Skipping(scope)).next;
    }
    text += tokens[at] ?? "";
    at += 1;
  }
  return { text, next: at };
}

/** Knows every name: for passing over a body that is filled in elsewhere. */
class Skipping extends Map<string, Value> {
  override get(name: string): Value {
    return super.get(name) ?? "";
  }
}

/** Scopes in which the body of an action is filled in, one after the other; undefined when the action has no body. */
function scopesOf(action: string, scope: Scope, file: string): Scope[] | undefined {
  const condition = /^if\s+(\S+)$/.exec(action)?.[1];
  if (condition !== undefined) {
    const value = valueOf(condition, scope, file);
    const isTrue = typeof value === "object" ? value.length > 0 : Boolean(value);
    return isTrue ? [scope] : [];
  }
  const [, index, variable, list = ""] = /^range\s+(?:(?:(\$\w+)\s*,\s*)?(\$\w+)\s*:=\s*)?(\S+)$/.exec(action) ?? [];
  if (list === "") return undefined;
  const values = valueOf(list, scope, file);
  return [...(Array.isArray(values) ? (values as readonly string[]) : [])].map((item, place) => {
    const inner = new Map([...scope, [".", item] as const]);
    if (index !== undefined) inner.set(index, place);
    if (variable !== undefined) inner.set(variable, item);
    return inner;
  });
}

function valueOf(name: string, scope: Scope, file: string): Value {
  const value = scope.get(name);
  if (value === undefined) throw wrong(file, name);
  return value;
}

function wrong(file: string, what: string): Error {
  return invalidArgument(
    `network template ${file}: "${what}" is not understood; use .PodCIDR, and range over .PodCIDRRanges and .Routes`,
  );
}
