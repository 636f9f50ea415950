"""What the parts of the benchmark stand on: images, one nginx, the load
generator, the S3 server, and what a worker spends."""

import glob
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import boto3
import botocore.config

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TICK = os.sysconf("SC_CLK_TCK")
GB = 1e9
MIB = 2 ** 20
# of image_vault_buffers, in MiB
BUFFERS = 128


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    """Returns when something listens there."""
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
    raise OSError(f"nothing listens on port {port}")


def children(pid):
    """Those of a process that is about to have some."""
    for _ in range(200):
        out = subprocess.run(["pgrep", "-P", str(pid)],
                             capture_output=True, text=True, check=False)
        if out.stdout:
            return [int(x) for x in out.stdout.split()]
        time.sleep(0.05)
    raise OSError(f"process {pid} has no children")


def cpu_of(pid):
    """CPU seconds that a process has spent with all its threads."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def anonymous(pid):
    """Bytes of memory that no file backs."""
    with open(f"/proc/{pid}/status") as f:
        return 1024 * int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


def png(size):
    """A whole PNG of exactly `size` bytes; its pixels are noise."""
    def chunk(kind, data):
        return (len(data).to_bytes(4, "big") + kind + data
                + zlib.crc32(kind + data).to_bytes(4, "big"))
    out = [b"\x89PNG\r\n\x1a\n",
           chunk(b"IHDR", (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
                 + bytes([8, 2, 0, 0, 0]))]
    rest = size - sum(map(len, out)) - 12
    noise = os.urandom(65536)
    while rest:
        n = min(65536, rest - 12)
        if 0 < rest - 12 - n < 13:
            n -= 13
        out.append(chunk(b"IDAT", noise[:n]))
        rest -= n + 12
    return b"".join(out + [chunk(b"IEND", b"")])


def jpeg(size):
    """A whole JPEG of exactly `size` bytes: what photos are."""
    def seg(marker, data):
        return bytes([0xFF, marker]) + (2 + len(data)).to_bytes(2, "big") + data
    head = (b"\xff\xd8" + seg(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
            + seg(0xDB, b"\0" + b"\1" * 64)
            + seg(0xC0, bytes([8]) + (48).to_bytes(2, "big")
                  + (64).to_bytes(2, "big") + b"\1\1\x11\0")
            + seg(0xC4, b"\0\1" + b"\0" * 15 + b"\0")
            + seg(0xDA, b"\1\1\0\0\x3f\0"))
    n = size - len(head) - 2
    # entropy-coded data: every FF is stuffed, as an encoder does
    noise = os.urandom(1 << 20).replace(b"\xff", b"\xff\0")[:1 << 20]
    data = (noise * (n // len(noise) + 1))[:n]
    if data.endswith(b"\xff"):
        data = data[:-1] + b"\0"
    # the seam between two copies may split a stuffed FF
    if noise.endswith(b"\xff"):
        data = data.replace(b"\xff" + noise[:1], b"\xfe" + noise[:1])
    return head + data + b"\xff\xd9"


IMAGES = {"jpeg": jpeg, "png": png}


class Service:
    """What listens on a port, and the processes that do its work."""

    def __init__(self):
        self.port = free_port()
        self.pids = []

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def cpu(self):
        return sum(map(cpu_of, self.pids))

    def settle(self):
        """Waits until it is idle: nothing of a run goes on."""
        quiet, last = 0, self.cpu()
        while quiet < 5:
            time.sleep(0.1)
            now = self.cpu()
            quiet = quiet + 1 if now - last < 0.01 else 0
            last = now

    def memory(self):
        """Memory of its own: what it has allocated."""
        return sum(map(anonymous, self.pids))


class Peer(Service):
    """A service of bench/peers: a command that ends with TERM."""

    def __init__(self, name, command, processes=1):
        super().__init__()
        e = os.environ
        self.process = subprocess.Popen(
            [x.format(port=self.port) for x in command],
            env={**e, "NODE_ENV": "production",
                 "MONGODB_URI": e["TEST_MONGODB_URI"],
                 **{f"S3_{x}": e[f"TEST_S3_{x}"] for x in (
                     "ENDPOINT", "REGION", "BUCKET", "ACCESS", "SECRET")}})
        self.pids = [self.process.pid]
        try:
            wait_port(self.port)
        except OSError:
            self.stop()
            sys.exit(f"the {name} service did not start")
        if processes > 1:
            self.pids += children(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def node(folder, program, processes, database):
    """A service of bench/peers/node; packages are looked for beside it."""
    here = tempfile.mkdtemp(dir=folder)
    os.symlink(os.path.join(os.environ["BENCH_NODE_SERVICE"], "node_modules"),
               os.path.join(here, "node_modules"))
    for name in glob.glob(os.path.join(HERE, "peers/node/*.mjs")):
        shutil.copy(name, here)
    return Peer("Node", [os.environ["BENCH_NODE"], os.path.join(here, program),
                         "{port}", str(processes), database], processes)


def vault(read, write, owner, zone):
    """What nginx.conf has of the module: at the top, for all servers, and in
    one of them."""
    e = os.environ
    module = e.get("TEST_MODULE",
                   f"{ROOT}/build/ngx_http_image_vault_module.so")
    return f"""
