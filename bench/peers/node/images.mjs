// The service that somebody would write in Node in place of the module:
// uploads to S3 with a document in MongoDB, and redirects to signed URLs.
//
//     node images.mjs PORT PROCESSES DATABASE
//
// MONGODB_URI, S3_ENDPOINT, S3_REGION, S3_BUCKET, S3_ACCESS and S3_SECRET name
// what it works with.

import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Agent } from 'node:http';
import { Readable } from 'node:stream';
import {
    AbortMultipartUploadCommand, CompleteMultipartUploadCommand,
    CreateMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand,
    PutObjectCommand, S3Client, UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import busboy from 'busboy';
import Fastify from 'fastify';
import { MongoClient, ObjectId } from 'mongodb';
import { run } from './cluster.mjs';
import { begin } from './image.mjs';

const [port, processes, database] = process.argv.slice(2);
const env = process.env;
const OWNER = /^[A-Za-z0-9._@:|+=-]{1,128}$/;
const ID = /^[0-9a-f]{24}$/i;
const MAX_SIZE = 300 << 20;
const MAX_FILES = 10;
const MAX_PIXELS = 100_000_000;
// of an image whose length is not known: the least that S3 takes
const PART = 5 << 20;
const URL_LIFE = 3900;
const PROJECTION = { userId: 1, r2Key: 1, status: 1, access: 1, deletedAt: 1,
                     blocked: 1, _id: 0 };

const string = { type: 'string' };
const integer = { type: 'integer' };

function object(properties) {
    return { type: 'object', properties };
}

const CREATED = object({
    success: { type: 'boolean' },
    images: { type: 'array', items: object({
        id: string, originalName: string, url: string, urlExpiresAt: string,
        href: string, size: integer, contentType: string,
        dimensions: object({ width: integer, height: integer }),
        checksums: object({ md5: string, sha256: string }),
        expiresAt: { type: 'string', nullable: true },
    }) },
    url: string, requestId: string,
});


class Failure extends Error {
    constructor(status, code, message) {
        super(message);
        this.statusCode = status;
        this.code = code;
    }
}


function storage() {
    const client = new S3Client({
        endpoint: env.S3_ENDPOINT,
        region: env.S3_REGION,
        credentials: { accessKeyId: env.S3_ACCESS,
                       secretAccessKey: env.S3_SECRET },
        forcePathStyle: true,
        // no CRC32 in a trailer: our own sums are compared
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
        expectContinueHeader: false,
        requestHandler: {
            httpAgent: new Agent({ keepAlive: true, maxSockets: 256 }),
        },
    });

    client.middlewareStack.add((next) => (args) => {
        if (args.request.method === 'PUT') {
            args.request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
        }
        return next(args);
    }, { step: 'build', name: 'unsignedPayload' });

    return client;
}


const s3 = storage();
let images;


function owner(request) {
    const who = request.headers['x-owner'];

    return who && OWNER.test(who) && who !== '.' && who !== '..' ? who : null;
}


function headers(reply, cache) {
    reply.headers({
        'Cache-Control': cache,
        'X-Content-Type-Options': 'nosniff',
        'Referrer-Policy': 'no-referrer',
        Vary: 'Accept, Origin',
    });
}


function requestId() {
    return randomBytes(16).toString('hex');
}


function sign(key) {
    return getSignedUrl(s3, new GetObjectCommand({
        Bucket: env.S3_BUCKET, Key: key,
    }), { expiresIn: URL_LIFE });
}


function attempt(promise, code, message) {
    return promise.catch((e) => {
        if (e instanceof Failure) {
            throw e;
        }
        console.error(e.message);
        throw new Failure(503, code, message);
    });
}


function metadata(promise) {
    return attempt(promise, 'metadata_unavailable', 'database unavailable');
}


// the image's bytes, hashed while they pass
async function* hashed(one, image) {
    const add = (chunk) => {
        one.size += chunk.length;
        if (one.size > MAX_SIZE) {
            one.failed = new Failure(413, 'too_large',
                                     'the image is too large');
            throw one.failed;
        }
        one.md5.update(chunk);
        one.sha256.update(chunk);
        return chunk;
    };

    yield add(image.head);

    try {
        for await (const chunk of image.rest) {
            yield add(chunk);
        }
    } catch (e) {
        one.failed ??= new Failure(400, 'length_mismatch',
                                   'the body broke off');
        throw e;
    }
}


function put(one, body, length) {
    return s3.send(new PutObjectCommand({
        Bucket: env.S3_BUCKET, Key: one.key, Body: body,
        ContentLength: length, ContentType: one.type,
        ContentDisposition: one.disposition,
    }));
}


async function stream(one, bytes, length) {
    // chunks of bytes, no objects: 64 KiB may wait
    const body = Readable.from(bytes, { objectMode: false,
                                        highWaterMark: 64 << 10 });
    const { ETag } = await put(one, body, length);

    one.etag = ETag.replaceAll('"', '');
    one.checksums = sums(one);

    return one.checksums.md5;
}


function sums(one) {
    return { md5: one.md5.copy().digest('hex'),
             sha256: one.sha256.copy().digest('hex') };
}


// Reads a part at a time; an image of one part is sent in one request.
async function hold(one, bytes) {
    const target = { Bucket: env.S3_BUCKET, Key: one.key };
    const sent = [], all = createHash('md5');
    let id, chunks = [], held = 0;

    const part = async () => {
        const body = Buffer.concat(chunks, held);
        const sum = createHash('md5').update(body).digest();

        chunks = [];
        held = 0;

        const { ETag } = await s3.send(new UploadPartCommand({
            ...target, UploadId: id, PartNumber: sent.length + 1, Body: body,
        }));

        all.update(sum);
        sent.push({ PartNumber: sent.length + 1, ETag });
    };

    try {
        for await (let chunk of bytes) {
            while (held + chunk.length > PART) {
                const n = PART - held;

                chunks.push(chunk.subarray(0, n));
                held += n;
                chunk = chunk.subarray(n);

                id ??= (await s3.send(new CreateMultipartUploadCommand({
                    ...target, ContentType: one.type,
                    ContentDisposition: one.disposition,
                }))).UploadId;

                await part();
            }

            chunks.push(chunk);
            held += chunk.length;
        }

        one.checksums = sums(one);

        if (!id) {
            const { ETag } = await put(one, Buffer.concat(chunks, held), held);

            one.etag = ETag.replaceAll('"', '');

            return one.checksums.md5;
        }

        await part();

        const { ETag } = await s3.send(new CompleteMultipartUploadCommand({
            ...target, UploadId: id, MultipartUpload: { Parts: sent },
        }));

        one.etag = ETag.replaceAll('"', '');

    } catch (e) {
        if (id) {
            await s3.send(new AbortMultipartUploadCommand({
                ...target, UploadId: id,
            })).catch(() => {});
        }
        throw e;
    }

    return `${all.digest('hex')}-${sent.length}`;
}


// Sends an image to the storage; `done` learns of it before its first byte.
async function store(request, from, length, name, done) {
    const image = await begin(from);

    if (!image) {
        throw new Failure(415, 'unsupported_type', 'not a supported image');
    }

    if (image.width * image.height > MAX_PIXELS) {
        throw new Failure(413, 'too_many_pixels', 'too many pixels');
    }

    const filename = randomUUID() + image.extension;
    const one = {
        id: new ObjectId(), key: `images/${filename}`, name,
        type: image.type, size: 0, md5: createHash('md5'),
        sha256: createHash('sha256'),
        dimensions: { width: image.width, height: image.height },
        disposition: `inline; filename="${name.replace(/[^ -~]|["\\]/g, '_')}"`,
    };
    const now = new Date();

    await metadata(images.insertOne({
        _id: one.id, userId: owner(request), originalName: name, filename,
        contentType: one.type, size: length ?? 0, dimensions: one.dimensions,
        metadata: { uploadedAt: now, uploadedFrom: request.ip, tags: [] },
        access: { isPublic: false, sharedWith: [] },
        status: 'uploading', variants: [], r2Key: one.key, storage: 's3',
        updatedAt: now,
    }));

    done.push(one);

    const bytes = hashed(one, image);
    const want = await attempt(
        length === undefined ? hold(one, bytes) : stream(one, bytes, length),
        'storage_unavailable', 'storage unavailable',
    ).catch((e) => {
        throw one.failed ?? e;
    });

    if (one.etag !== want) {
        throw new Failure(503, 'storage_unavailable', 'storage unavailable');
    }
}


async function raw(request, done) {
    const length = request.headers['content-length'];

    if (length > MAX_SIZE) {
        throw new Failure(413, 'too_large', 'the image is too large');
    }

    await store(request, request.raw, length && Number(length),
                request.query.filename ?? '', done);
}


function form(request, done) {
    return new Promise((resolve, reject) => {
        const tags = [];
        let work = Promise.resolve();
        let broken;
        const fail = (e) => {
            broken ??= e;
            request.raw.unpipe(parser);
            request.raw.resume();
            reject(broken);
        };
        const parser = busboy({
            headers: request.headers,
            limits: { files: MAX_FILES, fileSize: MAX_SIZE + 1,
                      fieldSize: 64 << 10 },
        });

        parser.on('file', (field, file, info) => {
            // the parser waits until a file is read before it goes on
            work = work.then(() => store(request, file, undefined,
                                         info.filename ?? '', done));
            work.catch(fail);
        });
        parser.on('field', (name, value) => {
            if (name === 'tags') {
                tags.push(value);
            }
        });
        parser.on('filesLimit', () => fail(
            new Failure(413, 'too_many_files', 'too many files')));
        parser.on('error', () => fail(
            new Failure(400, 'malformed_form', 'the form is malformed')));
        // what a form holds is one unit: nothing of it is ready before its end
        parser.on('close', () => work.then(() => {
            if (done.length === 0) {
                fail(new Failure(400, 'malformed_form', 'no file'));
            }
            for (const one of done) {
                one.tags = tags;
            }
            resolve();
        }, fail));
        request.raw.on('aborted', () => parser.destroy(new Error('aborted')));
        request.raw.pipe(parser);
    });
}


async function ready(one) {
    const set = { status: 'ready', size: one.size, checksums: one.checksums,
                  etag: one.etag };

    if (one.tags?.length) {
        set['metadata.tags'] = one.tags;
    }

    const { matchedCount } = await metadata(images.updateOne(
        { _id: one.id, status: 'uploading' },
        { $set: set, $currentDate: { updatedAt: true } }));

    if (matchedCount !== 1) {
        throw new Failure(503, 'metadata_unavailable', 'database unavailable');
    }
}


// deletes an object once a majority knows that its image failed
async function undo(one) {
    try {
        await images.updateOne({ _id: one.id }, { $set: { status: 'error' } });
        await s3.send(new DeleteObjectCommand({
            Bucket: env.S3_BUCKET, Key: one.key,
        }));
    } catch (e) {
        console.error(e.message);
    }
}


async function upload(request, reply) {
    if (!owner(request)) {
        throw new Failure(401, 'unauthenticated', 'no valid owner');
    }

    const type = request.headers['content-type'] ?? '';
    const done = [];

    try {
        if (type.startsWith('multipart/form-data')) {
            await form(request, done);
        } else if (/^(image\/|application\/octet-stream)/.test(type)) {
            await raw(request, done);
        } else {
            throw new Failure(415, 'unsupported_type',
                              'not a supported image');
        }

        for (const one of done) {
            await ready(one);
        }

    } catch (e) {
        await Promise.all(done.map(undo));
        throw e;
    }

    const answers = [];

    for (const one of done) {
        const id = one.id.toHexString();

        answers.push({
            id, originalName: one.name, url: await sign(one.key),
            urlExpiresAt: new Date(Date.now() + 1000 * URL_LIFE).toISOString(),
            href: `/api/${id}`, size: one.size, contentType: one.type,
            dimensions: one.dimensions, checksums: one.checksums,
            expiresAt: null,
        });
    }

    headers(reply, 'no-store');
    reply.code(201);

    const answer = { success: true, images: answers, requestId: requestId() };

    if (answers.length === 1) {
        answer.url = answers[0].url;
        reply.header('Location', answers[0].href);
    }

    return answer;
}


function check(doc, who) {
    const access = doc?.access;

    if (!doc || doc.status === 'error' || doc.deletedAt
        || !(access.isPublic || (who && (who === String(doc.userId)
                                 || access.sharedWith.includes(who)))))
    {
        throw new Failure(404, 'not_found', 'no such image');
    }

    if (doc.blocked) {
        throw new Failure(451, 'blocked', 'the image is blocked');
    }

    if (access.expiresAt && access.expiresAt <= Date.now()) {
        throw new Failure(410, 'gone', 'the image has expired');
    }

    if (doc.status !== 'ready') {
        throw new Failure(409, 'not_ready', 'the image is not ready');
    }
}


async function view(request, reply) {
    const { id } = request.params;

    if (!ID.test(id)) {
        throw new Failure(404, 'not_found', 'no such image');
    }

    const doc = await metadata(images.findOne(
        { _id: ObjectId.createFromHexString(id) },
        { projection: PROJECTION, maxTimeMS: 3000 }));

    check(doc, owner(request));
    headers(reply, 'private, max-age=300');
    reply.code(302).header('Location', await sign(doc.r2Key));

    return reply.send();
}


async function serve() {
    const client = await new MongoClient(env.MONGODB_URI, {
        readConcern: { level: 'majority' },
        readPreference: 'primary',
        writeConcern: { w: 'majority' },
    }).connect();
    const app = Fastify({ logger: false });

    images = client.db(database).collection('images');

    // bodies are read by the handler
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', (request, payload, done) => done(null));

    app.setErrorHandler((e, request, reply) => {
        if (!(e instanceof Failure)) {
            console.error(e);
            e = new Failure(500, 'internal', 'internal error');
        }
        headers(reply, 'no-store');
        return reply.code(e.statusCode).send({
            success: false, error: { code: e.code, message: e.message },
            errors: [e.message], images: [], requestId: requestId(),
        });
    });

    app.route({ method: ['PUT', 'POST'], url: '/api/upload',
                schema: { response: { 201: CREATED } }, handler: upload });
    app.get('/api/:id/view', view);

    await app.listen({ host: '127.0.0.1', port: Number(port) });
}


await run(Number(processes), serve);
