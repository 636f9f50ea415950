-- wrk: redirects to one image, or below a prefix to those that a file names, at
-- random.  wrk … -s view.lua URL -- OWNER [PREFIX FILE]

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "get.lua")

function init(args)
    wrk.headers["X-Owner"] = args[1]

    if args[2] == nil then
        return
    end

    local requests = {}

    for id in io.lines(args[3]) do
        requests[#requests + 1] = wrk.format("GET", args[2] .. id .. "/view")
    end

    math.randomseed(os.time())

    function request()
        return requests[math.random(#requests)]
    end
end