load_module {module};
thread_pool iv_read threads={read};
thread_pool iv_write threads={write};
thread_pool iv_hash threads=2;
""", f"""
    image_vault_zone vault:{zone};
    image_vault_mongodb {e["TEST_MONGODB_URI"]} database=iv_bench;
    image_vault_thread_pools read=iv_read write=iv_write hash=iv_hash;
    image_vault_owner {owner};
    image_vault_max_size 300m;
    image_vault_buffers {BUFFERS}m;
    image_vault_storage s3 {{
        endpoint {e["TEST_S3_ENDPOINT"]};
        region {e["TEST_S3_REGION"]};
        bucket {e["TEST_S3_BUCKET"]};
        credentials static {e["TEST_S3_ACCESS"]} {e["TEST_S3_SECRET"]};
    }}
""", """
        location /api { image_vault_api s3; }
        location /uncached {
            image_vault_cache_valid 0;
            image_vault_api s3;
        }
"""


class Nginx(Service):
    """One nginx: the module's locations, if it has them, and plain ones."""

    def __init__(self, folder, workers=1, read=2, write=2, owner="alice",
                 zone="1m", server="", like=None, module=True):
        super().__init__()
        self.folder = folder
        for d in ("logs", "tmp"):
            os.makedirs(os.path.join(folder, d), exist_ok=True)
        e = os.environ
        host = e["TEST_S3_ENDPOINT"].split("//")[1]
        load, main, locations = vault(read, write, owner, zone) if module \
            else ("", "", "")
        user = "user root;" if os.geteuid() == 0 else ""
        conf = f"""
{user}
{load}
worker_processes {workers};
pid {folder}/logs/nginx.pid;
error_log {folder}/logs/error.log warn;
events {{ worker_connections 4096; }}
http {{
    log_format bytes "$request_length";
    access_log {folder}/logs/bytes bytes buffer=64k flush=100ms;
    client_max_body_size 0;
    client_body_temp_path {folder}/tmp/body;
    proxy_temp_path {folder}/tmp/proxy;
    fastcgi_temp_path {folder}/tmp/fastcgi;
    scgi_temp_path {folder}/tmp/scgi;
    uwsgi_temp_path {folder}/tmp/uwsgi;
    {main}
    upstream s3 {{ server {host}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{self.port};
        {server}
        {locations}
        location /302 {{ {like or f'return 302 http://{host}/{"x" * 300};'} }}
        location / {{
            proxy_pass http://s3;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Host {host};
            proxy_set_header Connection "";
        }}
    }}
}}
"""
        self.conf = os.path.join(folder, "nginx.conf")
        with open(self.conf, "w") as f:
            f.write(conf)
        self.binary = e.get("TEST_NGINX_BINARY", "/usr/sbin/nginx")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "-p", self.folder, "-c", self.conf,
             "-g", "daemon off;"])
        wait_port(self.port)
        self.pids = children(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def taken(self):
        """Bytes that clients have sent since the last call."""
        name = os.path.join(self.folder, "logs/bytes")
        with open(name, "r+") as f:
            total = sum(int(x) for x in f.read().split())
            f.truncate(0)
        return total


def tool(name):
    """A load generator of ours, built."""
    out = os.path.join(ROOT, "build/bench", name)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-O2",
                    "-pthread", "-o", out, os.path.join(HERE, f"{name}.c"),
                    "-lm"], check=True)
    return out


