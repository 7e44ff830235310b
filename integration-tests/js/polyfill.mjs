// js-libp2p uses Promise.withResolvers, which came with Node 22.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((a, b) => {
    resolve = a
    reject = b
  })
  return { promise, resolve, reject }
}
