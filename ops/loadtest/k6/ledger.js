// Ledger: batches of transfers among a hundred accounts; at the end what was debited was credited.
import http from "k6/http";
import { check, fail } from "k6";
import { cents, headers, options, url, uuid } from "./lastro.js";

export { options };

const LEDGER = 77;
const BATCH = Number(__ENV.BATCH || 100);

function id() {
  return BigInt(`0x${uuid().replace(/-/g, "")}`).toString();
}

export function setup() {
  const accounts = Array.from({ length: 100 }, id);
  const opening = accounts.map((number) => ({ id: number, ledger: LEDGER, code: 10 }));
  const made = http.post(`${url}/ledger/accounts/batch`, JSON.stringify(opening), { headers });
  if (made.status >= 300) {
    fail(`no accounts: ${made.status} ${made.body}`);
  }
  return { accounts };
}

export default function ({ accounts }) {
  const transfers = Array.from({ length: BATCH }, () => {
    const debit = cents(0, accounts.length);
    const credit = (debit + 1 + cents(0, accounts.length - 1)) % accounts.length;
    return {
      id: id(), debit_account_id: accounts[debit], credit_account_id: accounts[credit],
      amount: String(cents(1, 10000)), ledger: LEDGER, code: 1,
    };
  });
  const answer = http.post(`${url}/ledger/transfers/batch`, JSON.stringify(transfers), { headers });
  check(answer, {
    "all created": (r) => r.status < 300 && r.json().every((outcome) => outcome.status === "ok"),
  });
}

export function teardown({ accounts }) {
  const found = http.post(`${url}/ledger/accounts/lookup`, JSON.stringify({ ids: accounts }), { headers });
  const sum = (field) => found.json().reduce((total, account) => total + Number(account[field]), 0);
  check(found, { "debits are credits": () => sum("debits_posted") === sum("credits_posted") });
}
