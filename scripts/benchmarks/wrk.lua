-- Sends the requests of a file once each, in their order, and says when all are
-- answered: wrk itself knows only how long to send, and would begin again. Who runs it
-- interrupts it then.
--
-- The file is what scripts/benchmarks/load.py writes: each request as it is on the
-- wire, after its length in bytes and a line feed. With one request in it and a second
-- argument, that one is sent so many times.

local requests = {}
local total = 0
local allowed = 0
local sent = -1
local answered = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  total = tonumber(arguments[2]) or #requests
end

local function tell(what)
  io.write(what .. "\n")
  io.flush()
end

-- Called before each request. A connection that has nothing left to ask waits.
function delay()
  if allowed >= total then return 3600000 end
  allowed = allowed + 1
  if allowed == 1 then tell("begun") end
  return 0
end

-- Called once before all others, to see how a request looks. Between a connection's
-- `delay` and its `request` others have theirs.
function request()
  sent = sent + 1
  return requests[(math.max(sent, 1) - 1) % #requests + 1]
end

function response()
  answered = answered + 1
  if answered == total then tell("ended") end
end

function done(summary)
  local errors = summary.errors
  io.write(string.format("%d requests answered, %d of them refused, %d failed\n",
    summary.requests, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
