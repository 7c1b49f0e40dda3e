import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { setInterfaceUp } from "./index.ts";

/** Runs `body` in a thread with a network namespace of its own; `sys` and `ip` are there. @returns what it returns */
async function inNewNamespace(body: string): Promise<unknown> {
  const code = `
    const { parentPort } = require("node:worker_threads");
    const { execFileSync } = require("node:child_process");
    const ip = (text) => execFileSync("ip", text.split(" ")).toString();
    import(${JSON.stringify(new URL("./index.ts", import.meta.url).href)}).then((sys) => {
      sys.unshare(sys.CloneFlag.NewNet);
      try { parentPort.postMessage((() => { ${body} })()); } catch (error) { parentPort.postMessage(error); }
    });`;
  const worker = new Worker(code, { eval: true, execArgv: ["--conditions=ctrd-source"] });
  const [message] = (await once(worker, "message")) as [unknown];
  await worker.terminate();
  return message;
}

it("brings an interface up and down", async () => {
  const states = await inNewNamespace(`
    const before = ip("-o link show lo");
    sys.setInterfaceUp("lo");
    const up = ip("-o link show lo");
    sys.setInterfaceUp("lo", false);
    return [before, up, ip("-o link show lo")].map((text) => /<.*\\bUP\\b.*>/.test(text));`);
  expect(states).toEqual([false, true, false]);
});

it("removes a bridge that is down", async () => {
  const outcome = await inNewNamespace(`
    ip("link add test0 type bridge");
    sys.setInterfaceUp("test0");
    let busy;
    try { sys.deleteBridge("test0"); } catch (error) { busy = error.code; }
    sys.setInterfaceUp("test0", false);
    sys.deleteBridge("test0");
    return [busy, ip("-o link").includes("test0")];`);
  expect(outcome).toEqual(["EBUSY", false]);
});

it("names the interface that is not there or cannot be", async () => {
  expect(() => setInterfaceUp("ctrd-none")).toThrow(/SIOCGIFFLAGS "ctrd-none": ENODEV/);
  expect(() => setInterfaceUp("a-name-that-is-too-long")).toThrow(/longer than 15 bytes/);
});
