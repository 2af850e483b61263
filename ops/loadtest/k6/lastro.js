// What every scenario shares: where the engine is, how hard it is pressed, and what counts as an error.
export const url = __ENV.LASTRO_URL || "http://127.0.0.1:8000";
const key = __ENV.LASTRO_KEY;
export const headers = {
  "Content-Type": "application/json",
  ...(key ? { Authorization: `Bearer ${key}` } : {}),
};

export const options = {
  vus: Number(__ENV.USERS || 8),
  duration: __ENV.DURATION || "10s",
  // a refusal that is meant (409 sold out, 200 again) is a check of the scenario, not a failed request
  thresholds: { checks: ["rate==1"], http_req_duration: [`p(99)<${__ENV.P99_MS || 1000}`] },
};

export function uuid() {
  return "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => Math.floor(Math.random() * 16).toString(16));
}

export function cents(low, high) {
  return Math.floor(low + Math.random() * (high - low));
}
