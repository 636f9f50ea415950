// busboy's verdicts on forms, for util/judge-forms: arguments as in form_cli.c.

'use strict';

const busboy = require('busboy');
const fs = require('fs');
const path = require('path');

const hex = (s) => Buffer.from(s, 'utf8').toString('hex');

function judge(base) {
  return new Promise((resolve) => {
    const parts = [];
    const end = (word) => resolve(
      [path.basename(base)].concat(parts.map((p) => p()), word).join(' '));
    let bb;

    try {
      bb = busboy({
        headers: { 'content-type': fs.readFileSync(`${base}.type`, 'utf8') },
        defParamCharset: 'utf8',
        preservePath: true,
      });
    } catch (e) {
      return end('refused');
    }

    bb.on('file', (name, stream, info) => {
      const data = [];
      parts.push(() => `${hex(name || '')},f${hex(info.filename || '')},`
                       + Buffer.concat(data).toString('hex'));
      stream.on('data', (d) => data.push(d));
      stream.on('error', () => {});
    });
    bb.on('field', (name, value) => {
      parts.push(() => `${hex(name || '')},,${hex(value)}`);
    });
    bb.on('error', () => end('refused'));
    bb.on('close', () => end('ok'));
    bb.end(fs.readFileSync(`${base}.body`));
    return undefined;
  });
}

(async () => {
  for (const base of process.argv.slice(2)) {
    console.log(await judge(base));
  }
})();
