"""Files in forms beside the same files as bodies of their own."""

import http.client
import json
import os
import time

import rig

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
RAW, FORM = "/api/upload?filename=x", "/api/upload"


def form(files, kind):
    """The body that a browser makes of files."""
    parts = []
    for i, data in enumerate(files):
        parts += [f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
                  f"name=\"files\"; filename=\"{i}.{kind}\"\r\n"
                  f"Content-Type: image/{kind}\r\n\r\n".encode(),
                  data, b"\r\n"]
    return b"".join(parts + [f"--{BOUNDARY}--\r\n".encode()])


def write(folder, name, data):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def costs(nginx, storage, folder, kind, size, rounds, seconds):
    """One file in a form and the same file by itself, 16 at a time."""
    data = rig.IMAGES[kind](size)
    runs = {"form": (FORM, write(folder, f"form.{kind}", form([data], kind)),
                     FORM_TYPE),
            "raw": (RAW, write(folder, f"raw.{kind}", data), f"image/{kind}")}
    spent = {x: [] for x in runs}
    speeds = {x: [] for x in runs}
    for i in range(rounds):
        for x in sorted(runs, reverse=i % 2):
            path, name, media = runs[x]
            c, s = rig.cost(nginx, storage, path, name, media, [], seconds)
            spent[x].append(c)
            speeds[x].append(s)
    ratios = [f / r for f, r in zip(spent["form"], spent["raw"])]
    rates = [f / r for f, r in zip(speeds["form"], speeds["raw"])]
    print(f"{kind} of {size / 1e6:g} MB, 16 at a time, CPU s/GB of the worker: "
          f"form {rig.spread(spent['form'])}, raw {rig.spread(spent['raw'])}")
    print(f"  form / raw: {rig.spread(ratios)}   goal <= 1.15   MB/s: "
          f"{rig.spread(speeds['form'])}, / raw {rig.spread(rates)}",
          flush=True)


def send(client, path, media, body):
    """Milliseconds until the answer is there, and how many were created."""
    began = time.monotonic()
    client.request("PUT", path, body=body, headers={"Content-Type": media})
    answer = client.getresponse()
    text = answer.read()
    lasted = 1000 * (time.monotonic() - began)
    return lasted, len(json.loads(text)["images"]) if answer.status < 300 else 0


def many(nginx, storage, kind, count, size, rounds, repeats):
    """A form of many files and the files one after another."""
    data = rig.IMAGES[kind](size)
    bodies = {"form": [(FORM, FORM_TYPE, form([data] * count, kind))],
              "raw": [(RAW, f"image/{kind}", data)] * count}
    times = {x: [] for x in bodies}
    spent = {x: 0 for x in bodies}
    created = {x: 0 for x in bodies}
    client = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=120)
    for i in range(rounds * repeats):
        if i % repeats == 0:
            storage.clean()
        for x in sorted(bodies, reverse=i % 2):
            nginx.settle()
            before = nginx.cpu()
            total = 0
            for body in bodies[x]:
                t, n = send(client, *body)
                total += t
                created[x] += n
            times[x].append(total)
            nginx.settle()
            spent[x] += nginx.cpu() - before
    client.close()
    storage.clean()
    sent = rounds * repeats * count
    ratios = [f / r for f, r in zip(times["form"], times["raw"])]
    print(f"{count} files of {kind}, {size / 1e6:g} MB each, ms: one form "
          f"{rig.spread(times['form'], 0)}, one after another "
          f"{rig.spread(times['raw'], 0)}   (created: {created['form']} and "
          f"{created['raw']} of {sent})")
    print(f"  form / one after another: {rig.spread(ratios)}   goal <= 1   "
          f"CPU s/GB: {spent['form'] / (sent * size / rig.GB):.3f}, "
          f"{spent['raw'] / (sent * size / rig.GB):.3f}", flush=True)


def run(nginx, storage, folder, rounds, seconds):
    for size in (1_000_000, 10_000_000):
        for kind in rig.IMAGES:
            costs(nginx, storage, folder, kind, size, rounds, seconds)
    for kind in rig.IMAGES:
        many(nginx, storage, kind, 10, 1_000_000, rounds, 5)
