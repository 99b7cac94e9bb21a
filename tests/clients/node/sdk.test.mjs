// The official Node SDK, unmodified, in its newest version and in one from before it moved video creation to
// /generations/video, against a relay with the simulator behind it.
//   RELAY_BIN=build/release/bin node --test sdk.test.mjs

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import Newest from 'lumaai';
import Legacy from 'lumaai-legacy';

const bin = process.env.RELAY_BIN ?? 'build/release/bin';
const dir = mkdtempSync(join(tmpdir(), 'luma-relay-sdk-'));
const running = [];
let base, token, sim;

// Starts a program and waits for the line that tells its port.
function start(program, args, pattern) {
  const child = spawn(join(bin, program), args);
  running.push(child);
  let seen = '';
  return new Promise((resolve, reject) => {
    const look = (chunk) => {
      seen += chunk;
      const found = seen.match(pattern);
      if (found) resolve(found[1]);
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    child.on('exit', (code) => reject(new Error(`${program} ended with ${code}: ${seen}`)));
  });
}

before(async () => {
  sim = await start('luma-sim', ['--listen', '127.0.0.1:0', '--step-per-poll'], /(http:\/\/127\.0\.0\.1:\d+)/);
  const config = join(dir, 'relay.toml');
  writeFileSync(config, `
[server]
listen = "127.0.0.1:0"
[storage]
path = "${join(dir, 'relay.db')}"
[admin]
listen = ""
[poll]
interval_ms = 20
[[upstream]]
name = "sim"
url = "${sim}/dream-machine/v1"
key = "luma-sim-key"
`);
  token = execFileSync(join(bin, 'luma-relay'), ['token', 'create', '--config', config, '--name', 'sdk'], { stdio: ['ignore', 'pipe', 'ignore'] })
    .toString().trim();
  const port = await start('luma-relay', ['serve', '--config', config], /listening on 127\.0\.0\.1:(\d+)/);
  base = `http://127.0.0.1:${port}/dream-machine/v1`;
});

after(() => {
  for (const child of running) {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
  }
  rmSync(dir, { recursive: true, force: true });
});

async function untilDone(client, id) {
  const states = [];
  for (const until = Date.now() + 20_000; Date.now() < until; ) {
    const generation = await client.generations.get(id);
    if (states.at(-1) !== generation.state) states.push(generation.state);
    if (generation.state === 'completed' || generation.state === 'failed') return { generation, states };
  }
  throw new Error(`still ${states.at(-1)}`);
}

const versions = {
  newest: { SDK: Newest, create: (client, body) => client.generations.video.create({ model: 'ray-2', ...body }) },
  legacy: { SDK: Legacy, create: (client, body) => client.generations.create(body) },
};

for (const [name, { SDK, create }] of Object.entries(versions)) {
  const connect = (authToken = token) => new SDK({ authToken, baseURL: base });

  test(`${name}: create, then get until completed`, async () => {
    const client = connect();
    const made = await create(client, { prompt: 'A tiger walking in snow', aspect_ratio: '16:9', loop: true });
    assert.match(made.id, /^[0-9a-f-]{36}$/);
    assert.equal(made.state, 'queued');
    assert.equal(made.assets, null);
    assert.equal(made.request.prompt, 'A tiger walking in snow');
    assert.equal(made.request.loop, true);
    const { generation, states } = await untilDone(client, made.id);
    assert.equal(generation.state, 'completed', states.join());
    assert.ok(generation.assets.video.endsWith('.mp4'));
    assert.equal(generation.failure_reason, null);
    const video = await fetch(generation.assets.video);
    assert.equal(video.status, 200);
  });

  test(`${name}: an image-to-video with keyframes`, async () => {
    const client = connect();
    const keyframes = { frame0: { type: 'image', url: 'https://example.com/a.jpg' } };
    const made = await create(client, { prompt: 'go on', keyframes });
    assert.deepEqual(made.request.keyframes, keyframes);
  });

  test(`${name}: a job that fails tells why`, async () => {
    const client = connect();
    const made = await create(client, { prompt: 'a #moderated prompt' });
    const { generation } = await untilDone(client, made.id);
    assert.equal(generation.state, 'failed');
    assert.equal(generation.failure_reason, 'Advanced prompt moderation failed');
  });

  test(`${name}: list`, async () => {
    const client = connect();
    const made = await create(client, { prompt: 'one for the list' });
    const page = await client.generations.list({ limit: 2, offset: 0 });
    assert.equal(page.generations[0].id, made.id);
    assert.equal(page.limit, 2);
    assert.equal(page.count, 2);
    assert.equal(page.has_more, true);
  });

  test(`${name}: ping`, async () => {
    assert.equal((await connect().ping.check()).message, 'pong');
  });

  test(`${name}: error classes`, async () => {
    await assert.rejects(create(connect('wrong-key'), { prompt: 'abc' }), (e) => e instanceof SDK.AuthenticationError && e.status === 401);
    await assert.rejects(create(connect(), { prompt: 'a' }), (e) => {
      assert.ok(e instanceof SDK.BadRequestError);
      assert.equal(e.message, '400 prompt: Prompt is too short, minimum length is 3 characters');
      return true;
    });
    await assert.rejects(create(connect(), { prompt: 'abc', aspect_ratio: '5:4' }), (e) => e instanceof SDK.UnprocessableEntityError);
    await assert.rejects(connect().generations.get('01936e4f-a1b2-7fff-bfff-ffffffffffff'), (e) => e instanceof SDK.NotFoundError && e.status === 404);
  });
}

test('newest: an image', async () => {
  const client = new Newest({ authToken: token, baseURL: base });
  const made = await client.generations.image.create({ prompt: 'a cat', model: 'photon-1' });
  assert.equal(made.generation_type, 'image');
  const { generation } = await untilDone(client, made.id);
  assert.ok(generation.assets.image.endsWith('.jpg'));
});

test('nothing was created twice', async () => {
  const log = await (await fetch(`${sim}/_sim/log`)).json();
  const prompts = log.creates.map((c) => c.body.prompt);
  assert.equal(log.refused, 0);
  assert.equal(log.created, 9, prompts.join(' | '));
});
