// The list of an owner's images as a Node service answers it: fastify and the
// mongodb driver, set up as in production.  It asks the same question of the
// same index as the module does and answers with the same JSON.
//
//     node list.mjs PORT PROCESSES DATABASE      (MongoDB's URI: MONGODB_URI)

import Fastify from 'fastify';
import { MongoClient, ObjectId } from 'mongodb';
import { run } from './cluster.mjs';

const [port, processes, database] = process.argv.slice(2);
const HINT = { userId: 1, status: 1, 'metadata.uploadedAt': -1, _id: -1 };
const SORT = { 'metadata.uploadedAt': -1, _id: -1 };
const OWNER = /^[A-Za-z0-9._@:|+=-]{1,128}$/;
const HEX = /^[0-9a-f]{24}$/i;
// what an index does not know, as the module has it
const REST = {
    r2Key: { $type: 'string' },
    storage: { $type: 'string' },
    deletedAt: { $in: [null, false] },
};

const string = { type: 'string' };
const integer = { type: 'integer' };
const strings = { type: 'array', items: string };
const optional = { type: 'string', nullable: true };

function object(properties, more) {
    return { type: 'object', properties, ...more };
}

const IMAGE = object({
    id: string, _id: string, userId: string, originalName: string,
    filename: string, contentType: string, size: integer,
    dimensions: object({ width: integer, height: integer },
                       { nullable: true }),
    metadata: object({ uploadedAt: string, uploadedFrom: string,
                       tags: strings }),
    access: object({ isPublic: { type: 'boolean' }, sharedWith: strings,
                     expiresAt: optional }),
    status: string,
    checksums: object({ md5: string, sha256: string }, { nullable: true }),
    variants: strings,
});

const SCHEMA = {
    querystring: object({
        cursor: string,
        limit: { type: 'integer', minimum: 1, default: 20 },
    }),
    response: {
        200: object({
            success: { type: 'boolean' },
            images: { type: 'array', items: IMAGE },
            pagination: object({ limit: integer, next: optional }),
        }),
    },
};


function encode(doc) {
    const b = Buffer.allocUnsafe(20);

    b.set(doc._id.id);
    b.writeBigInt64BE(BigInt(doc.metadata.uploadedAt.getTime()), 12);

    return b.toString('base64url');
}


function decode(cursor) {
    const b = Buffer.from(cursor, 'base64url');

    if (b.length !== 20) {
        return null;
    }

    return { id: new ObjectId(b.subarray(0, 12)),
             date: new Date(Number(b.readBigInt64BE(12))) };
}


function filter(owner, after) {
    const first = {
        userId: HEX.test(owner) ? new ObjectId(owner) : owner,
        status: 'ready',
    };

    if (!after) {
        return { ...first, ...REST };
    }

    return {
        $or: [
            { ...first, 'metadata.uploadedAt': after.date,
              _id: { $lt: after.id } },
            { ...first, 'metadata.uploadedAt': { $lt: after.date } },
        ],
        ...REST,
    };
}


function image(doc) {
    const id = doc._id.toHexString();

    return {
        id,
        _id: id,
        userId: String(doc.userId),
        originalName: doc.originalName,
        filename: doc.filename,
        contentType: doc.contentType,
        size: doc.size,
        dimensions: doc.dimensions ?? null,
        metadata: {
            uploadedAt: doc.metadata.uploadedAt.toISOString(),
            uploadedFrom: doc.metadata.uploadedFrom,
            tags: doc.metadata.tags,
        },
        access: {
            isPublic: doc.access.isPublic,
            sharedWith: doc.access.sharedWith,
            expiresAt: doc.access.expiresAt?.toISOString() ?? null,
        },
        status: doc.status,
        checksums: doc.checksums ?? null,
        variants: [],
    };
}


async function serve() {
    const client = await new MongoClient(process.env.MONGODB_URI, {
        readConcern: { level: 'majority' },
        readPreference: 'primary',
    }).connect();
    const images = client.db(database).collection('images');
    const app = Fastify({ logger: false });

    app.get('/api/user', { schema: SCHEMA }, async (request, reply) => {
        const owner = request.headers['x-owner'];
        const { cursor } = request.query;
        const limit = Math.min(request.query.limit, 100);

        if (!owner || !OWNER.test(owner)) {
            return reply.code(401).send({ success: false });
        }

        const after = cursor ? decode(cursor) : null;

        if (cursor && !after) {
            return reply.code(400).send({ success: false });
        }

        const found = await images.find(filter(owner, after), {
            hint: HINT, sort: SORT, limit: limit + 1, maxTimeMS: 2625,
        }).toArray();

        const more = found.length > limit;
        const docs = more ? found.slice(0, limit) : found;

        reply.headers({
            'Cache-Control': 'no-store',
            'X-Content-Type-Options': 'nosniff',
            'Referrer-Policy': 'no-referrer',
            Vary: 'Accept, Origin',
        });

        return {
            success: true,
            images: docs.map(image),
            pagination: { limit, next: more ? encode(docs.at(-1)) : null },
        };
    });

    await app.listen({ host: '127.0.0.1', port: Number(port) });
}


await run(Number(processes), serve);
