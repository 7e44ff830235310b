// Opens a js-libp2p node with the real DHT client on it and connects it to one server.
import { createLibp2p } from 'libp2p'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@chainsafe/libp2p-noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@chainsafe/libp2p-yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdFromString } from '@libp2p/peer-id'
import { ipnsSelector } from 'ipns/selector'
import { ipnsValidator } from 'ipns/validator'

const SECURITY = { tls: [tls()], noise: [noise()] }
const TRANSPORT = {
  tcp: { load: async () => tcp(), listen: '/ip4/127.0.0.1/tcp/0' },
  // A native module: loaded only when asked for, so that TCP works where it was not built for.
  quic: { load: async () => (await import('@chainsafe/libp2p-quic')).quic(), listen: '/ip4/127.0.0.1/udp/0/quic-v1' }
}

// An error of the command line: exit code 2, no stack.
export function usage (message) {
  return Object.assign(new Error(message), { usage: true })
}

// How a peer is printed: its id, and its addresses without the /p2p part.
export function infoOut (info) {
  const id = info.id.toString()
  return { id, addrs: info.multiaddrs.map((a) => a.toString().replace(`/p2p/${id}`, '')) }
}

// Resolves once the library has taken the server into its routing table: it does so only with a server that
// lists the protocol and answers.
async function inRoutingTable (dht, server, signal) {
  while ((await dht.routingTable.find(server)) == null) {
    if (signal.aborted) throw new Error('the server never entered the routing table')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export async function open (options, signal) {
  let address, server
  try {
    address = multiaddr(options.peer ?? '')
    server = peerIdFromString(address.toString().split('/p2p/')[1] ?? '')
  } catch (err) {
    throw usage(`--peer is a multiaddr that ends in /p2p/<peer id>: ${err.message}`)
  }
  const transport = TRANSPORT[options.transport ?? (options.peer.includes('/quic-v1') ? 'quic' : 'tcp')]
  const security = options.security == null ? [tls(), noise()] : SECURITY[options.security]
  if (transport == null) throw usage('--transport is tcp or quic')
  if (security == null) throw usage('--security is tls or noise')

  // The monitor and the DHT ping by themselves, and rust-libp2p serves the latest stream of pings alone: it would
  // reset the one of `identify`.
  const alone = process.argv[2] === 'identify'
  const dht = kadDHT({
    protocol: options.protocol,
    clientMode: true,
    peerInfoMapper: passthroughMapper,
    validators: { ipns: ipnsValidator },
    selectors: { ipns: ipnsSelector },
    initialQuerySelfInterval: 0
  })
  const node = await createLibp2p({
    addresses: { listen: [transport.listen] },
    transports: [await transport.load()],
    connectionEncrypters: security,
    streamMuxers: [yamux()],
    // Only the server is dialled, so that an answer can only have come from there.
    connectionGater: { denyDialPeer: (id) => !options.follow && !id.equals(server) },
    connectionMonitor: { enabled: !alone },
    nodeInfo: { userAgent: 'hydra-test-js' },
    services: alone ? { identify: identify(), ping: ping() } : { identify: identify(), ping: ping(), dht }
  })
  // What the server says of itself.
  const identified = new Promise((resolve, reject) => {
    node.addEventListener('peer:identify', ({ detail }) => detail.peerId.equals(server) && resolve(detail))
    signal.addEventListener('abort', () => reject(new Error('the server did not identify itself')))
  })
  // Not every command waits for it.
  identified.catch(() => {})
  const connection = await node.dial(address, { signal })
  if (!alone) await inRoutingTable(node.services.dht, server, signal)
  return { node, server, connection, identified }
}
