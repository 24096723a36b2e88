// SPDX-License-Identifier: MIT
// Calls davit's server: node client.js SOCKET SCENE [N]
'use strict';

const assert = require('assert');
const grpc = require('@grpc/grpc-js');
const { MIB, FAIL_TEXT, PATH_LEN, number, readNumber, unknown, readConn,
	numberOf, service, options } = require('./wire.js');

const [socket, scene, count] = process.argv.slice(2);
const Client = grpc.makeGenericClientConstructor(service, 'test.Grpc');
const client = new Client(`unix:${socket}`, grpc.credentials.createInsecure(),
			  options);
const { status } = grpc;
const none = Buffer.alloc(0);

// A promise of the answer; `start` gets the call itself.
function call(name, data = none, { ms = 20000, meta, start } = {}) {
	return new Promise((resolve, reject) => {
		const c = client[name](
			data, meta || new grpc.Metadata(),
			ms ? { deadline: Date.now() + ms } : {},
			(err, answer) => err ? reject(err) : resolve(answer));
		if (start)
			start(c);
	});
}

async function failure(name, data, opts) {
	try {
		await call(name, data, opts);
	} catch (err) {
		return err;
	}
	throw new Error(`${name} did not fail`);
}

// The messages of a stream, and how it ended.
function readAll(stream) {
	return new Promise((resolve) => {
		const got = { n: 0, order: true, code: status.OK };
		stream.on('data', (msg) => {
			got.order &&= readConn(msg) === got.n++ &&
				      msg.length > PATH_LEN;
		});
		stream.on('error', (err) => {
			got.code = err.code;
			resolve(got);
		});
		stream.on('end', () => resolve(got));
		stream.resume();
	});
}

// Whether a Hang got there, and has ended there.
async function endedThere() {
	return readNumber(await call('WaitCancel')) > 0;
}

async function unary() {
	assert.equal(readNumber(await call('Unary', number(1234))), 1234);
}

const scenes = {
	unary,
	async empty() {
		assert.equal((await call('Empty')).length, 0);
	},
	async fail() {
		const err = await failure('Fail');
		assert.equal(err.code, status.NOT_FOUND);
		assert.equal(err.details, FAIL_TEXT);
		const text = Buffer.from(FAIL_TEXT);
		const [details] = err.metadata.get('grpc-status-details-bin');
		assert.deepEqual(details, Buffer.concat([
			Buffer.from([8, 5, 0x12, text.length]), text]));
		assert.deepEqual(err.metadata.get('davit-hint'),
				 ['look elsewhere']);
	},
	async unknown() {
		const err = await failure('Nothing');
		assert.equal(err.code, status.UNIMPLEMENTED);
		await unary();
	},
	async malformed() {
		const err = await failure('Unary', Buffer.from([0x0f, 0xff]));
		assert.equal(err.code, status.INVALID_ARGUMENT);
		await unary();
	},
	async deadline() {
		await unary();
		// Where all is slow the end may come before the server began.
		for (let ms = 50; ms < 20000; ms *= 2) {
			const err = await failure('Hang', none, { ms });
			assert.equal(err.code, status.DEADLINE_EXCEEDED);
			if (await endedThere())
				return;
		}
		assert.fail('the server never saw the end');
	},
	async cancel() {
		for (let i = 0; i < 50; i++) {
			let hang;
			const end = failure('Hang', none, {
				ms: 0, start: (c) => { hang = c; } });
			await unary();
			hang.cancel();
			assert.equal((await end).code, status.CANCELLED);
			if (await endedThere())
				return;
		}
		assert.fail('the server never saw the end');
	},
	// The reader does not read until the server could send no more.
	async stream() {
		const slow = client.Stream(number(10000));
		slow.pause();
		await call('WaitStall');
		assert.deepEqual(await readAll(slow),
				 { n: 10000, order: true, code: status.OK });
		assert.deepEqual(await readAll(client.Stream(number(0))),
				 { n: 0, order: true, code: status.OK });
		assert.deepEqual(await readAll(client.StreamFail(number(3))),
				 { n: 3, order: true, code: status.ABORTED });
	},
	async stream_cancel() {
		const stream = client.Stream(number(100000));
		await new Promise((resolve) => stream.once('data', resolve));
		const end = new Promise((resolve) => stream.on('error', resolve));
		stream.cancel();
		stream.resume();
		assert.equal((await end).code, status.CANCELLED);
		await unary();
	},
	async big() {
		const data = await call('Big', Buffer.concat(
			[number(3 * MIB), unknown(3 * MIB)]));
		assert.equal(data.length, 3 * MIB);
	},
	async toobig() {
		let err = await failure('Big', Buffer.concat(
			[number(1), unknown(5 * MIB)]));
		assert.equal(err.code, status.RESOURCE_EXHAUSTED);
		err = await failure('Big', number(5 * MIB));
		assert.equal(err.code, status.RESOURCE_EXHAUSTED);
		await unary();
	},
	async many() {
		for (let round = 0; round < 10; round++) {
			const calls = [];
			for (let i = 1; i <= 100; i++)
				calls.push(call('Unary', number(i)));
			const sum = (await Promise.all(calls))
				.reduce((a, b) => a + readNumber(b), 0);
			assert.equal(sum, 5050);
		}
	},
	async many_big() {
		const data = Buffer.concat([number(MIB), unknown(MIB)]);
		const calls = [];
		for (let i = 0; i < 50; i++)
			calls.push(call('Big', data, { ms: 60000 }));
		for (const answer of await Promise.all(calls))
			assert.equal(answer.length, MIB);
	},
	async serial() {
		for (let i = 1; i <= 1000; i++)
			assert.equal(readNumber(await call('Unary', number(i))),
				     i);
	},
	async metadata() {
		const meta = new grpc.Metadata();
		meta.set('x-text', 'some text');
		meta.set('x-data-bin', Buffer.from([0, 1, 254, 255]));
		const answer = await call('Unary', number(7), { meta });
		assert.equal(readNumber(answer), 7);
	},
	// Every rest of base64; several values are one field, or several.
	async binary() {
		const bytes = Buffer.from(Array.from({ length: 256 },
						     (_, i) => 255 - i));
		for (let len = 1; len <= 256; len += len < 8 ? 1 : 31) {
			const meta = new grpc.Metadata();
			const data = bytes.subarray(0, len);
			meta.add('x-data-bin', data);
			meta.add('x-data-bin', Buffer.from('another'));
			meta.set('x-text', 'some text');
			assert.equal(readNumber(await call('Bin', none, { meta })),
				     numberOf(data));
		}
	},
	async goaway() {
		await unary();
		await call('Drain');
		await unary();
	},
	async bench() {
		const n = Number(count);
		const rate = (start) =>
			Math.round(n * 1000 / (performance.now() - start));
		await unary();
		let start = performance.now();
		for (let i = 0; i < n; i++)
			await call('Unary', number(1));
		console.log(`serial: ${rate(start)} calls/s`);
		start = performance.now();
		await Promise.all(Array.from({ length: 32 }, async () => {
			for (let i = 0; i < n / 32; i++)
				await call('Unary', number(1));
		}));
		console.log(`32 at a time: ${rate(start)} calls/s`);
	},
	async quit() {
		await call('Quit');
	},
};

scenes[scene]().then(() => {
	client.close();
	console.log('ok');
}, (err) => {
	console.error(err);
	process.exit(1);
});
