-- wrk: PUT one file again and again; with a list of targets, each in turn.
-- wrk … -s put.lua URL -- FILE TYPE [TARGETS]

local body, targets, kind
local at = 0

local function slurp(name)
    local f = assert(io.open(name, "rb"))
    local s = f:read("*a")
    f:close()
    return s
end

function init(args)
    kind = args[2]
    wrk.method = "PUT"
    wrk.headers["Content-Type"] = kind
    wrk.body = slurp(args[1])
    body = {}
    if args[3] then
        for line in io.lines(args[3]) do
            body[#body + 1] = wrk.format("PUT", line)
        end
    else
        body[1] = wrk.format("PUT")
    end
end

function request()
    at = at % #body + 1
    return body[at]
end

function done(summary, latency, requests)
    io.write(string.format(
        "RESULT requests=%d bytes=%d seconds=%.3f errors=%d status=%d p50=%.3f p99=%.3f\n",
        summary.requests, summary.bytes, summary.duration / 1e6,
        summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.timeout, summary.errors.status,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
