"""What schemathesis needs to know of image_vault beyond docs/openapi.yaml.

OPENAPI_IDS names a file with ids of images: "read", one of each state, which
nothing changes, and "change", which take the place of most ids that are made
up; which one, the request itself decides, so that the same seed gives the same
requests.  OPENAPI_VIEWER: who asks.  What was
answered is written to OPENAPI_SEEN, one line each.
"""

import base64
import hashlib
import json
import os
import re
import struct
import zlib
from urllib.parse import urlsplit

import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis.transport.serialization import Binary

with open(os.environ["OPENAPI_IDS"], encoding="utf-8") as file:
    IDS = json.load(file)
    READ, CHANGE = IDS["read"], IDS["change"]

VIEWER = os.environ["OPENAPI_VIEWER"]
SEEN = open(os.environ["OPENAPI_SEEN"], "a", encoding="utf-8", buffering=1)

METHODS = ("get", "head", "post", "put", "patch", "delete")
ID = re.compile(r"^[0-9A-Fa-f]{24}$")

# why a request that fits its schema may be refused all the same: what no schema
# can say
BEYOND = re.compile(
    r"cursor and page exclude each other|cursor is no.* of this (list|report)"
    r"|storage must be the name of|age must be a time|prefix must be the beginning"
    r"|must have at least one value|must be up to 1024 bytes"
    r"|must be a text of 1 to 500 bytes|larger than allowed")

JSON_HEADERS = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "vary": "Accept, Origin",
}


def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(width, noise):
    head = struct.pack(">IIBBBBB", width, 1, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", noise)
            + chunk(b"IEND", b""))


TICKETS = []
SENT = png(7, b"sent to the storage itself")
PNG = st.builds(png, st.integers(1, 20), st.binary(min_size=1, max_size=64))
IMAGES = st.one_of(
    PNG, PNG, PNG,
    PNG.map(lambda b: b[:-5]),              # broken off
    PNG.map(lambda b: b + b"\0"),           # followed by something
    PNG.map(lambda b: b[:40] + b"\xff" + b[41:]),
    st.builds(png, st.just(1), st.just(b"\0" * 70000)),
    st.binary(max_size=64),
)

schemathesis.openapi.media_type("image/*", IMAGES)
schemathesis.openapi.media_type("application/octet-stream", IMAGES)
schemathesis.openapi.format("binary", IMAGES)
schemathesis.openapi.format("future", st.sampled_from([
    "2099-12-31T23:59:59Z", "2100-02-28T12:00:00.5+05:30", "2101-01-01",
    "Fri Dec 31 2100 10:00:00 GMT+0100 (Central European Standard Time)",
    "2100-06-01T00:00:00.000Z",
]))


# What the document leaves open to later members is closed here: an answer has
# what the document names, and nothing else.

def close(schema):
    if isinstance(schema, list):
        for item in schema:
            close(item)
    elif isinstance(schema, dict):
        if "properties" in schema and "type" in schema:
            schema.setdefault("additionalProperties", False)
        for item in schema.values():
            close(item)


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    schemas = raw_schema["components"]["schemas"]
    for name, schema in schemas.items():
        if name != "UploadForm":
            close(schema)

    for schema in (schemas["FutureDate"],
                   schemas["ImagePatch"]["properties"]["expiresAt"],
                   schemas["DirectRequest"]["properties"]["expiresAt"]):
        schema["format"] = "future"

    # they are asked for in any case, and first
    raw_schema["components"]["parameters"]["Id"]["examples"] = {
        id: {"value": id} for id in READ}


def digest(*seed):
    return hashlib.sha256(repr(seed).encode()).digest()


def pick(*seed):
    n = int.from_bytes(digest(*seed)[:4], "big")
    # one in eight stays as it is
    return None if n % 8 == 0 else CHANGE[n % len(CHANGE)]


def real(value, *seed):
    if isinstance(value, str) and ID.match(value):
        return pick(value, *seed) or value
    return value


def plausible(case, body, tested):
    """An upload with several things wrong would only ever test the first."""
    for name in list(case.headers or {}):
        if name == tested:
            continue
        if name.lower() == "content-md5":
            case.headers[name] = encoded("md5", body)
        elif name.lower() in ("content-digest", "repr-digest"):
            case.headers[name] = f"sha-256=:{encoded('sha256', body)}:"
        elif name.lower() == "idempotency-key":
            # the same request has the same
            case.headers[name] = digest(case.method, case.query, body).hex()
            continue
        else:
            continue
        if not isinstance(body, bytes):
            # of a form, whose bytes are made later
            del case.headers[name]

    # a bad file beside the good one
    files = body.get("photo") if isinstance(body, dict) else None
    if isinstance(files, list) and files and digest(body)[0] % 4 == 0:
        if isinstance(files[0], Binary):
            files.append(Binary(SENT[:-1]))

    # as field or as argument, not both
    for name in ("userId", "isPublic", "expiresAt"):
        if isinstance(body, dict) and name in body and name in case.query:
            if name != tested:
                del case.query[name]


