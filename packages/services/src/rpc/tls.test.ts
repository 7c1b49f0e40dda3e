import { Client, credentials } from "@grpc/grpc-js";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { serveVersion } from "../version/serve.ts";
import { createRpcServer } from "./server.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ctrd-tls-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Asks for the version with gRPC's own client. @returns how long the answer is */
async function ask(address: string, own: ReturnType<typeof credentials.createSsl>): Promise<number> {
  const client = new Client(address, own, {
    "grpc.enable_http_proxy": 0,
    "grpc.ssl_target_name_override": "localhost",
  });
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        "/containerd.services.version.v1.Version/Version",
        () => Buffer.alloc(0),
        (bytes: Buffer) => bytes.length,
        undefined,
        { deadline: Date.now() + 20_000 },
        (error, size) => (error === null ? resolve(size as number) : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}

it("serves over TLS, to clients with a certificate of the CA only when there is one", async () => {
  const path = (name: string): string => join(directory, name);
  const make = (name: string, ...args: string[]): Promise<unknown> => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", path(`${name}.key`)];
    return promisify(execFile)("openssl", [
      "req",
      "-x509",
      ...key,
      "-subj",
      `/CN=${name}`,
      "-out",
      path(`${name}.pem`),
      ...args,
    ]);
  };
  const byCa = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-addext", "subjectAltName=DNS:localhost"];
  await make("ca");
  await make("other");
  for (const name of ["server", "client"]) await make(name, ...byCa, "-addext", "basicConstraints=CA:false");
  const pem = (name: string): Buffer => readFileSync(path(name));
  const [cert, key, ca] = ["server.pem", "server.key", "ca.pem"].map((name) => pem(name).toString());
  const services = [serveVersion({ version: "1.2.3", revision: "" })];
  const anonymous = credentials.createSsl(pem("ca.pem"));
  const known = credentials.createSsl(pem("ca.pem"), pem("client.key"), pem("client.pem"));
  const unknown = credentials.createSsl(pem("ca.pem"), pem("other.key"), pem("other.pem"));
  {
    await using server = createRpcServer(services, { tls: { cert: cert ?? "", key: key ?? "" } });
    const address = await server.listen({ host: "127.0.0.1", port: 0 });
    expect(await ask(address, anonymous)).toBeGreaterThan(5);
    await expect(ask(address, credentials.createSsl(pem("other.pem")))).rejects.toThrow(/certificate|UNAVAILABLE/);
    await expect(ask(address, credentials.createInsecure())).rejects.toThrow("UNAVAILABLE");
  }
  await using server = createRpcServer(services, { tls: { cert: cert ?? "", key: key ?? "", ca: ca ?? "" } });
  const address = await server.listen({ host: "127.0.0.1", port: 0 });
  expect(await ask(address, known)).toBeGreaterThan(5);
  await expect(ask(address, anonymous)).rejects.toThrow("UNAVAILABLE");
  await expect(ask(address, unknown)).rejects.toThrow("UNAVAILABLE");
}, 60_000);
