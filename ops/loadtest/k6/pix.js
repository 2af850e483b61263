// Pix: payments between two banks; each is taken, and known afterwards.
import http from "k6/http";
import { check, fail } from "k6";
import { cents, headers, options, url, uuid } from "./lastro.js";

export { options };

const BANKS = ["99980001", "99980002"];

export function setup() {
  for (const ispb of BANKS) {
    const funding = JSON.stringify({ id: `k6-${uuid()}`, amount_cents: 100000000 });
    const answer = http.post(`${url}/pix/participants/${ispb}/funding`, funding, { headers });
    if (answer.status >= 300) {
      fail(`no funds: ${answer.status} ${answer.body}`);
    }
  }
}

export default function () {
  const [payer, payee] = Math.random() < 0.5 ? BANKS : [...BANKS].reverse();
  const minute = new Date().toISOString().slice(0, 16).replace(/\D/g, "");
  const end_to_end_id = `E${payer}${minute}${uuid().replace(/-/g, "").slice(0, 11)}`;
  const body = JSON.stringify({ end_to_end_id, payer, payee, amount: (cents(1, 1000) / 100).toFixed(2) });
  check(http.post(`${url}/pix/payments`, body, { headers }), { "taken": (r) => r.status === 202 });
  const again = http.post(`${url}/pix/payments`, body, { headers });
  check(again, { "taken once": (r) => r.status === 202 || r.status === 200 });
}
