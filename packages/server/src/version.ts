import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version: string };

/** Version of this package; clients see it as the daemon's version. */
export const version: string = manifest.version;

/** Source revision that a release build was made from; empty in a checkout. */
export const revision: string = process.env["CTRD_REVISION"] ?? "";
