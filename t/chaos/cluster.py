"""All that runs: MongoDB, the storage, the network before it, two nginx nodes.

Every process is started and ended here, by its own id."""

import glob
import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

import pymongo
import pymongo.errors

BUCKET = "images"
REGION = "us-east-1"
ACCESS = "test-access"
SECRET = "test-secret-key"
DATABASE = "chaos"

STALE = 5
URL_EXPIRY = 12
QUOTA = 24 * 1024 * 1024
CACHE_VALID = 3

TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CACHE = os.environ["IV_CACHE"]
NGINX = os.environ.get("TEST_NGINX_BINARY", "/usr/sbin/nginx")
MODULE = os.environ.get(
    "TEST_MODULE", TREE + "/build/ngx_http_image_vault_module.so")


CLAIMS = []


def free_port():
    """None that the kernel gives to connections: it might take it while the
    server is down.  A socket of this name keeps other tests off."""
    for _ in range(500):
        port = random.SystemRandom().randrange(10240, 19200)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0image_vault_port_%d" % port)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        return port
    raise RuntimeError("no free port")


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait(what, seconds, check):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return
        time.sleep(0.05)
    raise RuntimeError("%s: not within %d s" % (what, seconds))


def alive(pid):
    """A zombie is dead: whoever it belongs to may be slow to notice."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def send_signal(pid, sig):
    try:
        os.kill(pid, sig)
        return True
    except ProcessLookupError:
        return False


class Process:
    """A server that may be killed, frozen, and started again as it was."""

    def __init__(self, name, argv, port, folder, env=None):
        self.name, self.argv, self.port = name, argv, port
        self.env = dict(os.environ, **(env or {}))
        self.log = os.path.join(folder, name + ".log")
        self.proc = None

    def start(self):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.env, start_new_session=True)
        wait(self.name, 60, lambda: listening(self.port)
             or self.proc.poll() is not None)
        if self.proc.poll() is not None:
            raise RuntimeError("%s did not start: see %s"
                               % (self.name, self.log))

    def signal(self, sig):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(sig)

    def kill(self):
        if self.proc:
            self.signal(signal.SIGKILL)
            self.proc.wait()

    def stop(self):
        if self.proc:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Mongo:
    def __init__(self, folder, members):
        self.members = []
        for i in range(members):
            port = free_port()
            data = "%s/mongo%d" % (folder, i)
            os.makedirs(data)
            self.members.append(Process(
                "mongod%d" % i,
                [CACHE + "/mongod/mongod", "--dbpath", data, "--bind_ip",
                 "127.0.0.1", "--port", str(port), "--nounixsocket",
                 "--replSet", "chaos", "--oplogSize", "64",
                 "--wiredTigerCacheSizeGB", "0.25", "--setParameter",
                 "diagnosticDataCollectionEnabled=false"], port, folder))
        self.uri = "mongodb://%s/?replicaSet=chaos" % ",".join(
            "127.0.0.1:%d" % m.port for m in self.members)
        self.client = None

    def start(self):
        for m in self.members:
            m.start()
        one = pymongo.MongoClient("127.0.0.1", self.members[0].port,
                                  directConnection=True)
        one.admin.command("replSetInitiate", {
            "_id": "chaos",
            "settings": {"electionTimeoutMillis": 2000,
                         "heartbeatIntervalMillis": 500},
            "members": [{"_id": i, "host": "127.0.0.1:%d" % m.port}
                        for i, m in enumerate(self.members)]})
        one.close()
        self.client = pymongo.MongoClient(
            self.uri, serverSelectionTimeoutMS=30000, w="majority",
            retryWrites=True)
        wait("a primary", 60, self.writable)

    def writable(self):
        try:
            return self.client.admin.command("hello")["isWritablePrimary"]
        except pymongo.errors.PyMongoError:
            return False

    def primary(self):
        """The primary's process, or any if there is none now."""
        for m in self.members:
            try:
                c = pymongo.MongoClient("127.0.0.1", m.port, timeoutMS=500,
                                        directConnection=True)
                try:
                    if c.admin.command("hello")["isWritablePrimary"]:
                        return m
                finally:
                    c.close()
            except pymongo.errors.PyMongoError:
                pass
        return self.members[0]

    def step_down(self, seconds):
        m = self.primary()
        c = pymongo.MongoClient("127.0.0.1", m.port, timeoutMS=5000,
                                directConnection=True)
        try:
            c.admin.command("replSetStepDown", seconds, force=True)
        except pymongo.errors.PyMongoError:
            pass                        # nobody to step down, or cut off by it
        finally:
            c.close()

    @property
    def db(self):
        return self.client[DATABASE]

    def stop(self):
        if self.client:
            self.client.close()
        for m in self.members:
            m.stop()


class Network:
    """toxiproxy before the storage: what nginx and clients know as it."""

    def __init__(self, folder, upstream):
        self.api = free_port()
        self.port = free_port()
        self.upstream = upstream
        self.process = Process(
            "toxiproxy", [CACHE + "/bin/toxiproxy", "-host", "127.0.0.1",
                          "-port", str(self.api)], self.api, folder)

    def start(self):
        self.process.start()
        self.ask("POST", "/proxies", {
            "name": "s3", "listen": "127.0.0.1:%d" % self.port,
            "upstream": "127.0.0.1:%d" % self.upstream, "enabled": True})

    def ask(self, method, path, what=None):
        c = http.client.HTTPConnection("127.0.0.1", self.api, timeout=10)
        try:
            c.request(method, path, json.dumps(what) if what else None)
            r = c.getresponse()
            text = r.read()
            if r.status >= 300 and not (method == "DELETE"
                                        and r.status == 404):
                raise RuntimeError("toxiproxy: %d %s" % (r.status, text))
        finally:
            c.close()

    def toxic(self, kind, stream, share, **attributes):
        self.ask("POST", "/proxies/s3/toxics", {
            "name": kind, "type": kind, "stream": stream, "toxicity": share,
            "attributes": attributes})

    def heal(self, kind):
        self.ask("DELETE", "/proxies/s3/toxics/" + kind)

    def route(self, port):
        """All connections end, new ones go to this port."""
        self.ask("POST", "/proxies/s3",
                 {"upstream": "127.0.0.1:%d" % port, "enabled": True})


