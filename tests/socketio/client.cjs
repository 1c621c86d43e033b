// npm's socket.io-client against a gateway: `node client.cjs SCENARIO URL TOKEN [TRANSPORTS]`. The test that started it reads the lines it prints
// and acts on them; what is wrong ends it with a message and status 1.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const { readSync } = require('node:fs');
const { NodeWebSocket, NodeXHR } = require('engine.io-client');
const { io } = require('socket.io-client');

const [scenario, url, token, transports = 'polling,websocket'] = process.argv.slice(2);
const say = (...words) => console.log(...words);

function open(options = {}) {
  return io(`${url}/sites`, {
    auth: { token },
    transports: transports.split(','),
    forceNew: true,
    reconnection: false,
    ...options,
  });
}

async function connected(options) {
  const socket = open(options);
  await Promise.race([
    once(socket, 'connect'),
    once(socket, 'connect_error').then(([error]) => assert.fail(`cannot connect: ${error.message}`)),
  ]);
  return socket;
}

const ask = (socket, event, ...given) => socket.timeout(60_000).emitWithAck(event, ...given);

/** Why somebody may not connect. */
async function refused(options) {
  const socket = open(options);
  const error = await Promise.race([
    once(socket, 'connect_error').then(([error]) => error),
    once(socket, 'connect').then(() => assert.fail('it was let in')),
  ]);
  socket.close();
  return error;
}

/** The numbers of changes come one after the other until `last`, whatever the transport does meanwhile. */
function count(socket, last) {
  let next = 0;
  return new Promise((resolve) =>
    socket.on('change', (change, ...more) => {
      assert.equal(more.length, 0);
      assert.equal(change.number, next, 'a change was lost, or overtaken');
      assert.equal(change.text, 'äöü "\\ \u2028 😀');
      next += 1;
      if (change.last || next === last) resolve(next);
    }),
  );
}

/** A websocket that is tried for only after a while. */
class LateWebSocket extends NodeWebSocket {
  doOpen() {
    setTimeout(() => super.doOpen(), 200);
  }
}

