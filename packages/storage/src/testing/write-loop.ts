/** Started by env.test.ts: writes until killed, printing each number once its write is acknowledged. */
import { writeSync } from "node:fs";
import { openDurableEnv } from "../index.ts";

const env = openDurableEnv({ path: process.argv[2] ?? "" });
const db = env.openDb("things");
let next = Number(process.argv[3]);

async function writer(): Promise<void> {
  for (;;) {
    const n = next++;
    await env.write(() => {
      void db.put(n, Buffer.alloc(100, n));
      void db.put(["pair", n], Buffer.alloc(100, n));
    });
    writeSync(1, `${n}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, writer));
