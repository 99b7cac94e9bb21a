// The verifier of Standard Webhooks (npm standardwebhooks), unmodified, on what a callback URL receives.
//   RELAY_BIN=build/release/bin node --test webhooks.test.mjs

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { command, startPair, stopAll } from './support.mjs';

const received = [];
let relay, hook, secret, waiting;

before(async () => {
  hook = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
      received.push({ headers: request.headers, body });
      response.writeHead(204).end();
      waiting?.();
    });
  });
  await new Promise((resolve) => hook.listen(0, '127.0.0.1', resolve));
  relay = await startPair('[callbacks]\nallow_private_addresses = true');
  secret = command(relay.config, 'account', 'webhook-secret', 'client');
  for (const prompt of ['a cat', 'a dog', 'a #moderated one', 'Ünïcödé 老虎']) {
    const made = await fetch(`${relay.base}/generations`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${relay.token}` },
      body: JSON.stringify({ prompt, callback_url: `http://127.0.0.1:${hook.address().port}/hook` }),
    });
    assert.equal(made.status, 201);
  }
  // Four jobs, each of which dreams and ends.
  while (received.length < 8) await new Promise((resolve) => (waiting = resolve));
});

after(() => {
  hook.close();
  hook.closeAllConnections();
  stopAll();
});

test('every delivery is accepted', () => {
  const verifier = new Webhook(secret);
  for (const { headers, body } of received) {
    const generation = verifier.verify(body, headers);
    assert.match(generation.id, /^[0-9a-f-]{36}$/);
    assert.ok(['dreaming', 'completed', 'failed'].includes(generation.state));
    assert.ok(headers['webhook-id'].startsWith(`msg_${generation.id}_`));
  }
  assert.equal(new Set(received.map((m) => m.headers['webhook-id'])).size, received.length);
});

test('a tampered one is refused', () => {
  const verifier = new Webhook(secret);
  const { headers, body } = received[0];
  const change = (changed) => ({ ...headers, ...changed });
  assert.throws(() => verifier.verify(body.replace('dreaming', 'completed'), headers));
  assert.throws(() => verifier.verify(`${body} `, headers));
  assert.throws(() => verifier.verify(body, change({ 'webhook-id': 'msg_other' })));
  assert.throws(() => verifier.verify(body, change({ 'webhook-signature': headers['webhook-signature'].replace(/^v1,./, 'v1,_') })));
  assert.throws(() => verifier.verify(body, change({ 'webhook-timestamp': String(Number(headers['webhook-timestamp']) - 1) })));
});

test('a stale one is refused', () => {
  const verifier = new Webhook(secret);
  const { headers, body } = received[0];
  const now = Date.now;
  Date.now = () => now() + 6 * 60_000;
  try {
    assert.throws(() => verifier.verify(body, headers), /too old/i);
  } finally {
    Date.now = now;
  }
});

test('one that is signed for another token is refused', () => {
  command(relay.config, 'token', 'create', '--name', 'other');
  const foreign = new Webhook(command(relay.config, 'account', 'webhook-secret', 'other'));
  assert.throws(() => foreign.verify(received[0].body, received[0].headers));
  const rotated = command(relay.config, 'account', 'webhook-secret', 'client', '--rotate');
  assert.notEqual(rotated, secret);
  assert.throws(() => new Webhook(rotated).verify(received[0].body, received[0].headers));
});