class Node:
    """One nginx: a master, two workers."""

    def __init__(self, folder, name, mongo, storage_port):
        self.name = name
        self.dir = os.path.join(folder, name)
        self.port = free_port()
        self.mongo, self.storage_port = mongo, storage_port
        self.conf = self.dir + "/nginx.conf"
        self.era = 0                # odd while its zone may be another
        os.makedirs(self.dir + "/logs")
        os.makedirs(self.dir + "/tmp")
        self.write()

    def write(self):
        with open(os.path.join(os.path.dirname(__file__), "nginx.conf")) as f:
            text = f.read()
        values = {
            "MODULE": "" if os.environ.get("TEST_STATIC")
                      else "load_module %s;" % MODULE,
            "USER": "user root;" if os.geteuid() == 0 else "",
            "DIR": self.dir, "PORT": self.port, "MONGODB": self.mongo.uri,
            "DATABASE": DATABASE, "STALE": STALE, "EXPIRY": URL_EXPIRY,
            "QUOTA": QUOTA, "CACHE_VALID": CACHE_VALID, "REGION": REGION,
            "ENDPOINT": "http://127.0.0.1:%d" % self.storage_port,
            "BUCKET": BUCKET, "ACCESS": ACCESS, "SECRET": SECRET,
        }
        with open(self.conf, "w") as f:
            f.write(re.sub(r"@([A-Z_]+)@", lambda m: str(values[m[1]]), text))

    def pid(self, old=False):
        try:
            with open(self.dir + "/logs/nginx.pid"
                      + (".oldbin" if old else "")) as f:
                return int(f.read() or 0)
        except (OSError, ValueError):
            return 0

    def start(self):
        r = subprocess.run([NGINX, "-p", self.dir, "-c", self.conf],
                           capture_output=True, text=True, cwd=self.dir)
        if r.returncode:
            raise RuntimeError("%s did not start: %s" % (self.name, r.stderr))
        wait(self.name, 60, lambda: self.pid() and listening(self.port))

    def workers(self, pid=None):
        """Those that serve, not those that are going."""
        pid = pid or self.pid()
        try:
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                kids = [int(k) for k in f.read().split()]
        except OSError:
            return []
        return [k for k in kids if b"worker process" in title(k)
                and b"shutting" not in title(k)]

    def processes(self):
        """Every process of this node, of whatever master."""
        found = []
        for name in glob.glob("/proc/[0-9]*/environ"):
            pid = int(name.split("/")[2])
            try:
                if b"nginx" in title(pid) and os.readlink(
                        "/proc/%d/cwd" % pid) == self.dir:
                    found.append(pid)
            except OSError:
                pass
        return found

    def signal(self, sig):
        pid = self.pid()
        return bool(pid) and send_signal(pid, sig)

    def reload(self):
        self.signal(signal.SIGHUP)

    def stop(self, sig, seconds):
        """False: it had to be killed."""
        pid = self.pid()
        self.signal(sig)
        try:
            wait("%s to end" % self.name, seconds, lambda: not alive(pid))
            return True
        except RuntimeError:
            self.kill()
            return False

    def kill(self):
        pids = self.processes()
        for pid in sorted(pids):        # the master first, so that it starts
            send_signal(pid, signal.SIGKILL)    # no new ones
        for pid in self.processes():
            send_signal(pid, signal.SIGKILL)
        wait("%s to die" % self.name, 60,
             lambda: not any(alive(p) for p in pids))
        for name in ("nginx.pid", "nginx.pid.oldbin"):
            try:
                os.unlink(self.dir + "/logs/" + name)
            except FileNotFoundError:
                pass

    def errors(self):
        with open(self.dir + "/logs/error.log", errors="replace") as f:
            return f.read().split("\n")


def title(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read()
    except OSError:
        return b""


class Cluster:
    def __init__(self, folder, members):
        self.folder = folder
        os.makedirs(folder + "/objects/" + BUCKET)
        self.mongo = Mongo(folder, members)
        port = free_port()
        argv = [CACHE + "/bin/versitygw", "--port", "127.0.0.1:%d" % port,
                "--region", REGION, "--keep-alive", "--quiet", "posix"]
        try:
            os.setxattr(folder, "user.iv", b"1")
        except OSError:
            os.makedirs(folder + "/sidecar")
            argv += ["--sidecar", folder + "/sidecar"]
        self.storage = Process(
            "storage", argv + [folder + "/objects"], port, folder,
            {"ROOT_ACCESS_KEY_ID": ACCESS, "ROOT_SECRET_ACCESS_KEY": SECRET})
        self.network = Network(folder, port)
        self.nodes = [Node(folder, name, self.mongo, self.network.port)
                      for name in ("one", "two")]

    def start(self):
        self.mongo.start()
        self.storage.start()
        self.network.start()
        for n in self.nodes:
            n.start()

    def stop(self):
        for n in self.nodes:
            if n.processes():
                n.stop(signal.SIGTERM, 10)
                n.kill()
        self.network.process.stop()
        self.storage.stop()
        self.mongo.stop()
