// BullMQ: `node bullmq_peer.mjs` drives, `node bullmq_peer.mjs work` works.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { randomBytes } from 'node:crypto'

// The packages stand in an environment of their own, and not beside this file.
const require = createRequire(process.env.BENCH_MODULES + '/')
const { Queue, Worker } = require('bullmq')
const IORedis = require('ioredis')

const [DONE, LEFT] = ['bench:done', 'bench:left']
const connect = () => new IORedis(process.env.BENCH_URL, { maxRetriesPerRequest: null })
const options = { removeOnComplete: true, removeOnFail: true }
const queue = new Queue('bench', { connection: connect(), defaultJobOptions: options })
const client = connect()

const TASKS = {
  one: (n) => queue.add('two', n + 1),
  two: (n) => queue.add('three', n + 1),
  three: (n) => client.rpush(DONE, n + 1),
  spread: (size) => queue.addBulk(Array.from({ length: size }, (_, n) => ({ name: 'item', data: n }))),
  item: async (n) => { if (await client.decr(LEFT) === 0) await client.rpush(DONE, n) },
  cargo_one: (data) => queue.add('cargo_two', data),
  cargo_two: (data) => queue.add('cargo_three', data),
  cargo_three: (data) => client.rpush(DONE, data.length),
}

async function done(count) {
  while (count) {
    if (await client.blpop(DONE, 60) === null) throw new Error(`${count} tasks were not heard of`)
    count -= 1
    if (count) count -= (await client.lpop(DONE, count) ?? []).length
  }
}

const now = () => performance.now()
const cargo = randomBytes(750_000).toString('base64')

const WORKLOADS = {
  async chain(size) {
    const began = now()
    for (let n = 0; n < size; n += 100) {
      await Promise.all(Array.from({ length: Math.min(100, size - n) }, (_, k) => queue.add('one', n + k)))
    }
    await done(size)
    return { per_s: size / (now() - began) * 1000 }
  },
  async single(size) {
    const took = []
    for (let n = 0; n < size; n++) {
      const began = now()
      await queue.add('one', n)
      await done(1)
      took.push(now() - began)
    }
    took.sort((a, b) => a - b)
    return { p50_ms: took[Math.floor(size / 2)], p99_ms: took[Math.floor(size * 0.99)] }
  },
  async fan(size) {
    const began = now()
    await client.set(LEFT, size)
    await queue.add('spread', size)
    await done(1)
    return { per_s: size / (now() - began) * 1000 }
  },
  async carry(size) {
    const began = now()
    let begun = Math.min(size, 20)
    await Promise.all(Array.from({ length: begun }, () => queue.add('cargo_one', cargo)))
    for (let left = size; left; left--) {
      await done(1)
      if (begun < size) {
        begun += 1
        await queue.add('cargo_one', cargo)
      }
    }
    return { per_s: size / (now() - began) * 1000 }
  },
}

if (process.argv.includes('work')) {
  new Worker('bench', (job) => TASKS[job.name](job.data).then(() => undefined), { connection: connect(), concurrency: 100 })
} else {
  const facts = { bullmq: require('bullmq/package.json').version, node: process.versions.node }
  console.log(JSON.stringify(facts))
  for await (const line of createInterface({ input: process.stdin })) {
    const [workload, size] = line.split(' ')
    console.log(JSON.stringify(await WORKLOADS[workload](Number(size))))
  }
}
