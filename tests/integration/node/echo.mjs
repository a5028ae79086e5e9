// Answers each request with what came: its head, its body, and the certificate that
// its client showed. Arguments: files with the certificate and the key.
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
const options = { cert, key, requestCert: true, rejectUnauthorized: false };

const server = createServer(options, (request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const shown = request.socket.getPeerCertificate();
    const answer = {
      method: request.method,
      url: request.url,
      version: request.httpVersion,
      headers: request.rawHeaders,
      body: Buffer.concat(parts).toString(),
      certificate: shown && shown.subject ? shown.subject.CN : null,
      valid_to: shown && shown.valid_to ? shown.valid_to : null,
    };
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify(answer));
  });
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
