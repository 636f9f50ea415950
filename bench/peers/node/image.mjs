// What an image is, by its first bytes.

const MOST = 1 << 20;
const PNG = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
const EXTENSIONS = { jpeg: '.jpg', png: '.png', gif: '.gif' };


// {kind, width, height}; null: more bytes are needed; undefined: no image
function look(b) {
    if (b.length < 24) {
        return null;
    }

    if (b.subarray(0, 8).equals(PNG)) {
        return { kind: 'png', width: b.readUInt32BE(16),
                 height: b.readUInt32BE(20) };
    }

    if (b.latin1Slice(0, 4) === 'GIF8') {
        return { kind: 'gif', width: b.readUInt16LE(6),
                 height: b.readUInt16LE(8) };
    }

    return b.readUInt16BE(0) === 0xffd8 ? jpeg(b) : undefined;
}


function jpeg(b) {
    for (let at = 2; at + 9 <= b.length; ) {
        const marker = b[at + 1];

        if (b[at] !== 0xff) {
            return undefined;
        }

        if (marker === 0xff) {
            at++;
            continue;
        }

        // SOF0 to SOF15 but for DHT, JPG and DAC
        if (marker >= 0xc0 && marker <= 0xcf
            && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
        {
            return { kind: 'jpeg', width: b.readUInt16BE(at + 7),
                     height: b.readUInt16BE(at + 5) };
        }

        if (marker === 0xd9 || marker === 0xda) {
            return undefined;
        }

        at += 2 + b.readUInt16BE(at + 2);
    }

    return null;
}


// Reads as much as it takes to know; null if it is no image.
export async function begin(stream) {
    const rest = stream.iterator({ destroyOnReturn: false });
    let head = Buffer.alloc(0);

    while (head.length < MOST) {
        const { value, done } = await rest.next();

        if (done) {
            return null;
        }

        head = head.length ? Buffer.concat([head, value]) : value;

        const found = look(head);

        if (found) {
            return { ...found, type: `image/${found.kind}`,
                     extension: EXTENSIONS[found.kind], head, rest };
        }

        if (found === undefined) {
            return null;
        }
    }

    return null;
}
