// SPDX-License-Identifier: MIT
// The messages of test.Grpc by hand: one number in a field, bytes elsewhere.
'use strict';

const MIB = 1 << 20;
const SERVICE = 'test.Grpc';
const FAIL_TEXT = 'grüße: 100% of it\nis gone';
const PATH_LEN = 1000;

function varint(v) {
	const out = [];
	for (; v > 0x7f; v = Math.floor(v / 128))
		out.push((v % 128) | 0x80);
	out.push(v);
	return Buffer.from(out);
}

function number(v, tag = 0x08) {
	return v ? Buffer.concat([Buffer.from([tag]), varint(v)]) :
		   Buffer.alloc(0);
}

function readNumber(data, tag = 0x08) {
	let v = 0, scale = 1;
	if (data.length === 0 || data[0] !== tag)
		return 0;
	for (const c of data.subarray(1)) {
		v += (c & 0x7f) * scale;
		scale *= 128;
		if (!(c & 0x80))
			break;
	}
	return v;
}

// Field 15, `length` bytes in all.
function unknown(length) {
	for (let head = 2; head < 8; head++) {
		const size = varint(length - head);
		if (1 + size.length === head)
			return Buffer.concat([Buffer.from([0x7a]), size,
					      Buffer.alloc(length - head)]);
	}
	throw new Error(`no field of ${length} bytes`);
}

// FileRequest{conn: i, file_path: "xxx..."}
function fileMessage(i) {
	return Buffer.concat([number(i, 0x10), Buffer.from([0x1a]),
			      varint(PATH_LEN), Buffer.alloc(PATH_LEN, 'x')]);
}

// A number made of bytes: the sum of each times its place, from 1.
function numberOf(data) {
	return data.reduce((sum, byte, i) => sum + byte * (i + 1), 0);
}

const readConn = (data) => readNumber(data, 0x10);

function methods(names, streams) {
	const all = {};
	for (const name of names.concat(streams))
		all[name] = {
			path: `/${SERVICE}/${name}`,
			requestStream: false,
			responseStream: streams.includes(name),
			requestSerialize: (x) => x,
			requestDeserialize: (x) => x,
			responseSerialize: (x) => x,
			responseDeserialize: (x) => x,
		};
	return all;
}

const service = methods(
	['Unary', 'Empty', 'Fail', 'Hang', 'WaitCancel', 'WaitStall', 'Big',
	 'Meta', 'Bin', 'Quit', 'Drain', 'Restart', 'Slow', 'Go', 'Nothing'],
	['Stream', 'StreamFail']);
const options = {
	'grpc.max_send_message_length': 8 * MIB,
	'grpc.max_receive_message_length': 8 * MIB,
};

module.exports = { MIB, FAIL_TEXT, PATH_LEN, number, readNumber, unknown,
		   fileMessage, readConn, numberOf, service, options };