const scenarios = {
  /** Changes while the transport is what it is, or is upgraded. */
  async changes() {
    const upgrades = transports === 'polling,websocket';
    const socket = await connected(upgrades ? { transports: [NodeXHR, LateWebSocket] } : {});
    const counted = count(socket);
    const answer = await ask(socket, 'subscribe', { sites: ['client-1'], tables: ['public.todos'] });
    assert.deepEqual(answer, { ok: true, sites: ['client-1'], tables: ['public.todos'] });
    say('subscribed', socket.io.engine.transport.name);
    if (upgrades) {
      await once(socket.io.engine, 'upgrade');
      say('upgraded');
    }
    const got = await counted;
    assert.equal(socket.io.engine.transport.name, transports.split(',').pop());
    say('got', got);
    socket.close();
  },

  /** Each event has its name and goes to those whom it concerns. */
  async kinds() {
    const [socket, witness] = [await connected(), await connected()];
    const [seen, witnessed] = [[], []];
    witness.on('cluster', ({ name }) => witnessed.push(name));
    await ask(witness, 'subscribe', {});
    for (const name of ['change', 'hop', 'cluster', 'reset']) socket.on(name, (data) => seen.push([name, data]));
    await ask(socket, 'subscribe', { sites: ['server'], tables: ['public.todos'] });
    say('subscribed');
    while (!seen.some(([name]) => name === 'reset')) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(seen, [
      ['change', { of: 'server' }],
      ['hop', { of: 'server' }],
      ['cluster', { name: 'demo' }],
      ['reset', { reason: 'over' }],
    ]);
    assert.deepEqual(await ask(socket, 'unsubscribe'), { ok: true });
    seen.length = 0;
    say('unsubscribed');
    await once(process.stdin, 'data');
    // Who subscribes while an event is on its way may hear it.
    while (!witnessed.includes('nobody')) await new Promise((resolve) => setTimeout(resolve, 10));
    await ask(socket, 'subscribe', {});
    say('subscribed');
    while (!seen.some(([name]) => name === 'reset')) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(seen, [['reset', { reason: 'again' }]], 'nothing is told to who unsubscribed');
    process.stdin.destroy();
    socket.close();
    witness.close();
  },

  /** What cannot be subscribed to is said, and what was subscribed before stays. */
  async wrong() {
    const socket = await connected();
    for (const [given, kind] of [
      [[{ sites: ['client-9'] }], 'unknown-site'],
      [[{ sites: ['nowhere'] }], 'unknown-site'],
      [[{ site: ['server'] }], 'bad-subscription'],
      [[{ tables: 'public.todos' }], 'bad-subscription'],
      [[{ tables: Array(1001).fill('public.todos') }], 'bad-subscription'],
      [['all'], 'bad-subscription'],
      [[null], 'bad-subscription'],
      [[], 'bad-subscription'],
      [[Buffer.from([1, 2, 3])], 'bad-subscription'],
    ]) {
      const answer = await ask(socket, 'subscribe', ...given);
      assert.deepEqual(Object.keys(answer), ['error'], JSON.stringify(given));
      assert.equal(answer.error.type, `urn:synccluster:problem:${kind}`, JSON.stringify(answer));
      assert.ok(answer.error.detail.length > 20);
    }
    assert.deepEqual(await ask(socket, 'subscribe', {}), { ok: true, sites: null, tables: null });
    socket.emit('no such event', { at: 'all' });
    assert.deepEqual(await ask(socket, 'unsubscribe'), { ok: true });
    socket.close();
  },

  /** Bytes go there and come back. */
  async binary() {
    const socket = await connected();
    for (const size of [0, 1, 1000, 700_000]) {
      const bytes = Buffer.alloc(size, 'äbc');
      assert.deepEqual(Buffer.from(await ask(socket, 'echo', bytes)), bytes, `${size} bytes`);
    }
    const many = await Promise.all([...Array(200).keys()].map((n) => ask(socket, 'echo', Buffer.from([n]))));
    many.forEach((answer, n) => assert.equal(Buffer.from(answer)[0], n));
    say('transport', socket.io.engine.transport.name);
    socket.close();
  },

  /** Who may not connect is told why; a token may come in several ways. */
  async access() {
    assert.match((await refused({ auth: { token: 'wrong' } })).message, /Secret/);
    assert.match((await refused({ auth: {} })).message, /token/);
    assert.match((await refused({ auth: { token: 7 } })).message, /token/);
    assert.equal((await refused({ auth: {}, extraHeaders: { Authorization: 'Bearer wrong' } })).type, 'TransportError');
    const other = io(`${url}/other`, { auth: { token }, transports: transports.split(','), forceNew: true, reconnection: false });
    const [error] = await once(other, 'connect_error');
    assert.match(error.message, /namespace/i);
    other.close();
    for (const options of [{}, { auth: {}, extraHeaders: { Authorization: `Bearer ${token}` } }]) {
      (await connected(options)).close();
    }
  },

  /** The gateway goes and comes back. */
  async reconnect() {
    const socket = await connected({ reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, randomizationFactor: 0 });
    await ask(socket, 'subscribe', {});
    say('subscribed');
    const [reason] = await once(socket, 'disconnect');
    assert.match(reason, /transport (close|error)/);
    say('disconnected');
    await once(socket, 'connect');
    const counted = count(socket, 3);
    await ask(socket, 'subscribe', {});
    say('subscribed');
    say('got', await counted);
    socket.close();
  },

  /** The token it came with opens nothing any more. */
  async revoked() {
    const socket = await connected();
    await ask(socket, 'subscribe', {});
    say('subscribed');
    await once(socket, 'disconnect');
    assert.match((await refused()).message, /no longer/);
  },

  /** A row that is written at one site shows at another. */
  async live() {
    const socket = await connected();
    const { error } = await ask(socket, 'subscribe', { tables: ['public.nothing'] });
    assert.equal(error.type, 'urn:synccluster:problem:unknown-table');
    const seen = new Set();
    socket.on('change', (change) => change.row.values.title === 'bought' && seen.add(`${change.site} ${change.op} ${change.applied}`));
    await ask(socket, 'subscribe', { tables: ['public.todos'] });
    say('subscribed');
    while (seen.size < 3) await new Promise((resolve) => setTimeout(resolve, 10));
    say('saw', [...seen].sort().join(', '));
    socket.close();
  },

  /** Takes nothing for a while; is told that it missed something, and disconnected. */
  async slow() {
    const socket = await connected();
    await ask(socket, 'subscribe', {});
    const reset = once(socket, 'reset');
    const gone = once(socket, 'disconnect');
    say('subscribed');
    // Nothing is read while this process waits to be told to go on.
    readSync(0, Buffer.alloc(16));
    say('awake');
    const [reason] = await gone;
    say('disconnected', reason.replaceAll(' ', '-'));
    if (transports === 'polling') assert.match((await reset)[0].reason, /too slow/);
  },
};

const timer = setTimeout(() => {
  console.error(`${scenario} over ${transports} takes more than three minutes`);
  process.exit(1);
}, 180_000);
scenarios[scenario]().then(
  () => {
    clearTimeout(timer);
    say('done');
  },
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
