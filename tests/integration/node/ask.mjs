// Sends the requests that its input describes, one a line of JSON, with Node's own
// client of HTTP and TLS, and writes what came of each.
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { isIP } from "node:net";
import { createInterface } from "node:readline";

function ask({ Address, Name, Method, Path, Body, Authorization, CaFile, Seconds }) {
  const [host, port] = Address.split(":");
  const got = { status: 0, headers: {}, body: "", error: "" };
  return new Promise((resolve) => {
    const end = (error) => {
      got.error = error ? `${error.code}: ${error.message}` : "";
      clearTimeout(timer);
      resolve(got);
    };
    const options = {
      agent: false,
      ca: readFileSync(CaFile),
      host,
      port,
      method: Method,
      path: Path,
      headers: { host: Name },
      ALPNProtocols: ["http/1.1"],
    };
    if (Authorization) options.headers.authorization = Authorization;
    if (!isIP(Name)) options.servername = Name;
    const sent = request(options, (response) => {
      const parts = [];
      got.status = response.statusCode;
      for (const [name, value] of Object.entries(response.headers)) {
        got.headers[name] = Array.isArray(value) ? value.join(", ") : value;
      }
      response.on("data", (part) => parts.push(part));
      response.on("error", end);
      response.on("end", () => {
        got.body = Buffer.concat(parts).toString("base64");
        end();
      });
    });
    const timer = setTimeout(
      () => sent.destroy(Object.assign(new Error("time is up"), { code: "TIME" })),
      Seconds * 1000,
    );
    sent.on("error", end);
    sent.end(Body);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await ask(JSON.parse(line))) + "\n");
}
