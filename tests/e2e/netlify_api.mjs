// Calls @netlify/api as told: each line in is {call, params, body_file?}, each line out {result} or {status, error}.
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

import { NetlifyAPI } from '@netlify/api'

const { host, pathname } = new URL(process.env.NETLIFY_API_URL)
const client = new NetlifyAPI(process.env.NETLIFY_AUTH_TOKEN, { scheme: 'http', host, pathPrefix: pathname })

for await (const line of createInterface({ input: process.stdin })) {
  const { call, params, body_file } = JSON.parse(line)
  if (body_file) params.body = () => createReadStream(body_file)
  let answer
  try {
    answer = { result: await client[call](params) }
  } catch (error) {
    answer = { status: error.status, error: error.json ?? String(error) }
  }
  console.log(JSON.stringify(answer))
}
