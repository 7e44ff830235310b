// A js-libp2p DHT client that hydra's integration tests drive from the command line.
//
// Every command prints one JSON object per line on stdout and its diagnostics on stderr. It exits with 0 when
// it did what it was asked, with 1 when it could not, with 2 when the command line is wrong. It never runs
// longer than --deadline.
import './polyfill.mjs'
import { parseArgs } from 'node:util'
import { CID } from 'multiformats/cid'
import { peerIdFromString } from '@libp2p/peer-id'
import { open, infoOut, usage } from './node.mjs'
import * as values from './values.mjs'

const OPTIONS = {
  peer: { type: 'string' },
  cid: { type: 'string' },
  target: { type: 'string' },
  protocol: { type: 'string', default: '/ipfs/kad/1.0.0' },
  transport: { type: 'string' },
  security: { type: 'string' },
  deadline: { type: 'string', default: '30' },
  stay: { type: 'boolean', default: false },
  follow: { type: 'boolean', default: false },
  owner: { type: 'string' },
  'public-key': { type: 'boolean', default: false },
  sequence: { type: 'string', default: '0' },
  lifetime: { type: 'string', default: '1h' }
}

const COMMANDS = {
  provide,
  find,
  'find-node': findNode,
  identify,
  'put-value': values.putValue,
  'get-value': values.getValue,
  records: values.records,
  judge: values.judge
}

function print (event) {
  process.stdout.write(JSON.stringify(event) + '\n')
}

function contentId (options) {
  try {
    return CID.parse(options.cid ?? '')
  } catch (err) {
    throw usage(`--cid: ${err.message}`)
  }
}

function targetId (options) {
  try {
    return peerIdFromString(options.target ?? '')
  } catch (err) {
    throw usage(`--target: ${err.message}`)
  }
}

// Collects what the server itself answered while the library runs a query.
async function run (events, server) {
  const seen = { providers: new Map(), closer: [], answers: [], errors: [] }
  for await (const event of events) {
    if (!(event.from ?? event.peer)?.equals?.(server)) continue
    if (event.name === 'QUERY_ERROR') {
      seen.errors.push(String(event.error?.message ?? event.error))
    } else if (event.name === 'PROVIDER') {
      for (const info of event.providers) seen.providers.set(info.id.toString(), infoOut(info))
    } else if (event.name === 'PEER_RESPONSE') {
      seen.answers.push(event.messageName)
      if (event.messageName !== 'ADD_PROVIDER') seen.closer = event.closer.map(infoOut)
    }
  }
  if (seen.errors.length > 0) throw new Error(`the server failed: ${seen.errors.join('; ')}`)
  return seen
}

async function provide (options, signal) {
  const cid = contentId(options)
  const { node, server } = await open(options, signal)
  const seen = await run(node.services.dht.provide(cid, { signal }), server)
  // Without an error the library has sent the record, but only to servers that its lookup found.
  if (!seen.answers.includes('ADD_PROVIDER')) throw new Error('the record was not sent to the server')
  // The library does not wait for the record to reach the server: a later answer makes that likely.
  await run(node.services.dht.getClosestPeers(cid.multihash.bytes, { signal }), server)
  print({ event: 'provided', cid: cid.toString(), provider: infoOut({ id: node.peerId, multiaddrs: node.getMultiaddrs() }) })
  if (options.stay) await untilStdinCloses(signal)
}

async function find (options, signal) {
  const cid = contentId(options)
  const { node, server } = await open(options, signal)
  const seen = await run(node.services.dht.findProviders(cid, { signal }), server)
  if (!seen.answers.includes('GET_PROVIDERS')) throw new Error('the server did not answer')
  print({ event: 'found', cid: cid.toString(), providers: [...seen.providers.values()], closer: seen.closer })
}

// `peers` is the server's own answer, `found` what the library makes of it: null when it found nothing.
async function findNode (options, signal) {
  const target = targetId(options)
  const { node, server } = await open(options, signal)
  const peers = await run(node.services.dht.getClosestPeers(target.toMultihash().bytes, { signal }), server)
  let found = null
  for await (const event of node.services.dht.findPeer(target, { signal })) {
    if (event.name === 'FINAL_PEER') found = infoOut(event.peer)
  }
  print({ event: 'found-node', target: target.toString(), found, peers: peers.closer })
}

async function identify (options, signal) {
  const { node, server, connection, identified } = await open(options, signal)
  // The dial does not wait for it.
  const said = await identified
  const pingMs = await node.services.ping.ping(server, { signal })
  print({
    event: 'identified',
    peer: infoOut({ id: server, multiaddrs: said.listenAddrs }),
    agent: said.agentVersion ?? '',
    protocol_version: said.protocolVersion ?? '',
    protocols: [...said.protocols].sort(),
    security: connection.encryption ?? '',
    muxer: connection.multiplexer ?? '',
    transport: connection.remoteAddr.toString().includes('/quic-v1') ? 'quic-v1' : 'tcp',
    ping_us: Math.round(pingMs * 1000)
  })
}

// A parent that dies closes the pipe.
async function untilStdinCloses (signal) {
  await new Promise((resolve) => {
    process.stdin.resume().on('end', resolve).on('close', resolve)
    signal.addEventListener('abort', resolve)
  })
}

async function main () {
  const name = process.argv[2]
  if (!Object.hasOwn(COMMANDS, name ?? '')) {
    throw usage(`expected one of ${Object.keys(COMMANDS).join(', ')}, got ${name ?? 'nothing'}`)
  }
  let options
  try {
    options = parseArgs({ args: process.argv.slice(3), options: OPTIONS }).values
  } catch (err) {
    throw usage(err.message)
  }
  const deadlineMs = Number(options.deadline.replace(/s$/, '')) * 1000
  if (!(deadlineMs > 0)) throw usage('--deadline is a number of seconds')
  setTimeout(() => {
    console.error('client.mjs: still running after its deadline')
    process.exit(1)
  }, deadlineMs + 2000).unref()
  await COMMANDS[name](options, AbortSignal.timeout(deadlineMs), print)
}

try {
  await main()
  process.exit(0)
} catch (err) {
  const wrong = err.usage === true
  console.error('client.mjs:', wrong ? err.message : err)
  process.exit(wrong ? 2 : 1)
}
