#!/usr/bin/env python3
"""What the databases and buckets of a test run really hold, over HTTP.

The tests are written in Perl; the drivers of MongoDB and S3 are not.  This
small server on the loopback interface gives them pymongo and boto3: one JSON
request, one JSON answer.  It judges nothing.

    POST /find    {db, collection, filter}               -> [documents]
    POST /insert  {db, collection, documents}            -> {inserted}
    POST /update  {db, collection, filter, update}       -> {modified}
    POST /wait    {db, collection, filter, count, seconds} -> {count, waited}
    POST /command {db, command}                          -> the answer
    POST /drop    {db}                                   -> {}
    POST /objects {bucket, prefix}                       -> [{key, size, etag}]
    POST /object  {bucket, key}     -> {size, sha256, type, disposition} or null
    POST /put     {bucket, key, text}                    -> {etag}
    POST /uploads {bucket}                               -> open multipart uploads
    POST /bucket  {bucket}                               -> {} (made if absent)
    POST /empty   {bucket}      -> {} (objects and open uploads are gone)

Documents travel as MongoDB Extended JSON (relaxed).
"""

import argparse
import hashlib
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import botocore.config
import botocore.exceptions
import pymongo
from bson import json_util

OPTIONS = json_util.RELAXED_JSON_OPTIONS


class Inspector:
    def __init__(self):
        self.mongo = pymongo.MongoClient(
            os.environ["TEST_MONGODB_URI"], serverSelectionTimeoutMS=5000)
        self.s3 = None
        if os.environ.get("TEST_S3_ENDPOINT"):
            self.s3 = boto3.client(
                "s3",
                endpoint_url=os.environ["TEST_S3_ENDPOINT"],
                region_name=os.environ["TEST_S3_REGION"],
                aws_access_key_id=os.environ["TEST_S3_ACCESS"],
                aws_secret_access_key=os.environ["TEST_S3_SECRET"],
                config=botocore.config.Config(
                    s3={"addressing_style": "path"},
                    retries={"max_attempts": 2}))

    def collection(self, a):
        return self.mongo[a["db"]][a.get("collection", "images")]

    def find(self, a):
        return list(self.collection(a).find(a.get("filter", {})))

    def insert(self, a):
        done = self.collection(a).insert_many(a["documents"])
        return {"inserted": len(done.inserted_ids)}

    def update(self, a):
        done = self.collection(a).update_many(a["filter"], a["update"])
        return {"modified": done.modified_count}

    def wait(self, a):
        began = time.time()
        while True:
            count = self.collection(a).count_documents(a.get("filter", {}))
            waited = time.time() - began
            if count == a["count"] or waited > a.get("seconds", 10):
                return {"count": count, "waited": waited}
            time.sleep(0.05)

    def command(self, a):
        return self.mongo[a["db"]].command(a["command"])

    def drop(self, a):
        self.mongo.drop_database(a["db"])
        return {}

    def objects(self, a):
        out = []
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=a["bucket"], Prefix=a.get("prefix", ""))
        for page in pages:
            for o in page.get("Contents", []):
                out.append({"key": o["Key"], "size": o["Size"],
                            "etag": o["ETag"].strip('"')})
        return out

    def object(self, a):
        try:
            o = self.s3.get_object(Bucket=a["bucket"], Key=a["key"])
        except botocore.exceptions.ClientError as e:
            if e.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        body = o["Body"].read()
        return {"size": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
                "type": o.get("ContentType"),
                "disposition": o.get("ContentDisposition"),
                "cache": o.get("CacheControl")}

    def put(self, a):
        o = self.s3.put_object(Bucket=a["bucket"], Key=a["key"],
                               Body=a["text"].encode())
        return {"etag": o["ETag"]}

    def uploads(self, a):
        o = self.s3.list_multipart_uploads(Bucket=a["bucket"])
        return [u["Key"] for u in o.get("Uploads", [])]

    def empty(self, a):
        for o in self.objects(a):
            self.s3.delete_object(Bucket=a["bucket"], Key=o["key"])
        for u in self.s3.list_multipart_uploads(
                Bucket=a["bucket"]).get("Uploads", []):
            self.s3.abort_multipart_upload(
                Bucket=a["bucket"], Key=u["Key"], UploadId=u["UploadId"])
        return {}

    def bucket(self, a):
        try:
            self.s3.head_bucket(Bucket=a["bucket"])
        except botocore.exceptions.ClientError:
            self.s3.create_bucket(Bucket=a["bucket"])
        return {}


class Handler(BaseHTTPRequestHandler):
    inspector = None
    verbs = ("find", "insert", "update", "wait", "command", "drop", "objects",
             "object", "put", "uploads", "bucket", "empty")
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        verb = self.path.strip("/")
        try:
            if verb not in self.verbs:
                raise ValueError("no such verb: " + verb)
            args = json_util.loads(body.decode(), json_options=OPTIONS)
            answer = getattr(self.inspector, verb)(args)
            status = 200
        except Exception as e:          # told to the test, which fails
            answer = {"error": "%s: %s" % (type(e).__name__, e)}
            status = 500
        text = json_util.dumps(answer, json_options=OPTIONS).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--port", type=int, required=True)
    args = p.parse_args()
    Handler.inspector = Inspector()
    if Handler.inspector.s3 is not None and os.environ.get("TEST_S3_BUCKET"):
        Handler.inspector.bucket({"bucket": os.environ["TEST_S3_BUCKET"]})
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
