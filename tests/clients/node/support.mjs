// What the client tests share: a relay and a simulator as programs, with a token.

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const bin = process.env.RELAY_BIN ?? 'build/release/bin';
const dir = mkdtempSync(join(tmpdir(), 'luma-relay-clients-'));
const running = [];

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

// What a subcommand prints on standard output.
export function command(config, ...args) {
  return execFileSync(join(bin, 'luma-relay'), [...args, '--config', config], { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim();
}

// `more`: TOML that comes before the upstream.
export async function startPair(more = '', simArgs = []) {
  const sim = await start('luma-sim', ['--listen', '127.0.0.1:0', '--step-per-poll', ...simArgs], /(http:\/\/127\.0\.0\.1:\d+)/);
  const config = join(dir, `relay-${running.length}.toml`);
  writeFileSync(config, `
[server]
listen = "127.0.0.1:0"
[storage]
path = "${config}.db"
[admin]
listen = ""
[poll]
interval_ms = 20
${more}
[[upstream]]
name = "sim"
url = "${sim}/dream-machine/v1"
key = "luma-sim-key"
`);
  const token = command(config, 'token', 'create', '--name', 'client');
  const port = Number(await start('luma-relay', ['serve', '--config', config], /listening on 127\.0\.0\.1:(\d+)/));
  return { sim, config, token, port, base: `http://127.0.0.1:${port}/dream-machine/v1` };
}

export const simulatorLog = async (sim) => (await fetch(`${sim}/_sim/log`)).json();

export function stopAll() {
  for (const child of running) {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
  }
  rmSync(dir, { recursive: true, force: true });
}
