#!/usr/bin/env python3
"""One connection of HTTP/3 to 127.0.0.1:PORT, told by lines of JSON what to do.

    {"do": "request", "id": 0, "headers": [[":method", "POST"], ...]}
    {"do": "data", "id": 0, "bytes": "<base64>", "last": 0}
    {"do": "reset", "id": 0}
    {"do": "answer", "id": 0}   prints a line: {"status", "headers", "body"}
"""

import asyncio
import base64
import json
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import (ConnectionTerminated, StopSendingReceived,
                                 StreamReset)

PATIENCE = 15
REQUEST_CANCELLED = 0x10c


class Answer:
    def __init__(self):
        self.headers = {}
        self.body = b""
        self.stopped = False
        self.done = asyncio.Event()


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        stream = self.answers.get(getattr(event, "stream_id", None))
        if isinstance(event, ConnectionTerminated):
            for answer in self.answers.values():
                answer.done.set()
        elif isinstance(event, StreamReset) and stream:
            stream.done.set()
        elif isinstance(event, StopSendingReceived) and stream:
            stream.stopped = True

        for got in self.http.handle_event(event):
            stream = self.answers.get(got.stream_id)
            if stream is None:
                continue
            if isinstance(got, HeadersReceived):
                stream.headers.update((name.decode(), value.decode())
                                      for name, value in got.headers)
            elif isinstance(got, DataReceived):
                stream.body += got.data
            if got.stream_ended:
                stream.done.set()

    async def answer(self, stream):
        answer = self.answers[stream]
        await asyncio.wait_for(answer.done.wait(), PATIENCE)
        return {"status": int(answer.headers.get(":status", 0)),
                "headers": answer.headers, "body": answer.body.decode()}


async def orders():
    reader = asyncio.StreamReader(limit=1 << 28)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def main(port):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN,
                                      verify_mode=ssl.CERT_NONE)
    streams = {}
    async with connect("127.0.0.1", port, configuration=configuration,
                       create_protocol=Client) as client:
        async for order in orders():
            do, name = order["do"], order["id"]
            if do == "request":
                streams[name] = client._quic.get_next_available_stream_id()
                client.answers[streams[name]] = Answer()
                client.http.send_headers(streams[name], [
                    (n.encode(), str(v).encode()) for n, v in order["headers"]])
                client.transmit()
                continue
            stream = streams[name]
            if do == "data" and not client.answers[stream].stopped:
                client.http.send_data(stream, base64.b64decode(order["bytes"]),
                                      end_stream=bool(order["last"]))
            elif do == "reset":
                client._quic.reset_stream(stream, REQUEST_CANCELLED)
            elif do == "answer":
                print(json.dumps(await client.answer(stream)), flush=True)
            client.transmit()


asyncio.run(main(int(sys.argv[1])))
