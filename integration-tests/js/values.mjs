// Value records by js-libp2p's DHT and the `ipns` package: putting, getting, making and judging them.
import { createInterface } from 'node:readline'
import { generateKeyPair, privateKeyFromProtobuf, publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { createIPNSRecord, marshalIPNSRecord, multihashToIPNSRoutingKey } from 'ipns'
import { ipnsValidator } from 'ipns/validator'
import { open, infoOut, usage } from './node.mjs'

// Where every record points.
const PATH = '/ipfs/bafkqaddwgevxmmraojswg33smq'
const HOUR_MS = 3_600_000
const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: HOUR_MS }
const KINDS = { ed25519: ['Ed25519'], secp256k1: ['secp256k1'], ecdsa: ['ECDSA', 'P-256'], 'rsa-2048': ['RSA', 2048] }

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'))

// A duration as Go writes it, of one unit.
function milliseconds (text) {
  const [, number, unit] = /^(-?[0-9]+)(ms|s|m|h)$/.exec(text) ?? []
  if (unit == null) throw usage(`--lifetime is a number with a unit, not ${text}`)
  return Number(number) * UNITS_MS[unit]
}

// The private key of --owner: its protobuf form in hex, which all implementations share.
function owner (options) {
  try {
    return privateKeyFromProtobuf(unhex(options.owner ?? ''))
  } catch (err) {
    throw usage(`--owner: ${err.message}`)
  }
}

// The key of the owner's IPNS record, or with --public-key that of the owner's public key.
function valueKey (options, { publicKey }) {
  const multihash = publicKey.toMultihash()
  if (!options['public-key']) return multihashToIPNSRoutingKey(multihash)
  return new Uint8Array([...new TextEncoder().encode('/pk/'), ...multihash.bytes])
}

async function makeValue (options, own) {
  if (options['public-key']) return publicKeyToProtobuf(own.publicKey)
  return marshalIPNSRecord(await createIPNSRecord(own, PATH, BigInt(options.sequence), milliseconds(options.lifetime)))
}

const fromServer = (event, server) => (event.from ?? event.peer)?.equals?.(server)

// Puts a record through the library. `server` is what the library makes of the server's answer.
export async function putValue (options, signal, print) {
  const own = owner(options)
  const [key, value] = [valueKey(options, own), await makeValue(options, own)]
  const { node, server } = await open(options, signal)
  let answered = false
  const errors = []
  for await (const event of node.services.dht.put(key, value, { signal })) {
    if (!fromServer(event, server)) continue
    if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') answered = true
    if (event.name === 'QUERY_ERROR') errors.push(String(event.error?.message ?? event.error))
  }
  if (!answered && errors.length === 0) throw new Error('the record was not sent to the server')
  print({ event: 'put', key_hex: hex(key), value_hex: hex(value), library: '', server: errors.join('; ') })
}

// Asks for a record: `told` is the server's own answer, `best` what the library makes of the answers.
export async function getValue (options, signal, print) {
  const key = valueKey(options, owner(options))
  const { node, server } = await open(options, signal)
  let [told, best, closer, answered] = [null, null, [], false]
  for await (const event of node.services.dht.get(key, { signal })) {
    if (event.name === 'VALUE') best = hex(event.value)
    if (!fromServer(event, server)) continue
    if (event.name === 'QUERY_ERROR') throw new Error(`the server failed: ${event.error?.message ?? event.error}`)
    if (event.name !== 'PEER_RESPONSE' || event.messageName !== 'GET_VALUE') continue
    answered = true
    closer = event.closer.map(infoOut)
    if (event.record != null) {
      const { key, value, timeReceived } = event.record
      told = { key_hex: hex(key), value_hex: hex(value), time_received: timeReceived.toISOString() }
    }
  }
  if (!answered) throw new Error('the server did not answer')
  print({ event: 'got', told, closer, best, searched: [] })
}

async function isValid (key, value) {
  try {
    if (Buffer.from(key.subarray(0, 4)).toString() !== '/pk/') {
      await ipnsValidator(key, value)
      return true
    }
    return Buffer.from(publicKeyFromProtobuf(value).toMultihash().bytes).equals(key.subarray(4))
  } catch {
    return false
  }
}

// Records that differ from a valid one in one thing.
async function damaged (own) {
  const whole = await createIPNSRecord(own, PATH, 7n, HOUR_MS)
  const other = await createIPNSRecord(own, '/ipfs/bafkqaaa', 8n, 2 * HOUR_MS, { ttlNs: 1n })
  const newer = await createIPNSRecord(own, PATH, 7n, HOUR_MS, { v1Compatible: false })
  const flipped = (bytes) => bytes.map((byte, at) => at === bytes.length >> 1 ? byte ^ 1 : byte)
  return {
    'wrong signature': { ...whole, signatureV2: flipped(whole.signatureV2) },
    'wrong signature, V2 only': { ...newer, signatureV2: flipped(newer.signatureV2) },
    'signature of another record': { ...whole, signatureV2: other.signatureV2 },
    'data of another record': { ...whole, data: other.data },
    'data and signature of another record': { ...whole, data: other.data, signatureV2: other.signatureV2 },
    'wrong data': { ...newer, data: flipped(newer.data) },
    'wrong V1 signature': { ...whole, signatureV1: flipped(whole.signatureV1) },
    'wrong V1 value': { ...whole, value: '/ipfs/bafkqaaa' },
    'wrong V1 validity': { ...whole, validity: other.validity },
    'wrong V1 sequence': { ...whole, sequence: 8n },
    'wrong V1 TTL': { ...whole, ttl: 1n },
    'public key of another': { ...whole, pubKey: publicKeyToProtobuf((await generateKeyPair('Ed25519')).publicKey) }
  }
}

// Prints value records of every kind of key, one per line, each with the verdict of the `ipns` package.
export async function records (options, signal, print) {
  for (const [kind, [type, detail]] of Object.entries(KINDS)) {
    const own = await generateKeyPair(type, detail)
    const made = await damaged(own)
    for (const sequence of [0n, 1n, 24n, 1n << 40n]) {
      for (const lifetime of ['-1h', '1h', '876000h']) {
        for (const v1Compatible of [false, true]) {
          const name = `sequence ${sequence} for ${lifetime}, legacy ${v1Compatible}`
          made[name] = await createIPNSRecord(own, PATH, sequence, milliseconds(lifetime), { v1Compatible })
        }
      }
    }
    const all = Object.entries(made).map(([name, record]) => [name, multihashToIPNSRoutingKey(own.publicKey.toMultihash()), marshalIPNSRecord(record)])
    all.push(['public key', valueKey({ 'public-key': true }, own), publicKeyToProtobuf(own.publicKey)])
    for (const [name, key, value] of all) {
      print({ event: 'value-record', name: `${kind} ${name}`, key_hex: hex(key), value_hex: hex(value), valid: await isValid(key, value), worse: [] })
    }
  }
}

// Reads value records from stdin, one JSON object per line, and prints each with the verdict of the `ipns` package.
export async function judge (options, signal, print) {
  for await (const line of createInterface({ input: process.stdin })) {
    const given = JSON.parse(line)
    print({ ...given, event: 'value-record', valid: await isValid(unhex(given.key_hex), unhex(given.value_hex)), worse: [] })
  }
}
