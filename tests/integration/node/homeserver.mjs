// A homeserver of few lines: it has a key, serves it, and sends signed transactions.
import { generateKeyPairSync, sign } from 'node:crypto'
import https from 'node:https'

const KEY_ID = 'ed25519:a'

const unpadded = bytes => Buffer.from(bytes).toString('base64').replace(/=+$/, '')

// Canonical JSON: members in order, no white space.
function canonical (value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  const members = Object.keys(value).sort()
  return `{${members.map(name => `${JSON.stringify(name)}:${canonical(value[name])}`).join(',')}}`
}

export class Homeserver {
  constructor (name, { certificate, private_key: key, ca }) {
    this.name = name
    this.tls = { cert: certificate, key, ca }
    this.keys = generateKeyPairSync('ed25519')
  }

  signature (object) {
    return unpadded(sign(null, Buffer.from(canonical(object)), this.keys.privateKey))
  }

  keyDocument () {
    const { x } = this.keys.publicKey.export({ format: 'jwk' })
    const document = {
      server_name: this.name,
      valid_until_ts: Date.now() + 24 * 3600 * 1000,
      verify_keys: { [KEY_ID]: { key: unpadded(Buffer.from(x, 'base64url')) } },
      old_verify_keys: {}
    }
    const signatures = { [this.name]: { [KEY_ID]: this.signature(document) } }
    return { ...document, signatures }
  }

  async listen () {
    this.server = https.createServer(this.tls, (request, response) => {
      const isKey = request.url.startsWith('/_matrix/key/v2/server')
      const body = isKey ? this.keyDocument() : { errcode: 'M_UNRECOGNIZED', error: 'no' }
      response.writeHead(isKey ? 200 : 404, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify(body))
    })
    const [host, port] = this.name.split(':')
    await new Promise(resolve => this.server.listen(Number(port), host, resolve))
  }

  // PUT a transaction; `spoil` changes what is signed.
  async send (destination, edus, spoil = {}) {
    const uri = `/_matrix/federation/v1/send/${Date.now()}`
    const content = {
      origin: this.name, origin_server_ts: Date.now(), pdus: [], edus
    }
    const signed = {
      method: 'PUT', uri, origin: this.name, destination, content, ...spoil
    }
    const authorization = `X-Matrix origin="${this.name}",destination="${destination}",` +
      `key="${KEY_ID}",sig="${this.signature(signed)}"`
    return this.put(destination, uri, authorization, canonical(content))
  }

  put (destination, path, authorization, body) {
    const [host, port] = destination.split(':')
    const headers = {
      Host: destination,
      Authorization: authorization,
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(body)
    }
    const options = { host, port, path, method: 'PUT', headers, ca: this.tls.ca, agent: false }
    return new Promise((resolve, reject) => {
      const request = https.request(options, async response => {
        let text = ''
        for await (const part of response) text += part
        resolve({ status: response.statusCode, content: JSON.parse(text) })
      })
      request.on('error', reject)
      request.end(body)
    })
  }

  close () {
    this.server.closeAllConnections()
    this.server.close()
  }
}
