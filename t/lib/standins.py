#!/usr/bin/env python3
"""What docs/OPERATIONS.md calls for a backup, where it is not installed.

One file under several names.  Each does what the recipes ask of it, by the
drivers that the tests have anyway, and refuses everything else:

    mongodump     --uri= --db= --out= --excludeCollection=...
    mongorestore  --uri= --drop --nsInclude='DB.*' DIRECTORY
    mongosh       --quiet URI FILE      (getSiblingDB, runCommand of JSON only)
    aws           s3 sync s3://A s3://B [--delete] [--only-show-errors]
                  s3api delete-objects --bucket B --delete file://F

mongodump's directory is the real one's: DB/NAME.bson, DB/NAME.metadata.json;
and as there, collections are read one after the other, not as of one moment.
DUMP_ORDER (names with commas) says which come first, DUMP_PAUSE how many
seconds lie between two of them.
"""

import json
import os
import re
import sys
import time

import boto3
import bson
import bson.raw_bson
import pymongo
from bson import json_util


def options(args, known, flags=()):
    """--name=value of `known` (lists), flags, and the rest"""
    got, rest = {name: [] for name in known}, []
    for a in args:
        name, _, value = a.partition("=")
        if a in flags:
            got[a] = True
        elif name in known and value:
            got[name].append(value)
        elif a.startswith("-"):
            sys.exit("%s: not played here: %s" % (sys.argv[0], a))
        else:
            rest.append(a)
    return got, rest


def mongodump(args):
    o, rest = options(args, ("--uri", "--db", "--out", "--excludeCollection"))
    assert not rest
    db = pymongo.MongoClient(o["--uri"][0])[o["--db"][0]]
    folder = os.path.join(o["--out"][0], db.name)
    os.makedirs(folder)
    first = os.environ.get("DUMP_ORDER", "").split(",")
    names = [n for n in db.list_collection_names()
             if n not in o["--excludeCollection"]]
    names.sort(key=lambda n: (first.index(n) if n in first else len(first), n))
    for name in names:
        indexes = [dict(i) for i in db[name].list_indexes()]
        with open(os.path.join(folder, name + ".metadata.json"), "w") as f:
            f.write(json_util.dumps({"indexes": indexes, "options": {},
                                     "collectionName": name}))
        raw = db.get_collection(name, codec_options=bson.CodecOptions(
            document_class=bson.raw_bson.RawBSONDocument))
        with open(os.path.join(folder, name + ".bson"), "wb") as f:
            for doc in raw.find():
                f.write(doc.raw)
        time.sleep(float(os.environ.get("DUMP_PAUSE", "0")))


def mongorestore(args):
    o, rest = options(args, ("--uri", "--nsInclude"), ("--drop",))
    name, star = o["--nsInclude"][0].split(".", 1)
    assert star == "*" and o.get("--drop") and len(rest) == 1
    db = pymongo.MongoClient(o["--uri"][0])[name]
    folder = os.path.join(rest[0], name)
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".bson"):
            continue
        coll = db[file[:-len(".bson")]]
        coll.drop()
        with open(os.path.join(folder, file), "rb") as f:
            docs = [bson.raw_bson.RawBSONDocument(d) for d in
                    split(f.read())]
        if docs:
            coll.insert_many(docs)
        with open(os.path.join(folder, coll.name + ".metadata.json")) as f:
            meta = json_util.loads(f.read())
        if meta["indexes"]:
            db.command({"createIndexes": coll.name,
                        "indexes": meta["indexes"]})


def split(data):
    at = 0
    while at < len(data):
        n = int.from_bytes(data[at:at + 4], "little")
        yield data[at:at + n]
        at += n


def mongosh(args):
    assert args[0] == "--quiet" and len(args) == 3
    with open(args[2]) as f:
        text = re.sub(r"^//.*\n", "", f.read(), flags=re.M)
    text = text.strip()
    m = re.match(r'db = db\.getSiblingDB\("(\w+)"\);', text)
    db = pymongo.MongoClient(args[1])[m.group(1)]
    text = text[m.end():]
    while text.strip():
        m = re.match(r"\s*db\.runCommand\((\{.*?\n\})\);", text, re.S)
        answer = db.command(json.loads(m.group(1)))
        if answer.get("writeErrors"):
            sys.exit("mongosh: %s" % answer["writeErrors"])
        text = text[m.end():]


def s3():
    return boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def keys(client, bucket):
    out = {}
    for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket):
        for o in page.get("Contents", []):
            out[o["Key"]] = o["Size"]
    return out


def aws(args):
    client = s3()
    if args[:2] == ["s3", "sync"]:
        o, (a, b) = options(args[2:], (), ("--delete", "--only-show-errors"))
        a, b = a[len("s3://"):], b[len("s3://"):]
        have, there = keys(client, a), keys(client, b)
        failed = 0
        for key in have:
            if there.get(key) == have[key]:
                continue
            try:
                client.copy_object(Bucket=b, Key=key,
                                   CopySource={"Bucket": a, "Key": key})
            except client.exceptions.ClientError as e:
                # deleted since the list; the real one says so and goes on
                print("copy failed: %s: %s" % (key, e), file=sys.stderr)
                failed = 1
        if o.get("--delete"):
            for key in set(there) - set(have):
                client.delete_object(Bucket=b, Key=key)
        sys.exit(failed)
    if args[:3] == ["s3api", "delete-objects", "--bucket"]:
        assert args[4] == "--delete" and args[5].startswith("file://")
        with open(args[5][len("file://"):]) as f:
            answer = client.delete_objects(Bucket=args[3],
                                           Delete=json.load(f))
        if answer.get("Errors"):
            print(json.dumps({"Errors": answer["Errors"]}))
        return
    sys.exit("aws: not played here: %s" % args)


if __name__ == "__main__":
    {"mongodump": mongodump, "mongorestore": mongorestore,
     "mongosh": mongosh, "aws": aws}[os.path.basename(sys.argv[0])](
         sys.argv[1:])
