// socket.io's own server with its defaults, as the bench needs it: prints its port and that of its control connection; each line it is sent there
// is the argument of an event for everybody who subscribed.
const http = require('node:http');
const net = require('node:net');
const { Server } = require('socket.io');

const web = http.createServer();
const sites = new Server(web).of('/sites');
sites.on('connection', (socket) =>
  socket.on('subscribe', (wanted, ack) => {
    socket.join(wanted.tables[0]);
    ack({ ok: true });
  }),
);

const control = net.createServer((connection) => {
  let rest = '';
  connection.setNoDelay();
  connection.on('error', () => {});
  connection.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    for (const line of lines) sites.to('public.todos').emit('hop', JSON.parse(line));
  });
});

web.listen(0, '127.0.0.1', 4096, () =>
  control.listen(0, '127.0.0.1', () => console.log(web.address().port, control.address().port)),
);