def results(text):
    """What such a program has printed."""
    return [{k: float(v) for k, v in (p.split("=") for p in line.split()[1:])}
            for line in text.splitlines() if line.startswith("RESULT ")]


def wrk(url, script, *args, connections=16, seconds=8, threads=1, timeout=120):
    out = subprocess.run(
        ["wrk", "-t", str(threads), "-c", str(connections), "-d",
         f"{seconds}s", "--timeout", f"{timeout}s", "-s",
         os.path.join(HERE, script), url, "--", *args],
        capture_output=True, text=True)
    found = results(out.stdout)
    if not found:
        sys.exit(f"wrk failed: {out.stdout}{out.stderr}")
    r = found[0]
    if r["errors"] or r["status"]:
        print(f"  ! {int(r['errors'])} errors, {int(r['status'])} bad statuses")
    return r


def peak(service, storage, commands):
    """Memory at most, afterwards, and how many uploads were created."""
    most = [service.memory()]
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            most[0] = max(most[0], service.memory())
            time.sleep(0.02)

    t = threading.Thread(target=watch)
    t.start()
    clients = [subprocess.Popen(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", *c],
        stdout=subprocess.PIPE, text=True) for c in commands]
    codes = [c.communicate()[0].strip() for c in clients]
    stop.set()
    t.join()
    service.settle()
    storage.clean()
    return most[0], service.memory(), codes.count("201")


def hash_cost():
    """CPU seconds a GB of MD5 and SHA-256, one after the other."""
    cost = 0
    for name in ("md5", "sha256"):
        out = subprocess.run(
            ["openssl", "speed", "-evp", name, "-bytes", "65536",
             "-seconds", "1"], capture_output=True, text=True)
        rate = re.search(r"([\d.]+)k\s*$", out.stdout.strip())
        cost += GB / (float(rate[1]) * 1000)
    return cost


class Storage:
    """The S3 server: targets for the plain proxy, and an end to them."""

    def __init__(self):
        e = os.environ
        self.bucket = e["TEST_S3_BUCKET"]
        self.s3 = boto3.client(
            "s3", endpoint_url=e["TEST_S3_ENDPOINT"],
            region_name=e["TEST_S3_REGION"],
            aws_access_key_id=e["TEST_S3_ACCESS"],
            aws_secret_access_key=e["TEST_S3_SECRET"],
            config=botocore.config.Config(
                signature_version="s3v4", s3={"addressing_style": "path"}))
        try:
            self.s3.create_bucket(Bucket=self.bucket)
        except self.s3.exceptions.ClientError:
            pass

    def target(self, name, kind):
        url = self.s3.generate_presigned_url(
            "put_object", Params={"Bucket": self.bucket, "Key": name,
                                  "ContentType": kind}, ExpiresIn=86400)
        return "/" + url.split("/", 3)[3]

    def clean(self):
        for prefix in ("images/", "bench/"):
            pages = self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix)
            for page in pages:
                keys = [{"Key": x["Key"]} for x in page.get("Contents", [])]
                if keys:
                    self.s3.delete_objects(Bucket=self.bucket,
                                           Delete={"Objects": keys})


def spread(values, digits=3):
    """The median, and the least and the greatest."""
    return (f"{statistics.median(values):.{digits}f} "
            f"({min(values):.{digits}f}-{max(values):.{digits}f})")


def cost(nginx, storage, path, name, kind, targets, seconds):
    """The worker's CPU seconds a GB of one run, and MB a second."""
    nginx.settle()
    nginx.taken()
    before = nginx.cpu()
    r = wrk(nginx.url(path), "put.lua", name, kind, *targets, seconds=seconds)
    nginx.settle()
    spent = nginx.cpu() - before
    size = os.path.getsize(name)
    storage.clean()
    return (spent / (nginx.taken() / GB),
            r["requests"] * size / r["seconds"] / 1e6)
