-- The answer to a create request as JSON.

-- The four balances as JSON members.
local function balances_json(bytes)
  local text = {}
  for i, field in ipairs({ "debits_pending", "debits_posted", "credits_pending", "credits_posted" }) do
    text[i] = '"' .. field .. '":"' .. decimal(sub(bytes, i * 16 - 15, i * 16)) .. '"'
  end
  return table.concat(text, ",")
end

local function answer_json(codes, stamps, after, kind, single)
  local list = {}
  for i = 1, #codes do
    local word = codes[i] == 0 and "ok" or refusal_name(kind, codes[i])
    local balances = ""
    if after and after[i] then
      balances = ',"debit_account":{' .. balances_json(after[i]) .. '},"credit_account":{'
        .. balances_json(sub(after[i], 65)) .. "}"
    end
    list[i] = '{"result":' .. codes[i] .. ',"status":"' .. word .. '","timestamp":"' .. decimal(stamps[i]) .. '"'
      .. balances .. "}"
  end
  return single and list[1] or "[" .. table.concat(list, ",") .. "]"
end
