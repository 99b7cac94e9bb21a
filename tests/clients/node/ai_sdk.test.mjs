// The AI SDK's generateImage with its Luma provider (npm ai and @ai-sdk/luma), unmodified, in the newest version and in
// one from before reference images were an argument of their own, against a relay with the simulator behind it.
//   RELAY_BIN=build/release/bin node --test ai_sdk.test.mjs

import assert from 'node:assert/strict';
import { createServer, request } from 'node:http';
import { after, before, test } from 'node:test';
import { createLuma as newest } from '@ai-sdk/luma';
import { generateImage } from 'ai';
import { experimental_generateImage } from 'ai-legacy';
import { createLuma as legacy } from 'ai-sdk-luma-legacy';
import { simulatorLog, startPair, stopAll } from './support.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

// The newest version fetches no picture from this machine, except from the origin it was told to call. As behind a
// reverse proxy, one origin has both: the simulator's files, and the relay.
let front, origin, pair, picture;

before(async () => {
  front = createServer((near, answer) => {
    const to = new URL(near.url, near.url.startsWith('/assets/') ? pair.sim : `http://127.0.0.1:${pair.port}`);
    const far = request(to, { method: near.method, headers: near.headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    near.pipe(far);
  });
  await new Promise((resolve) => front.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${front.address().port}`;
  pair = await startPair('', ['--public-url', origin]);
  picture = new Uint8Array(await (await fetch(`${pair.sim}/assets/any/thumb.jpg`)).arrayBuffer());
});

after(() => {
  front.close();
  front.closeAllConnections();
  stopAll();
});

const versions = {
  newest: { create: newest, generate: generateImage },
  legacy: { create: legacy, generate: experimental_generateImage },
};
const a = 'https://example.com/a.jpg';
const b = 'https://example.com/b.jpg';
let made = 0;

// What the upstream was sent for `prompt`; null if nothing was.
const sent = async (prompt) => (await simulatorLog(pair.sim)).creates.findLast((c) => c.body?.prompt === prompt)?.body ?? null;

for (const [name, { create, generate }] of Object.entries(versions)) {
  const draw = (prompt, { apiKey = pair.token, options = {}, baseURL = origin, ...more } = {}) =>
    generate({
      model: create({ baseURL, apiKey }).image('photon-1'),
      prompt,
      providerOptions: { luma: { pollIntervalMillis: 20, ...options } },
      ...more,
    });

  test(`${name}: an image`, async () => {
    const { image, images, warnings } = await draw(`a tiger by ${name}`, { aspectRatio: '1:1' });
    ++made;
    assert.deepEqual(image.uint8Array, picture);
    assert.equal(image.mediaType, 'image/jpeg');
    assert.equal(images.length, 1);
    assert.deepEqual(warnings, []);
    assert.deepEqual(await sent(`a tiger by ${name}`), { prompt: `a tiger by ${name}`, model: 'photon-1', aspect_ratio: '1:1' });
  });

  test(`${name}: three images are three jobs`, async () => {
    const { images } = await draw('three of them', { n: 3 });
    made += 3;
    assert.equal(images.length, 3);
  });

  // As the documentation of the versions up to 1.0 has it; the newer ones pass them on as well.
  test(`${name}: references in the official API's words`, async () => {
    const options = {
      image_ref: [{ url: a, weight: 0.85 }],
      style_ref: [{ url: b, weight: 0.8 }],
      character_ref: { identity0: { images: [a, b] } },
      modify_image_ref: { url: b, weight: 1 },
      format: 'png',
    };
    await draw(`in official words by ${name}`, { options });
    ++made;
    assert.deepEqual(await sent(`in official words by ${name}`), { prompt: `in official words by ${name}`, model: 'photon-1', ...options });
  });

  test(`${name}: what the relay refuses is shown in its words`, async () => {
    const refused = (statusCode, message) => (e) => {
      assert.equal(e.name, 'AI_APICallError');
      assert.deepEqual([e.statusCode, e.message, e.isRetryable], [statusCode, message, false]);
      return true;
    };
    await assert.rejects(draw(''), refused(400, 'Prompt is required'));
    await assert.rejects(draw('abc', { aspectRatio: '5:4' }), refused(422, "Input should be '1:1', '16:9', '9:16', '4:3', '3:4', '21:9' or '9:21'"));
    await assert.rejects(draw('abc', { options: { format: 'gif' } }), refused(422, "Input should be 'jpg' or 'png'"));
    await assert.rejects(draw('abc', { options: { image_ref: 'x' } }), refused(422, 'Input should be a list of {"url", "weight"}'));
    await assert.rejects(draw(`a #refuse-422 of ${name}`), refused(422, 'refused as the prompt asked'));
    // These have no text in the form that it reads: it shows the status line's.
    await assert.rejects(draw('abc', { apiKey: 'wrong-key' }), refused(401, 'Unauthorized'));
    await assert.rejects(draw(`a #refuse-400 of ${name}`), refused(400, 'Bad Request'));
    await assert.rejects(draw('abc', { baseURL: `${origin}/dream-machine/v1` }), refused(404, 'Not Found'));
  });

  test(`${name}: a job that fails tells why`, async () => {
    for (const [prompt, why] of [['a #fail', 'Job failed'], ['a #moderated one', 'Advanced prompt moderation failed']]) {
      await assert.rejects(draw(prompt), (e) => {
        assert.equal(e.name, 'AI_InvalidResponseDataError');
        assert.equal(e.message, 'Image generation failed.');
        assert.equal(e.data.failure_reason, why);
        return true;
      });
      ++made;
    }
  });

  test(`${name}: an Idempotency-Key makes one job of its retries`, async () => {
    const headers = { 'Idempotency-Key': `once by ${name}` };
    for (let i = 0; i < 2; ++i) assert.deepEqual((await draw('only once', { headers })).image.uint8Array, picture);
    ++made;
  });
}

for (const [referenceType, images, settings, field, value] of [
  [undefined, [a], undefined, 'image_ref', [{ url: a, weight: 0.85 }]],
  ['image', [a, b], [{ weight: 0.5 }], 'image_ref', [{ url: a, weight: 0.5 }, { url: b, weight: 0.85 }]],
  ['style', [a], [{ weight: 0.3 }], 'style_ref', [{ url: a, weight: 0.3 }]],
  ['character', [a, b], [{ id: 'identity0' }, { id: 'identity1' }], 'character_ref', { identity0: { images: [a] }, identity1: { images: [b] } }],
  ['modify_image', [a], [{ weight: 0.9 }], 'modify_image_ref', { url: a, weight: 0.9 }],
]) {
  test(`newest: images, ${referenceType ?? 'of no given type'}`, async () => {
    const text = `with ${referenceType}`;
    const { image } = await generateImage({
      model: newest({ baseURL: origin, apiKey: pair.token }).image('photon-flash-1'),
      prompt: { text, images },
      providerOptions: { luma: { pollIntervalMillis: 20, referenceType, images: settings } },
    });
    ++made;
    assert.deepEqual(image.uint8Array, picture);
    assert.deepEqual(await sent(text), { prompt: text, model: 'photon-flash-1', [field]: value });
  });
}

test('nothing was created twice', async () => {
  const log = await simulatorLog(pair.sim);
  assert.ok(log.creates.every((c) => c.path === '/dream-machine/v1/generations/image'));
  assert.equal(log.created, made);
});
