// Starts a lab, makes two servers, sends to one of them, and reads the verdict.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Homeserver } from './homeserver.mjs'

const [program, name] = process.argv.slice(2)
const child = spawn(program, ['lab', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] })
const lab = JSON.parse((await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()).value)
const ask = async (path, content) => (await fetch(`${lab.control}/v1/${path}`, {
  method: content ? 'POST' : 'GET', body: content && JSON.stringify(content),
  headers: { Authorization: `Bearer ${lab.token}` } })).json()
try {
  const { servers: [first, second] } = await ask('servers', { count: 2, listen: 'own' })
  const certificate = await ask('ca/certificates', { names: [name] })
  const ours = new Homeserver(name, { ...certificate, ca: lab.ca_pem })
  await ours.listen()
  const edus = [{ edu_type: 'm.test', content: {} }]
  const good = await ours.send(first.server_name, edus)
  const bad = await ours.send(first.server_name, edus, { method: 'put' })
  const { matched } = await ask('expect', { match: { server: first.server_name, method: 'PUT' }, count: 2 })
  const other = await ask(`exchanges?server=${second.server_name}&kind=request`)
  console.log(JSON.stringify({ good, bad, matched, other: other.exchanges }))
  ours.close()
} finally {
  child.kill()
}
