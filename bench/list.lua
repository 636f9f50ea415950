-- wrk: lists of owners FIRST to LAST in random order, one after the other

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "get.lua")

local requests, n = {}, 0

function init(args)
    local first, last = tonumber(args[1]), tonumber(args[2])
    local count = math.min(1000, last - first + 1)

    math.randomseed(os.time())

    for i = 1, count do
        local owner = string.format("owner-%05d", math.random(first, last))
        requests[i] = wrk.format("GET", nil, { ["X-Owner"] = owner })
    end
end

function request()
    n = n % #requests + 1
    return requests[n]
end
