// The users of the official load: each pays under a new id, says what came of it, rests a second. k6.py tells the numbers.
import http from "k6/http";
import { sleep } from "k6";

const { URL, KEY, AMOUNT, USERS, LOAD_MS, CALL_MS } = __ENV;
const params = { headers: { "Content-Type": "application/json" }, timeout: `${CALL_MS}ms` };
if (KEY) params.headers.Authorization = `Bearer ${KEY}`;

export const options = {
  discardResponseBodies: true,
  maxRedirects: 0, // taken is taken here
  systemTags: [], // nobody reads k6's own metrics
  scenarios: {
    users: { executor: "ramping-vus", startVUs: 1, stages: [{ duration: `${LOAD_MS}ms`, target: Number(USERS) }] },
  },
};

export function setup() {
  console.log("ready"); // all users are made, the load begins
}

export default function () {
  const id = crypto.randomUUID();
  const answer = http.post(`${URL}/payments`, `{"correlationId":"${id}","amount":${AMOUNT}}`, params);
  console.log(`${id} ${answer.status} ${answer.timings.duration}`);
  sleep(1);
}
