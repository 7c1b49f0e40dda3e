/**
 * The command line: flags, questions, and what to do next.
 */
import { basename, relative, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import type { Kind } from "./kinds.ts";
import { kindNames, kinds, parseKind } from "./kinds.ts";
import { pluginNames } from "./names.ts";
import { scaffold } from "./scaffold.ts";

const usage = `npm create ctrd-plugin [FOLDER] -- [--kind KIND] [--name NAME] [--yes]

  FOLDER       where to write the package; default: the name
  --kind KIND  ${kindNames.join(", ")}; default: snapshotter
  --name NAME  npm name of the package; default: the name of the folder
  --yes        take the defaults and ask nothing, as without a terminal
`;

/** Where the command runs. */
export interface Surroundings {
  readonly cwd: string;
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WritableStream;
}

interface Answers {
  readonly folder: string;
  readonly name: string;
  readonly kind: Kind;
}

/** Runs the command. @throws Error with one sentence for the user */
export async function runCommandLine(args: readonly string[], where: Surroundings): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      kind: { type: "string" },
      name: { type: "string" },
      yes: { type: "boolean", short: "y", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    where.output.write(usage);
    return;
  }
  const [folder, ...more] = positionals;
  if (more.length > 0) throw new Error(`one folder can be given, not also "${more.join(" ")}"`);
  const asks = where.input.isTTY && !values.yes;
  const { name, kind, folder: target } = await answers({ folder, name: values.name, kind: values.kind }, where, asks);
  const directory = resolve(where.cwd, target);
  const files = scaffold(directory, kind, pluginNames(name, kind));
  const shown = relative(where.cwd, directory) || ".";
  where.output.write(`${files.map((file) => `  ${file}\n`).join("")}\n${nextSteps(name, shown)}`);
}

async function answers(
  given: { folder: string | undefined; name: string | undefined; kind: string | undefined },
  where: Surroundings,
  asks: boolean,
): Promise<Answers> {
  const named = given.name ?? (given.folder === undefined ? undefined : nameOf(given.folder, where.cwd));
  const folderOf = (name: string): string =>
    given.folder === undefined || given.folder === name ? unscoped(name) : given.folder;
  if (!asks) {
    if (named === undefined)
      throw new Error("give a folder or --name, for example: npm create ctrd-plugin my-snapshotter");
    return { folder: folderOf(named), name: named, kind: parseKind(given.kind ?? "snapshotter") };
  }
  const terminal = createInterface({ input: where.input, output: where.output });
  try {
    const ask = async (question: string, preset: string): Promise<string> =>
      (await terminal.question(`${question} (${preset}): `)).trim() || preset;
    const name = given.name ?? (await ask("npm name of the package", named ?? "my-snapshotter"));
    for (const kind of given.kind === undefined ? kindNames : []) where.output.write(`  ${kinds[kind]}\n`);
    const kind = parseKind(given.kind ?? (await ask("kind", "snapshotter")));
    return { folder: folderOf(name), name, kind };
  } finally {
    terminal.close();
  }
}

/** The npm name for what was given as folder: itself when it is a scoped name, else the folder's name. */
function nameOf(folder: string, cwd: string): string {
  return /^@[^/]+\/[^/]+$/.test(folder) ? folder : basename(resolve(cwd, folder));
}

function unscoped(name: string): string {
  return name.slice(name.indexOf("/") + 1);
}

function nextSteps(name: string, folder: string): string {
  return `${name} is written. What to do next:

  cd ${folder}
  npm install
  npm test            # as root: the suite mounts what the plugin returns
  npm run typecheck
  npm pack            # or: npm publish

README.md says how to run it in ctrd and beside containerd.
`;
}
