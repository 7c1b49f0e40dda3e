import { parseReference, shortReference } from "@ctrd/core/references";
import { isKind } from "@ctrd/core/errors";
import { millisFromTimestamp } from "@ctrd/core/records";
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatAge, formatBytes, formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import type { ImageDescription } from "./describe.ts";
import { describeImage } from "./describe.ts";
import type { NamedImage } from "./find.ts";
import { hasTarget } from "./find.ts";

/** Flags of `ctrd images`. */
export interface ListFlags extends OutputFlags {
  digests?: boolean;
  noTrunc?: boolean;
  filter?: string[];
}

interface Row {
  readonly image: NamedImage;
  readonly description: ImageDescription | undefined;
}

/** `-q` prints ids, as in Docker. */
const quietColumn = 2;

/** Runs `ctrd images`. */
export async function listImages(session: Session, pattern: string | undefined, flags: ListFlags): Promise<void> {
  const images = (await session.images.list(session.ctx, flags.filter ?? [])).filter(hasTarget);
  const chosen = images
    .filter(({ name }) => pattern === undefined || fits(name, pattern))
    .toSorted((a, b) => millisFromTimestamp(b.updatedAt) - millisFromTimestamp(a.updatedAt));
  if (pattern !== undefined && chosen.length === 0) {
    throw new CommandFailure(`no image "${pattern}" in namespace "${session.ctx.namespace}"`, {
      remedy: "list all with: ctrd images",
    });
  }
  const rows: Row[] = [];
  // Names alone need no look into the content store.
  for (const image of chosen) {
    rows.push({ image, description: flags.quiet === true ? undefined : await describeImage(session, image.target) });
  }
  process.stdout.write(formatRows(rows, columnsFor(flags), flags, quietColumn));
}

function columnsFor(flags: ListFlags): Column<Row>[] {
  const digest: Column<Row> = { name: "Digest", value: ({ image }) => image.target.digest };
  return [
    {
      name: "Repository",
      title: "REPOSITORY",
      value: ({ image }) => repositoryOf(image.name),
      text: ({ image }) => shortReference(repositoryOf(image.name)),
    },
    {
      name: "Tag",
      title: "TAG",
      value: ({ image }) => tagOf(image.name),
      text: ({ image }) => tagOf(image.name) || "-",
    },
    { name: "ID", title: "ID", value: ({ image }) => image.target.digest, text: ({ image }) => id(image, flags) },
    { name: "Name", value: ({ image }) => image.name },
    flags.digests === true ? { ...digest, title: "DIGEST" } : digest,
    {
      name: "Platform",
      title: "PLATFORM",
      value: ({ description }) => description?.platform ?? null,
      text: ({ description }) => description?.platform ?? "not here",
    },
    {
      name: "CreatedAt",
      title: "CREATED",
      value: ({ image }) => formatTime(image.createdAt),
      text: ({ image }) => formatAge(image.createdAt),
    },
    {
      name: "Size",
      title: "SIZE",
      value: ({ description }) => description?.size ?? null,
      text: ({ description }) => (description === undefined ? "-" : formatBytes(description.size)),
    },
    { name: "Labels", value: ({ image }) => image.labels },
  ];
}

function id({ target }: NamedImage, { noTrunc = false }: ListFlags): string {
  return noTrunc ? target.digest : target.digest.slice(7, 19);
}

/** Whether a name is meant by what was typed: the same repository, the same image, or the same image in short. */
function fits(name: string, pattern: string): boolean {
  const forms = [name, shortReference(name), repositoryOf(name), shortReference(repositoryOf(name))];
  return forms.includes(pattern);
}

function repositoryOf(name: string): string {
  const parsed = parse(name);
  return parsed === undefined ? name : `${parsed.host}/${parsed.repository}`;
}

function tagOf(name: string): string {
  return parse(name)?.tag ?? "";
}

/** Names are free text. */
function parse(name: string): ReturnType<typeof parseReference> | undefined {
  try {
    return parseReference(name);
  } catch (error) {
    if (isKind(error, "invalid-argument")) return undefined;
    throw error;
  }
}
