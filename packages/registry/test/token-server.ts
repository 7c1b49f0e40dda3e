/**
 * A token server for a registry under test.
 *
 * @module
 */
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { mustRun } from "@ctrd/testkit/fixtures";

/** A running token server; what it does can be changed. */
export interface TokenServer {
  realm: string;
  /** PEM file of the certificate that the tokens are signed with. */
  certificate: string;
  seen: { method: string; scope: string; authorization: string | undefined; grant: string | null }[];
  seconds: number;
  onPost: number | undefined;
  failures: number[];
  stall: boolean;
  /** A repository that nobody may have. */
  denied: string;
  reset(): void;
  stop(): Promise<void>;
}

/**
 * Issues tokens as docker-registry wants them: JWTs signed with RS256, with the certificate beside. It knows the user
 * `user` with `s3cret`, and the identity token `refresh-me`; who gives neither may pull.
 *
 * @param path directory for its files
 */
export async function startTokenServer(path: string): Promise<TokenServer> {
  const certificate = join(path, "tokens.crt");
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await writeFile(join(path, "tokens.key"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const subject = ["-subj", "/CN=test-issuer", "-days", "2", "-key", join(path, "tokens.key"), "-out", certificate];
  await mustRun("openssl", ["req", "-x509", "-new", "-sha256", ...subject]);
  const { stdout: pem } = await mustRun("openssl", ["x509", "-in", certificate]);
  const x5c = [pem.replace(/-----[^-]+-----|\s/g, "")];
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const issue = (scopes: readonly string[], actionsOf: (name: string, asked: string[]) => string[]): string => {
    const access = scopes.map((scope) => {
      const [type = "", name = "", actions = ""] = scope.split(":");
      return { type, name, actions: actionsOf(name, actions.split(",")) };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: "test-issuer", sub: "user", aud: "test-registry", exp: now + 300, nbf: now - 10, iat: now };
    const signed = `${encode({ typ: "JWT", alg: "RS256", x5c })}.${encode({ ...claims, jti: randomUUID(), access })}`;
    return `${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`;
  };
  const defaults = { seconds: 60, onPost: undefined, failures: [], stall: false, denied: "" };
  const server = createServer((request, response) => {
    void answer(request).then(({ status, body }) => status !== 0 && response.writeHead(status).end(body));
  });
  const state: TokenServer = {
    ...defaults,
    seen: [],
    certificate,
    realm: "",
    reset: () => Object.assign(state, { ...defaults, seen: [] }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const answer = async (request: IncomingMessage): Promise<{ status: number; body?: string }> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "" } = request;
    const query = new URL(request.url ?? "", "http://x").searchParams;
    const form = method === "POST" ? new URLSearchParams(Buffer.concat(chunks).toString()) : query;
    const scope = form.getAll("scope").join(" ");
    const { authorization } = request.headers;
    state.seen.push({ method, scope, authorization, grant: form.get("grant_type") });
    if (state.stall) return { status: 0 };
    const failure = state.failures.shift();
    if (failure !== undefined) return { status: failure };
    if (method === "POST" && state.onPost !== undefined) return { status: state.onPost };
    const basic = Buffer.from((authorization ?? "").replace("Basic ", ""), "base64").toString();
    const user = method === "POST" ? `${form.get("username")}:${form.get("password")}` : basic;
    const known = user === "user:s3cret" || form.get("refresh_token") === "refresh-me";
    if (!known && (method === "POST" || basic !== "")) return { status: 401 };
    const token = issue(scope.split(" "), (name, asked) =>
      name === state.denied ? [] : known ? asked : asked.filter((action) => action === "pull"),
    );
    const key = method === "POST" ? "access_token" : "token";
    return { status: 200, body: JSON.stringify({ [key]: token, expires_in: state.seconds }) };
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  state.realm = `http://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return state;
}
