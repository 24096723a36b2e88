// SPDX-License-Identifier: MIT
// Serves test.Grpc for davit's client: node server.js SOCKET; says "ready".
'use strict';

const grpc = require('@grpc/grpc-js');
const { FAIL_TEXT, number, readNumber, unknown, fileMessage, numberOf,
	service, options } = require('./wire.js');

const { status } = grpc;
const none = Buffer.alloc(0);
const address = `unix:${process.argv[2]}`;
let server;
let hanging = 0, ended = 0; // of Hang
let waiting = null;
let slow = null;

function tellEnded(done) {
	const n = ended;
	ended = 0;
	done(null, number(n));
}

function hangEnded() {
	ended++;
	if (--hanging > 0 || !waiting)
		return;
	const answer = waiting;
	waiting = null;
	tellEnded(answer);
}

async function stream(call) {
	const n = readNumber(call.request);
	for (let i = 0; i < n; i++)
		if (!call.write(fileMessage(i)))
			await new Promise((go) => call.once('drain', go));
}

function serve(ready) {
	server = new grpc.Server(options);
	server.addService(service, methods);
	server.bindAsync(address, grpc.ServerCredentials.createInsecure(),
			 (err) => {
		if (err)
			throw err;
		ready();
	});
}

const methods = {
	Unary: (call, done) => done(null, number(readNumber(call.request))),
	Empty: (call, done) => done(null, none),
	Fail: (call, done) =>
		done({ code: status.NOT_FOUND, details: FAIL_TEXT }),
	Hang: (call) => {
		hanging++;
		if (call.cancelled)
			hangEnded();
		else
			call.on('cancelled', hangEnded);
	},
	WaitCancel: (call, done) => {
		if (hanging === 0)
			tellEnded(done);
		else
			waiting = done;
	},
	Big: (call, done) => done(null, unknown(readNumber(call.request))),
	Meta: (call, done) =>
		done(null, number(Number(call.metadata.get('x-number')[0]))),
	Bin: (call, done) =>
		done(null, number(numberOf(call.metadata.get('x-data-bin')[0]))),
	Stream: async (call) => {
		await stream(call);
		call.end();
	},
	StreamFail: async (call) => {
		await stream(call);
		call.emit('error', { code: status.ABORTED, details: 'enough' });
	},
	// The answer goes first: what is in flight is finished.
	Drain: (call, done) => {
		done(null, none);
		server.drain(address, 5000);
	},
	// What is in flight is finished; the path is free at once.
	Restart: (call, done) => {
		server.tryShutdown(() => {});
		serve(() => done(null, none));
	},
	Slow: (call, done) => {
		slow = () => done(null, number(readNumber(call.request)));
	},
	Go: (call, done) => {
		slow();
		done(null, none);
	},
	Quit: (call, done) => {
		done(null, none);
		server.tryShutdown(() => process.exit(0));
	},
};

serve(() => console.log('ready'));
