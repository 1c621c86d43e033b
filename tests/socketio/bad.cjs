// What no client should send: `node bad.cjs URL TOKEN`. Whoever sends it may be disconnected; nobody else notices.
const assert = require('node:assert/strict');
const { once } = require('node:events');
const net = require('node:net');
const WebSocket = require('ws');
const { io } = require('socket.io-client');

const [url, token] = process.argv.slice(2);
const at = `${url}/socket.io/?EIO=4&transport=`;

/** Fails after so many seconds, when what has come by then was taken in. */
const late = (name, seconds) =>
  new Promise((_, reject) => {
    const say = () => reject(new Error(`still open after ${name}`));
    setTimeout(() => setTimeout(say, 1000).unref(), seconds * 1000).unref();
  });

/** A websocket that has come as far as the namespace, and what it was told. */
async function websocket() {
  const socket = new WebSocket(`${at.replace('http', 'ws')}websocket`);
  const texts = [];
  const closed = once(socket, 'close');
  socket.on('error', () => {});
  socket.on('message', (data) => texts.push(data.toString()));
  await once(socket, 'open');
  const told = async (start) => {
    while (!texts.some((text) => text.startsWith(start))) {
      assert.equal(socket.readyState, WebSocket.OPEN, `closed before ${start}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  await told('0{');
  socket.send(`40/sites,${JSON.stringify({ token })}`);
  await told('40/sites,{');
  return { socket, closed, told };
}

async function main() {
  const good = io(`${url}/sites`, { auth: { token }, transports: ['websocket'], reconnection: false });
  await once(good, 'connect');
  good.on('disconnect', (reason) => assert.fail(`somebody else's packets disconnected this client: ${reason}`));
  const alive = async (after) => {
    const answer = await good.timeout(60_000).emitWithAck('subscribe', {});
    assert.equal(answer.ok, true, `after ${after}`);
  };

  // These end the connection: nothing that comes after them could be understood.
  const binary = (text) => [text, Buffer.from([1])];
  const ending = {
    'no type': [''],
    'an unknown type': ['9'],
    'an open packet of a client': ['0{}'],
    'an upgrade out of place': ['5'],
    'no packet in a message': ['4'],
    'an unknown packet': ['49'],
    'no JSON': ['42/sites,["subscribe"'],
    'no event': ['42/sites,[]'],
    'an object for an event': ['42/sites,{}'],
    'a number for its name': ['42/sites,[7]'],
    'binary without its packet': [Buffer.from([1, 2, 3])],
    'more attachments than may be': ['45999999999-/sites,["echo",{"_placeholder":true,"num":0}]'],
    'a connect error of a client': ['44/sites,{"message":"no"}'],
    'an answer to a question beyond all numbers': ['43/sites,18446744073709551615[]'],
    'an event of a namespace it is not in': ['42["x"]'],
    'two megabytes': [`42/sites,["echo","${'x'.repeat(2 << 20)}"]`],
    'two megabytes of bytes': [Buffer.alloc(2 << 20)],
  };
  for (const [name, frames] of Object.entries(ending)) {
    const { socket, closed } = await websocket();
    frames.forEach((frame) => socket.send(frame));
    // Long before it would be missed for its silence.
    await Promise.race([closed, late(name, 20)]);
    await alive(name);
  }

  // These are let pass, and the connection goes on.
  const passing = {
    'nothing at all': [],
    'a pong nobody asked for': ['3', '3', '3'],
    'an event of a namespace that is not there': ['42/other,["x"]'],
    'an answer to no question': ['43/sites,77[]'],
    'a connect once more': ['40/sites,{}'],
    'an attachment that is not referred to': binary('451-/sites,["echo"]'),
    'a reference to an attachment that is not there': binary('451-/sites,["echo",{"_placeholder":true,"num":7}]'),
    'a text where bytes are wanted': ['42/sites,["echo","text"]'],
    'an event nobody knows': ['42/sites,["__proto__",{}]'],
  };
  for (const [name, frames] of Object.entries(passing)) {
    const { socket, told } = await websocket();
    frames.forEach((frame) => socket.send(frame));
    socket.send('42/sites,7["unsubscribe"]');
    await told('43/sites,7[{"ok":true}]').catch((error) => assert.fail(`${name}: ${error.message}`));
    socket.terminate();
    await alive(name);
  }

  // Frames that are none.
  for (const [name, bytes] of Object.entries({
    'a frame that is not masked': [0x81, 1, 0x33],
    'text that is no UTF-8': [0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
    'a frame of a reserved kind': [0x83, 0x80, 0, 0, 0, 0],
    'a length of eight exabytes': [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
  })) {
    const { hostname, port } = new URL(url);
    const socket = net.connect(Number(port), hostname);
    socket.on('error', () => {});
    const ended = once(socket, 'close');
    socket.write(
      `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    let got = '';
    socket.on('data', (data) => (got += data.toString('latin1')));
    while (!got.includes('"maxPayload"')) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.match(got, /^HTTP\/1.1 101 /);
    assert.match(got, /s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/);
    socket.write(Buffer.from(bytes));
    // Before its time to connect to a namespace is over.
    await Promise.race([ended, late(name, 7)]);
    await alive(name);
  }

  // Requests that are wrong are answered.
  const fetched = async (what, options) => {
    const response = await fetch(what, options);
    const answer = [response.status, await response.text()];
    await alive(what);
    return answer;
  };
  const [status, body] = await fetched(`${at}polling`);
  assert.equal(status, 200);
  const { sid } = JSON.parse(body.slice(1));
  const session = `${at}polling&sid=${sid}`;
  for (const [what, options, expected] of [
    [`${url}/socket.io/`, {}, 400],
    [`${url}/socket.io/?EIO=4`, {}, 400],
    [`${url}/socket.io/?EIO=2&transport=polling`, {}, 400],
    [`${at}flashsocket`, {}, 400],
    [`${at}websocket`, {}, 400],
    [`${at}polling&sid=`, {}, 400],
    [`${at}polling&sid=AAAAAAAAAAAAAAAA`, {}, 400],
    [`${at}polling`, { method: 'POST', body: '40' }, 400],
    [`${at}polling`, { method: 'DELETE' }, 400],
    [session, { method: 'POST', body: '40/sites,{}' }, 200],
    [session, { method: 'POST', body: 'x'.repeat(2 << 20) }, 413],
    [session, { method: 'POST', body: '\x1e\x1e' }, 400],
    [session, {}, 400],
  ]) {
    const [got, text] = await fetched(what, options);
    assert.equal(got, expected, `${what} ${options.method ?? 'GET'} ${text}`);
    assert.ok(!text.includes(token));
  }
  good.off('disconnect').close();
  console.log('done');
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
