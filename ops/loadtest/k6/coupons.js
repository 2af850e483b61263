// Coupons: a crowd at one event; exactly its stock wins, and who comes again gets the same coupon.
import http from "k6/http";
import { check, fail } from "k6";
import { Counter } from "k6/metrics";
import { headers, options as shared, url, uuid } from "./lastro.js";

const TOTAL = Number(__ENV.COUPONS || 100);
const won = new Counter("coupons_won");

export const options = {
  ...shared,
  thresholds: { ...shared.thresholds, coupons_won: [`count<=${TOTAL}`] },
};

export function setup() {
  const event_id = `k6-${uuid()}`;
  const made = http.post(`${url}/coupons/events`, JSON.stringify({ event_id, total: TOTAL, open: true }), { headers });
  if (made.status !== 201) {
    fail(`no event: ${made.status} ${made.body}`);
  }
  return { event_id };
}

export default function (event) {
  const user = uuid();
  const attempt = () =>
    http.post(`${url}/coupons/events/${event.event_id}/issuances`, null, { headers: { ...headers, "X-User-Id": user } });
  const first = attempt();
  check(first, { "pass or fail": (r) => r.status === 201 || r.status === 409 });
  if (first.status === 201) {
    won.add(1);
    check(attempt(), { "the same again": (r) => r.status === 200 && r.json("code") === first.json("code") });
  }
}

export function teardown(event) {
  const stats = http.get(`${url}/coupons/events/${event.event_id}`, { headers });
  check(stats, { "not one too many": (r) => r.status === 200 && r.json("stock") >= 0 });
}