def encoded(kind, body):
    body = body if isinstance(body, bytes) else b""
    return base64.b64encode(hashlib.new(kind, body).digest()).decode()


def whole(value):
    """48.0 is a whole number to schemas, and none to image_vault."""
    if isinstance(value, dict):
        return {k: whole(v) for k, v in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def tested_part(case):
    """Which part of a request is to be refused, if that is known."""
    return getattr(case.meta.phase.data, "parameter", None)


def place(case, seed):
    """Ids of images and users that there are, in the path."""
    path = case.path_parameters or {}

    if "id" in path and not (path["id"] in READ
                             and case.method in ("GET", "HEAD")):
        path["id"] = real(path["id"], seed)
        if path["id"] in READ:
            path["id"] = CHANGE[0]

    if case.path == "/{id}/complete" and TICKETS:
        path["id"] = TICKETS.pop()

    # a limit set for alice would be in the way of the uploads
    if path.get("userId") and (path["userId"] == "alice" or pick(seed, "bob")):
        path["userId"] = "bob"


def ask_for_images(body, seed):
    if "imageId" in body:
        body["imageId"] = real(body["imageId"], seed)

    if isinstance(body.get("ids"), list):
        body["ids"] = [pick(seed, i) or v if isinstance(v, str) else v
                       for i, v in enumerate(body["ids"])]


@schemathesis.hook
def before_call(ctx, case, kwargs):
    seed = (case.method, case.path, case.query, case.body)
    positive = case.meta is None or case.meta.generation.mode.is_positive
    tested = None if positive else tested_part(case)
    query = case.query or {}

    place(case, seed)

    # one of the two, and always that which is to be refused
    if "page" in query and "cursor" in query and pick(seed):
        if positive or tested:
            del query["cursor" if tested == "page" else "page"]

    if positive and case.media_type == "application/json":
        case.body = whole(case.body)

    if isinstance(case.body, dict):
        ask_for_images(case.body, seed)

    if case.path == "/direct-upload" and positive and pick(seed, "size"):
        case.body["size"] = len(SENT)
        case.body["contentType"] = "image/png"

    if positive and pick(seed, "user"):
        for part in (query, case.body):
            if isinstance(part, dict) and part.get("userId"):
                part["userId"] = "alice" if VIEWER == "alice" else "carol"

    if case.path == "/upload" and pick(seed, "plausible"):
        plausible(case, case.body, tested)


@schemathesis.hook
def after_call(ctx, case, response):
    print(case.operation.method.upper(), case.operation.path,
          response.request.method, response.status_code, file=SEEN)

    if case.path == "/direct-upload" and response.status_code == 201:
        ticket = response.json()
        requests.request(ticket["method"], ticket["url"], data=SENT,
                         headers=ticket["headers"], timeout=20)
        TICKETS.append(ticket["id"])


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    kind = type(failure).__name__

    # of an image and its digests no schema can say what is wrong, and what is
    # not known in a form or query is passed over
    if case.path == "/upload" and kind in ("RejectedPositiveData",
                                           "AcceptedNegativeData"):
        return False

    if kind == "RejectedPositiveData":
        # HEAD does not tell why
        if response.request.method == "HEAD":
            return False
        return not BEYOND.search(response.json()["error"]["message"])

    if kind == "AcceptedNegativeData":
        # of what is in a list twice, or empty, one or none counts
        if isinstance(case.body, dict):
            for name in ("tags", "users", "sharedWith"):
                items = case.body.get(name)
                if isinstance(items, list) and (
                        "" in items or len(set(map(str, items))) < len(items)):
                    return False
        # an empty argument counts as absent
        return not re.search(r"=(?:&|$)", urlsplit(response.request.url).query)

    return True


@schemathesis.check
def every_answer(ctx, response, case):
    """What holds of any answer, also of methods that the document lacks."""
    headers = {name: values[0] for name, values in response.headers.items()}
    method = response.request.method

    for name, want in JSON_HEADERS.items():
        if name in ("content-type", "cache-control") and (
                response.status_code in (302, 304)):
            continue
        assert headers.get(name) == want, f"{name}: {headers.get(name)}"

    if VIEWER == "nobody" and method not in ("GET", "HEAD"):
        assert response.status_code == 401

    if response.status_code == 405:
        known = {m.lower() for m in case.operation.schema[case.operation.path]}
        want = [m.upper() for m in METHODS if m in known]
        assert headers.get("allow") == ", ".join(want)
        assert method not in want
    else:
        assert "allow" not in headers

    if response.status_code >= 400 and method != "HEAD":
        body = response.json()
        assert body["success"] is False and body["images"] == []
        assert body["error"]["message"]
