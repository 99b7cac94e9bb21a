// The official Node SDK, unmodified, in its newest version and in one from before it moved video creation to
// /generations/video, against a relay with the simulator behind it.
//   RELAY_BIN=build/release/bin node --test sdk.test.mjs

import assert from 'node:assert/strict';
import { connect as connectTcp, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import Newest from 'lumaai';
import Legacy from 'lumaai-legacy';
import { simulatorLog, startPair, stopAll } from './support.mjs';

let base, token, sim, port;

before(async () => {
  ({ base, token, sim, port } = await startPair());
});

after(stopAll);

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

// Every other method of the newest version; each answer is what the SDK's own types say.
test('newest: what is made of a file', async () => {
  const client = new Newest({ authToken: token, baseURL: base });
  const media = { url: 'https://example.com/a.mp4' };
  const made = [
    await client.generations.video.reframe({ generation_type: 'reframe_video', model: 'ray-2', media, aspect_ratio: '9:16' }),
    await client.generations.video.modify({ generation_type: 'modify_video', model: 'ray-2', media, mode: 'flex_1' }),
    await client.generations.image.reframe({ generation_type: 'reframe_image', model: 'photon-1', media, aspect_ratio: '1:1' }),
  ];
  assert.deepEqual(made.map((g) => g.request.generation_type), ['reframe_video', 'modify_video', 'reframe_image']);
  assert.deepEqual(made.map((g) => g.generation_type), ['video', 'video', 'image']);
  for (const { id } of made) assert.equal((await untilDone(client, id)).generation.state, 'completed');
});

test('newest: upscale and audio', async () => {
  const client = new Newest({ authToken: token, baseURL: base });
  const { id } = await client.generations.video.create({ model: 'ray-2', prompt: 'to build on' });
  await untilDone(client, id);
  const up = await client.generations.upscale(id, { resolution: '4k' });
  assert.equal(up.request.resolution, '4k');
  const audio = await client.generations.audio(id, { prompt: 'rain' });
  for (const made of [up, audio]) assert.equal((await untilDone(client, made.id)).generation.state, 'completed');
});

for (const [name, { SDK, create }] of Object.entries(versions)) {
  test(`${name}: delete`, async () => {
    const client = new SDK({ authToken: token, baseURL: base });
    const { id } = await create(client, { prompt: 'to be deleted' });
    await client.generations.delete(id);
    await assert.rejects(client.generations.get(id), (e) => e instanceof SDK.NotFoundError);
    await assert.rejects(client.generations.delete(id), (e) => e instanceof SDK.NotFoundError);
    const { generations } = await client.generations.list({ limit: 5 });
    assert.ok(!generations.some((g) => g.id === id));
  });
}

test('lists and credits', async () => {
  const newest = new Newest({ authToken: token, baseURL: base });
  assert.deepEqual(await newest.generations.concepts.list(), ['orbit_left', 'a_new_one']);
  assert.equal((await newest.credits.get()).credit_balance, 100000);
  const legacy = new Legacy({ authToken: token, baseURL: base });
  assert.deepEqual(await legacy.generations.cameraMotion.list(), ['camera orbit left']);
});

// A gate between the SDK and the relay: the first `drops` answers are cut off after the relay has given them.
async function gate(drops) {
  let left = drops;
  let answers = 0;
  const server = createServer((near) => {
    const far = connectTcp(port, '127.0.0.1');
    near.pipe(far);
    far.on('data', (bytes) => {
      ++answers;
      if (left > 0) {
        --left;
        near.resetAndDestroy();
        far.destroy();
      } else {
        near.write(bytes);
      }
    });
    far.on('end', () => near.end());
    for (const socket of [near, far]) socket.on('error', () => {});
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/dream-machine/v1`, answers: () => answers, close: () => server.close() };
}

let retried = 0;
for (const [name, { SDK, create }] of Object.entries(versions)) {
  test(`${name}: answers that are lost on the way, and the SDK asks again: one job`, async () => {
    const lossy = await gate(2);
    const client = new SDK({ authToken: token, baseURL: lossy.url, maxRetries: 3 });
    const made = await create(client, { prompt: `retried by ${name}` });
    lossy.close();
    assert.equal(lossy.answers(), 3, 'the relay answered three times');
    const { generation } = await untilDone(new SDK({ authToken: token, baseURL: base }), made.id);
    assert.equal(generation.state, 'completed');
    const bought = (await simulatorLog(sim)).creates.filter((c) => c.body.prompt === `retried by ${name}`);
    assert.equal(bought.length, 1);
    ++retried;
  });
}

test('nothing was created twice', async () => {
  const log = await simulatorLog(sim);
  const prompts = log.creates.map((c) => c.body.prompt);
  assert.equal(log.refused, 0);
  assert.equal(log.created, 17 + retried, prompts.join(' | '));
});
