-- wrk: GET, and a line that a program can read

function done(summary, latency, requests)
    io.write(string.format(
        "RESULT requests=%d seconds=%.3f errors=%d status=%d p50=%.3f p99=%.3f\n",
        summary.requests, summary.duration / 1e6,
        summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.timeout, summary.errors.status,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
