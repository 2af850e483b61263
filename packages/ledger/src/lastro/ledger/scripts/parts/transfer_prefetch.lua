-- Read everything that the events name, in one command.
local transfer_key, account_key = PREFIX .. "transfer:", PREFIX .. "account:"
local keys, debits, credits, opening = { PREFIX .. "state" }, {}, {}, {}
local n, accounts, known = 0, {}, {} -- by key: the account's table or false; place * 8 + status, BURNT, or false
for i = 1, count do
  local t1, t2, t3, d1, d2, d3, c1, c2, c3 = read("<I6I6I4I6I6I4I6I6I4", data, i * 128 - 127)
  local debit, credit = key_of(account_key, d1, d2, d3), key_of(account_key, c1, c2, c3)
  keys[i + 1], debits[i], credits[i] = key_of(transfer_key, t1, t2, t3), debit, credit
  if accounts[debit] == nil then
    accounts[debit], n = false, n + 1
    opening[n] = debit
  end
  if accounts[credit] == nil then
    accounts[credit], n = false, n + 1
    opening[n] = credit
  end
end
for i = 1, n do
  keys[count + 1 + i] = opening[i]
end
local found = fetch(keys)
local state = found[1]
for i = 1, count do
  known[keys[i + 1]] = found[i + 1]
end
known[transfer_key .. "0"], known[transfer_key .. MAX16] = true, true -- never created: the rules say why
for i = 1, n do
  accounts[opening[i]] = open_account(opening[i], found[count + 1 + i])
end
