-- wrk: redirects to one image, or to those that a file names, at random.
-- wrk … -s view.lua URL -- OWNER [FILE]

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "get.lua")

function init(args)
    wrk.headers["X-Owner"] = args[1]
    if args[2] == nil then
        return
    end

    local requests = {}

    for id in io.lines(args[2]) do
        requests[#requests + 1] = wrk.format("GET", "/api/" .. id .. "/view")
    end

    math.randomseed(os.time())

    function request()
        return requests[math.random(#requests)]
    end
end
