-- Sends the links of a file in turn, each with the agent and the referrer of a real click.
-- A line of the file: path, user agent, referrer, language, separated by tabs.
local requests = {}
local position = 0

function init(args)
  for line in io.lines(os.getenv("REQUESTS")) do
    local path, agent, referrer, language = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
    local n = #requests + 1
    local text = "GET " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: " .. agent .. "\r\n"
      .. "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
      .. "Accept-Encoding: gzip, deflate, br\r\n"
    if language ~= "" then text = text .. "Accept-Language: " .. language .. "\r\n" end
    if referrer ~= "" then text = text .. "Referer: " .. referrer .. "\r\n" end
    local address = "10." .. n % 251 .. "." .. math.floor(n / 251) % 251 .. "." .. n % 241
    requests[n] = text .. "X-Forwarded-For: " .. address .. "\r\n\r\n"
  end
  math.randomseed(tonumber(os.getenv("SEED") or "1"))
  position = math.random(0, #requests - 1)
end

function request()
  position = position + 1
  if position > #requests then position = 1 end
  return requests[position]
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"broken":%d,"refused":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
