"""What goes wrong: three hands, one each for nginx, the database and the
storage, so that troubles meet.  A seed gives each hand its sequence."""

import http.server
import random
import signal
import socket
import struct
import threading
import time

import cluster


class Hand(threading.Thread):
    """Draws faults until it is told to stop; each heals itself."""

    pauses = (0.5, 3.0)

    def __init__(self, seed, what, ledger, stop):
        super().__init__(name=type(self).__name__, daemon=True)
        self.rng = random.Random("%s/%s" % (seed, self.name))
        self.what, self.ledger, self.stop = what, ledger, stop

    def run(self):
        names, weights = zip(*self.faults().items())
        while not self.stop.wait(self.rng.uniform(*self.pauses)):
            name = self.rng.choices(names, weights)[0]
            self.ledger.fault("%s: %s" % (self.name, name))
            print("%7.1f  %s: %s" % (time.monotonic() - self.ledger.began,
                                     self.name, name), flush=True)
            try:
                getattr(self, name)()
            except Exception as e:
                self.ledger.violation("fault %s: %r" % (name, e))

    def for_a_while(self, low, high):
        self.stop.wait(self.rng.uniform(low, high))


class Nginx(Hand):
    def faults(self):
        return {"worker_killed": 6, "worker_frozen": 1, "reload": 5,
                "quit_and_start": 2, "term_and_start": 2, "upgrade": 3,
                "upgrade_undone": 1, "node_killed": 1}

    def node(self):
        return self.rng.choice(self.what.nodes)

    def worker_killed(self):
        workers = self.node().workers()
        if workers:
            cluster.send_signal(self.rng.choice(workers), signal.SIGKILL)

    def worker_frozen(self):
        workers = self.node().workers()
        if workers:
            pid = self.rng.choice(workers)
            cluster.send_signal(pid, signal.SIGSTOP)
            self.for_a_while(0.2, 2)
            cluster.send_signal(pid, signal.SIGCONT)

    def reload(self):
        node = self.node()
        node.reload()
        if self.rng.random() < 0.3:     # once more, while the first goes on
            time.sleep(self.rng.uniform(0, 0.3))
            node.reload()

    def quit_and_start(self):
        self.restart(signal.SIGQUIT, 60)

    def term_and_start(self):
        self.restart(signal.SIGTERM, 60)

    def restart(self, sig, seconds):
        node = self.node()
        node.era += 1
        if not node.stop(sig, seconds):
            self.ledger.violation("node %s did not end within %d s of %s"
                                  % (node.name, seconds, sig.name))
        node.start()
        node.era += 1

    def node_killed(self):
        """As by a power cut: the master and all workers at once."""
        node = self.node()
        node.era += 1
        node.kill()
        self.for_a_while(0, 2)
        node.start()
        node.era += 1

    def upgrade(self):
        node = self.node()
        old = node.pid()
        node.era += 1                   # two masters: two zones
        node.signal(signal.SIGUSR2)
        self.upgraded(node, old)
        self.for_a_while(0, 1)
        cluster.send_signal(old, signal.SIGWINCH)
        self.for_a_while(0, 1)
        cluster.send_signal(old, signal.SIGQUIT)
        cluster.wait("the old master's end", 60,
                     lambda: not cluster.alive(old))
        node.era += 1

    def upgrade_undone(self):
        node = self.node()
        old = node.pid()
        node.era += 1
        node.signal(signal.SIGUSR2)
        new = self.upgraded(node, old)
        cluster.send_signal(old, signal.SIGWINCH)
        self.for_a_while(0, 1)
        cluster.send_signal(old, signal.SIGHUP)
        cluster.send_signal(new, signal.SIGQUIT)
        cluster.wait("the new master's end", 60,
                     lambda: not cluster.alive(new))
        cluster.wait("the pid file's return", 60, lambda: node.pid() == old)
        node.era += 1

    def upgraded(self, node, old):
        cluster.wait("a new master", 60, lambda: node.pid() not in (0, old)
                     and node.pid(old=True) == old
                     and node.workers(node.pid()))
        return node.pid()


class Database(Hand):
    pauses = (2.0, 8.0)

    def faults(self):
        return {"killed": 3, "frozen": 3, "stepped_down": 3}

    def killed(self):
        m = self.what.mongo.primary()
        m.kill()
        self.for_a_while(0, 3)
        m.start()

    def frozen(self):
        m = self.what.mongo.primary()
        m.signal(signal.SIGSTOP)
        self.for_a_while(0.2, 5)
        m.signal(signal.SIGCONT)

    def stepped_down(self):
        self.what.mongo.step_down(self.rng.randint(1, 4))


class Storage(Hand):
    pauses = (0.5, 4.0)

    def faults(self):
        return {"killed": 2, "frozen": 2, "latency": 2, "bandwidth": 2,
                "reset_peer": 2, "limit_data": 2, "timeout": 2,
                "slicer": 1, "cut": 2, "errors": 4}

    def killed(self):
        self.what.storage.kill()
        self.for_a_while(0, 3)
        self.what.storage.start()

    def frozen(self):
        self.what.storage.signal(signal.SIGSTOP)
        self.for_a_while(0.2, 6)
        self.what.storage.signal(signal.SIGCONT)

    def toxic(self, kind, **attributes):
        """Shorter than `stale`: bytes that the network holds for longer than
        that may land after the second delete, by nobody's fault."""
        share = self.rng.choice((0.3, 1.0))
        stream = self.rng.choice(("upstream", "downstream"))
        self.what.network.toxic(kind, stream, share, **attributes)
        self.for_a_while(0.5, cluster.STALE - 2)
        self.what.network.heal(kind)

    def latency(self):
        self.toxic("latency", latency=self.rng.randint(50, 1500),
                   jitter=self.rng.randint(0, 300))

    def bandwidth(self):
        self.toxic("bandwidth", rate=self.rng.choice((5, 50, 500)))

    def reset_peer(self):
        self.toxic("reset_peer", timeout=self.rng.randint(0, 300))

    def limit_data(self):
        self.toxic("limit_data", bytes=self.rng.choice(
            (1, 100, 700, 5000, 70_000)))

    def timeout(self):
        self.toxic("timeout", timeout=self.rng.choice((0, 500)))

    def slicer(self):
        self.toxic("slicer", average_size=64, size_variation=32, delay=100)

    def cut(self):
        """Every connection ends at once, new ones are fine."""
        self.what.network.route(self.what.storage.port)

    def errors(self):
        """Another server answers: 503, 500, a reset, or nothing at all."""
        with Refusing(self.rng) as port:
            self.what.network.route(port)
            self.for_a_while(0.5, 2.5)
            self.what.network.route(self.what.storage.port)


class Refusing:
    """A storage that keeps nothing and says so in the ways they do."""

    CODES = ((503, "SlowDown"), (503, "ServiceUnavailable"),
             (500, "InternalError"), (0, "reset"), (0, "close"))

    def __init__(self, rng):
        choice = rng.choice

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def refuse(self):
                status, code = choice(Refusing.CODES)
                if choice((True, False)):
                    self.rfile.read(int(self.headers.get(
                        "Content-Length") or 0))
                self.close_connection = True
                if code == "reset":
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
                if not status:
                    return
                text = ("<?xml version=\"1.0\"?><Error><Code>%s</Code>"
                        "<Message>chaos</Message></Error>" % code).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(text)))
                if status == 503 and choice((True, False)):
                    self.send_header("Retry-After", "1")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(text)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = refuse

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, address):
                pass                    # the peer has gone: all the better

        self.server = Server(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self.server.server_port

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()
