-- wrk: GET, and a line that a program can read.  With arguments HOW, BEFORE,
-- FIRST, COUNT, AFTER: of the images FIRST to FIRST + COUNT - 1, "any" of them
-- or "all" one after the other

local requests, n, any = {}, 0, false

function init(args)
    if #args == 0 then
        return
    end

    local count = tonumber(args[4])

    any = args[1] == "any"
    math.randomseed(os.time())

    for i = 1, count do
        local id = string.format("%024x", tonumber(args[3]) + i - 1)
        requests[i] = wrk.format("GET", args[2] .. id .. args[5])
    end

    function request()
        if any then
            return requests[math.random(count)]
        end

        n = n % count + 1
        return requests[n]
    end
end

function done(summary, latency, requests)
    io.write(string.format(
        "RESULT requests=%d seconds=%.3f errors=%d status=%d p50=%.3f p99=%.3f\n",
        summary.requests, summary.duration / 1e6,
        summary.errors.connect + summary.errors.read + summary.errors.write
        + summary.errors.timeout, summary.errors.status,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
