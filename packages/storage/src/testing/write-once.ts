/** Started by env.test.ts under strace: one write, with a line before it and one after its promise resolved. */
import { openDurableEnv } from "../index.ts";

const env = openDurableEnv({ path: process.argv[2] ?? "" });
const db = env.openDb("things");
process.stdout.write("BEGIN\n");
await env.write(() => void db.put("key", Buffer.from("value")));
process.stdout.write("RESOLVED\n");
await env.close();
