// Many streams on one connection at once.
import { setMaxListeners } from 'node:events'
import { lpStream } from '@libp2p/utils'
import { open } from './node.mjs'

const FIND_NODE = 4

// A FIND_NODE for the peer that asks: the fields `type` and `key` of the protocol's message.
function findNode (key) {
  return Uint8Array.from([0x08, FIND_NODE, 0x12, key.length, ...key])
}

// How many of so many streams are answered.
async function answered (count, connection, options, request, signal) {
  const asks = Array.from({ length: count }, async () => {
    const stream = await connection.newStream(options.protocol, { signal, maxOutboundStreams: 2 * count })
    try {
      const frames = lpStream(stream)
      await frames.write(request, { signal })
      await frames.read({ signal })
    } finally {
      stream.abort(new Error('done'))
    }
  })
  return (await Promise.allSettled(asks)).filter((ask) => ask.status === 'fulfilled').length
}

// A burst, and then as many as the server takes at a time.
export async function burst (options, signal, print) {
  const { node, connection } = await open(options, signal)
  const request = findNode(node.peerId.toMultihash().bytes)
  // Each stream listens to it.
  setMaxListeners(0, signal)
  const asked = (count) => answered(Number(count), connection, options, request, signal)
  print({ event: 'burst', answered: await asked(options.streams), again: await asked(options.again) })
}
