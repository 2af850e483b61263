// Payments: one after another, each under an id of its own, and at the end the summary has them.
import http from "k6/http";
import { check } from "k6";
import { cents, headers, options, url, uuid } from "./lastro.js";

export { options };

export default function () {
  const body = `{"correlationId":"${uuid()}","amount":${(cents(100, 100000) / 100).toFixed(2)}}`;
  const answer = http.post(`${url}/payments`, body, { headers });
  check(answer, { "taken": (r) => r.status >= 200 && r.status < 300 });
}

export function teardown() {
  const answer = http.get(`${url}/payments-summary`, { headers });
  check(answer, { "summary": (r) => r.status === 200 && r.json("default.totalRequests") !== undefined });
}
